"""What an engine is to the playground: its address, what it says of itself, and what it writes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from playground.domain.messages import Applied
from playground.domain.names import plain_name
from playground.domain.prompt_formats import PromptFormat
from playground.domain.samplers import Sampler
from playground.settings import EngineChoice

EngineKind = Literal["tgi", "llamacpp", "vllm", "sglang", "openai"]


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where an engine is, and what is known of it before it is asked.

    Attributes:
        id: By which a request names it, such as "tgi"; a-z, 0-9, _ and -.
        name: For people; "" takes what the engine calls itself.
        kind: "auto" where the engine is asked what it is.
        key_drawn: Whether the key was made for this start alone, and nobody is shown it.
        model: The model to ask for, where it serves several; ``None`` takes the one it has.
        prompt_format: ``None`` where the model decides.
        quantisation: Of the model, such as "FP8", as its operator says it; it counts where the
            engine itself does not tell.
    """

    id: str
    kind: EngineChoice
    url: str
    name: str = ""
    api_key: str | None = field(default=None, repr=False)
    key_drawn: bool = False
    model: str | None = None
    prompt_format: PromptFormat | None = None
    quantisation: str = ""


@dataclass(frozen=True, slots=True)
class Seeds:
    """Whether the same seed gives the same answer again.

    Attributes:
        repeat: "alone" where only while no other request is in the batch.
        condition: In a sentence for people, "" where there is none.
    """

    repeat: Literal["always", "alone", "never"]
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What an engine tells of its choices.

    Attributes:
        kind: "raw" of the model's own, "final" of those that it draws from.
        most: How many tokens of a step.
    """

    kind: Literal["none", "raw", "final"]
    most: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an engine is that is getting ready.

    Attributes:
        what: What it does, such as "Downloading model.gguf".
        done: Of total; bytes where it downloads.
        total: ``None`` where it is not known.
        rate: Of these a second, 0 where it is not known.
        left_s: Seconds that are left, ``None`` where that cannot be said.
    """

    what: str
    done: int
    total: int | None
    rate: float = 0.0
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a ready engine says of itself.

    Attributes:
        name: For people, such as "TGI 3.3.7".
        quantisation: As people write it, such as "FP8" or "Q4_K_M"; "" where it is not known.
        max_total_tokens: Prompt and answer together.
        max_stop_sequences: How many a request may carry.
        applied: Every sampler parameter by name.
        slots: Answers that it writes at a time, where it says so; more wait.
        raw: The engine's own answer, shown as it is on the page About; empty where it is too long
            for that.
        exact_counts: Whether it tells how many tokens a text has; else they are estimated, rather
            too high than too low.
        longest_request: The most new tokens that one request may ask for, where that is less than
            the context: a longer answer is asked for in several.
    """

    kind: EngineKind
    name: str
    model_id: str
    model_sha: str | None
    quantisation: str
    max_input_tokens: int
    max_total_tokens: int
    max_stop_sequences: int
    applied: Mapping[str, Applied]
    seeds: Seeds
    probabilities: Probabilities
    prompt_format: PromptFormat
    slots: int | None
    raw: Mapping[str, object]
    exact_counts: bool = True
    longest_request: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", plain_name(self.name))


@dataclass(frozen=True, slots=True)
class EngineState:
    """ready carries info; loading and offline carry the reason in a sentence for people.

    Attributes:
        since: Seconds (Unix time) at which this state began.
        progress: Of one that is loading, where it can be told.
    """

    state: Literal["ready", "loading", "offline"]
    since: float
    reason: str = ""
    info: EngineInfo | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One generation. The prompt is rendered, without BOS; `stop` includes its format's.

    Attributes:
        likeliest: How many of the likeliest tokens a `SteppedEngine` is to tell at each place; ties
            may give more, and filtered ones fewer.
    """

    prompt: str
    sampler: Sampler
    max_new_tokens: int
    seed: int
    stop: tuple[str, ...]
    likeliest: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text of one or more tokens; the text is "" while a UTF-8 character is incomplete."""

    text: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a generation, always the last item of a stream that succeeded.

    Attributes:
        reason: "eos_token", "stop_sequence" or "length", whatever the engine calls it.
    """

    reason: str
    generated_tokens: int
    input_tokens: int
    seed: int | None


@dataclass(frozen=True, slots=True)
class Written:
    """A whole answer, and what the engine tells of how it was chosen.

    Attributes:
        text: Of all tokens but special ones.
        tokens: Their numbers in the model's vocabulary; empty where the engine does not tell them.
        likeliest: At each of these places the log-probabilities of the likeliest tokens, by number;
            empty where they were not asked for, or are not told.
        prompt: The numbers of the prompt's tokens, empty where they are not told.
    """

    text: str
    generated_tokens: int
    tokens: tuple[int, ...] = ()
    likeliest: tuple[Mapping[int, float], ...] = ()
    prompt: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that might have been chosen.

    Attributes:
        text: Decoded alone, which may not be what it adds to a text: a leading space is lost, and a
            part of a character reads as U+FFFD.
        logprob: Natural logarithm.
        special: Whether it stands for no text, such as the one that ends an answer.
    """

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One token of an answer and those that were likeliest in its place.

    Attributes:
        text: What it adds to the answer; "" while a UTF-8 character is incomplete.
        logprob: Natural logarithm, after everything that the engine applies.
        special: As in `Candidate`.
        likeliest: The likeliest first; of `EngineInfo.probabilities.kind`.
    """

    id: int
    text: str
    logprob: float
    special: bool
    likeliest: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of a given text; start and stop count its bytes of UTF-8, stop excluded."""

    id: int
    start: int
    stop: int


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


@runtime_checkable
class ProvableEngine(Engine, Protocol):
    """An engine of whose answers it can be told what it applies: see `conformance`."""

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        """A whole answer, by the same parameters as a streamed one.

        Args:
            likeliest: How many of the likeliest tokens to tell at each place, up to what
                `EngineInfo.probabilities` says; the final ones, where the engine has a choice.
            extra: Sent beside the parameters as it is, whether the engine knows such fields or not.
        """


@runtime_checkable
class SteppedEngine(Engine, Protocol):
    """An engine whose choice can be corrected at every token: see `generation.bridge`."""

    def steps(self, request: GenerationRequest) -> AsyncGenerator[Sequence[Step] | Finish, None]:
        """As `stream`, with what is told of each token."""

    async def tokens(self, text: str) -> Sequence[Piece]:
        """The tokens that the engine makes of a text, with those that it adds itself (BOS)."""
