"""What an engine is to the playground. TGI is the first and the default one (engines/tgi.py)."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from playground.domain.messages import Applied
from playground.domain.samplers import Sampler


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a ready engine says of itself.

    Attributes:
        name: For people, such as "TGI 3.3.7".
        max_total_tokens: Prompt and answer together.
        max_stop_sequences: How many a request may carry.
        applied: Every sampler parameter by name.
        raw: The engine's own answer, shown as it is on the page About.
    """

    name: str
    model_id: str
    model_sha: str | None
    max_input_tokens: int
    max_total_tokens: int
    max_stop_sequences: int
    applied: Mapping[str, Applied]
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class EngineState:
    """ready carries info; loading and offline carry the reason in a sentence for people.

    Attributes:
        since: Seconds (Unix time) at which this state began.
    """

    state: Literal["ready", "loading", "offline"]
    since: float
    reason: str = ""
    info: EngineInfo | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One generation. The prompt is rendered, without BOS; `stop` includes the turn marker."""

    prompt: str
    sampler: Sampler
    max_new_tokens: int
    seed: int
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text of one or more tokens; the text is "" while a UTF-8 character is incomplete."""

    text: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a generation, always the last item of a stream that succeeded."""

    reason: str
    generated_tokens: int
    input_tokens: int
    seed: int | None


class Engine(Protocol):
    """Every method raises EngineError, and nothing else, when the engine does not do its part."""

    async def state(self) -> EngineState:
        """The state now; never raises."""

    async def count_tokens(self, text: str) -> int:
        """How many tokens the engine makes of a text, BOS included as the engine counts it."""

    async def pieces(self, text: str) -> list[str]:
        """The text cut where the engine's tokens begin; joined, the pieces are the text."""

    def parameters(self, request: GenerationRequest) -> Mapping[str, object]:
        """Exactly what is sent as parameters; what the engine does not apply is absent."""

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """The generation. Closing the generator closes the engine's connection at once."""

    async def aclose(self) -> None:
        """Close all connections."""
