"""What is said and what is asked for, as frozen values: no HTTP, no storage, no page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from playground.domain.prompt_formats import PromptFormat
from playground.domain.samplers import Sampler

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. ``content`` is the text as its author wrote it."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class PaneRequest:
    """One answer that is asked for: a conversation and how to sample its next turn.

    Attributes:
        messages: The conversation; the last one is the user's, or the assistant's when its answer
            is to be continued. A system message may only stand first.
        sampler: The effective values; ``None`` in a field means unset.
        preset: The name of the preset that the values started from, ``None`` without one.
        edits: Of each parameter whose value is not the preset's, and of ``max_new_tokens`` where
            the limit is not, the preset's value and the one asked for; ``None`` for unset.
        max_new_tokens: 1 to the engine's limit; ``None`` takes what the context leaves.
        seed: 0 to 2**64 - 1; ``None`` lets the server draw one, which `done` then reports.
        stop: At most 3 sequences of the user's own (TGI takes 4, and TuluV2 needs one of them).
        engine: The id of the one that answers.
        emulate: Whether parameters that the engine lacks may be emulated.
    """

    messages: tuple[Message, ...]
    sampler: Sampler
    preset: str | None = None
    edits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    max_new_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    engine: str = "default"
    emulate: bool = True


@dataclass(frozen=True, slots=True)
class Applied:
    """How an engine treats one sampler parameter, with the reason in one sentence."""

    how: Literal["native", "emulated", "unsupported"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer is not begun: its request waits in the queue.

    Attributes:
        place: From 1.
    """

    place: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was sent for one answer, exactly, and what was not sent and why.

    Attributes:
        engine: Its name and version, for people.
        engine_id: By which this server names it.
        edits: As the request has them.
        prompt: The text that was sent, without the BOS that the engine adds.
        system: As it was written.
        quantisation: Of the model, "" where it is not known.
        continued: How many characters of the answer were there before.
        prompt_format: How the conversation was written as the prompt.
        left_out: Of each parameter that was set and not sent, the reason.
        note: What else a reader should know of how the request was read, "" for nothing.
        emulate: Whether emulation was allowed for this answer.
        emulated: Of each parameter that is applied here to the engine's tokens, and so is not sent,
            the value.
        asked: Of each parameter that was set, the value.
        max_new_tokens: Of the whole answer, which one request to the engine may not ask for.
    """

    engine: str
    engine_id: str
    model_id: str
    model_sha: str | None
    preset: str | None
    sent: Mapping[str, object]
    applied: Mapping[str, Applied]
    prompt_tokens: int
    dropped_turns: int
    edits: Mapping[str, tuple[float | None, float | None]]
    left_out: Mapping[str, str]
    prompt: str
    system: str
    continued: int
    prompt_format: PromptFormat
    note: str = ""
    quantisation: str = ""
    emulate: bool = True
    emulated: Mapping[str, float] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """Text to append to the running block."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A complete Markdown block: its HTML replaces the running text. index counts from 0."""

    index: int
    html: str


@dataclass(frozen=True, slots=True)
class Emulation:
    """What it took to make parameters take effect that the engine does not apply.

    Attributes:
        parameters: Names of those that were emulated.
        restarts: How often the engine was asked anew behind what was accepted.
        proposed: Tokens of the engine that were judged.
        accepted: Of these.
        bound: The most by which the choice of a token was off, on average over the tokens that were
            emulated, as total variation distance, 0 to 1; 0 is exact.
        reread: Restarts at which the engine read the accepted text in other tokens than those that
            were accepted.
        added_ms: Time in which nothing came because a restart was under way.
        given_up_at: The tokens after which it was given up, ``None`` where it lasted to the end.
    """

    parameters: tuple[str, ...]
    restarts: int
    proposed: int
    accepted: int
    bound: float
    reread: int
    added_ms: float
    given_up_at: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a reader must know while the answer goes on, in a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An answer that ended by itself.

    Attributes:
        finish_reason: "eos_token", "stop_sequence" or "length" (TGI's names); "budget" where a
            demo's budget left the answer less than the demo's own limit, and it took all of that.
        ttft_ms: From the request to the first text, ``None`` without any.
        duration_ms: From there to the moment at which the engine said that the answer is complete.
        tokens_per_second: Over the time from the first token to the last; ``None`` where all came
            at once, a single token too.
        emulation: ``None`` where nothing was emulated.
    """

    finish_reason: str
    generated_tokens: int
    input_tokens: int
    seed: int | None
    ttft_ms: float | None
    duration_ms: float
    tokens_per_second: float | None
    emulation: Emulation | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What was written of an answer that did not end by itself.

    Attributes:
        ttft_ms: From the request to the first token.
        duration_ms: From the request to the last token.
        tokens_per_second: Between those two tokens; ``None`` where all came at once.
    """

    generated_tokens: int
    ttft_ms: float
    duration_ms: float
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """An answer that did not end by itself. What was written before stays.

    Attributes:
        kind: That of the error, or "stopped" when the reader stopped this answer.
        emulation: Until then; ``None`` where nothing was emulated.
        figures: ``None`` where no token came.
    """

    kind: str
    message: str
    retryable: bool
    emulation: Emulation | None = None
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A receipt, done or error of a blind comparison: what it says can be opened later.

    Attributes:
        name: The event's name.
        shown: What may be known before.
    """

    name: str
    token: str
    shown: Mapping[str, object]


Event = Waiting | Receipt | Delta | Block | Notice | Done | Failed | Sealed
