"""What the API answers, as types: mypy holds the routes to them, and its document shows them.

They cost nothing when an answer is made, which is a plain dict. The kinds of errors and the events
of a stream stand here, too.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from playground.generation.events import (
    AppliedData,
    BlockData,
    DeltaData,
    DoneData,
    FailedData,
    NoticeData,
    ReceiptData,
    WaitingData,
    exact,
)
from playground.sharing.record import RecordBody

# The kinds of errors: of refusals, and of answers that failed in a stream.
KINDS: Final[Mapping[str, str]] = {
    "invalid": "The request is wrong; `field` names the place. Nothing was started.",
    "too_long": "The last message, or the prompt, is longer than what fits.",
    "link_broken": "The set-up link cannot be used; `field` names the place in it.",
    "link_too_new": "The set-up link was made by a newer playground.",
    "link_too_long": "The set-up link is longer than one may be.",
    "upgrade": "The request asks for an upgrade of its connection, and so its body is lost.",
    "login": "Nobody is logged in, and this needs somebody.",
    "other_login": "The page was opened under another name than is logged in now.",
    "forbidden": "Who asks may not.",
    "used_up": "The demo's budget has no room for another answer.",
    "not_found": "What is named is not there, or no longer, or another's.",
    "method": "There is no such method at this address.",
    "host": "This server is not known by the name that it was asked by.",
    "busy": "A limit of this server is reached; Retry-After says when to come again.",
    "spent": "What one may have in a day is used up; Retry-After says when to come again.",
    "shutdown": "This server is stopping; another one, or this one started anew, will answer.",
    "store": "The database is away, locked or full. Nothing was half-written.",
    "offline": "The engine is away.",
    "loading": "The engine is still being started.",
    "overloaded": "The engine has more requests than it takes.",
    "timeout": "The engine did not answer in time.",
    "refused": "The engine refused the request.",
    "unauthorized": "The engine does not take this server's key.",
    "generation": "The engine failed at the answer.",
    "incomplete": "The engine ended without saying that the answer is complete.",
    "protocol": "What the engine said cannot be understood.",
    "stopped": "The reader stopped this answer.",
    "closed": "The demo was closed while the answer was being written.",
    "too_slow": "The answer took longer than one of a demo may.",
    "sealed": "The answer failed; in a blind comparison, the reveal says why.",
    "internal": "The playground itself failed; its log says how.",
}

Kind = Annotated[str, Field(json_schema_extra={"enum": list(KINDS)})]
SamplerSet = Mapping[str, float]


@exact
class ErrorAnswer(TypedDict):
    """Whatever is wrong."""

    error: str
    """A sentence for people."""
    kind: Kind
    """A stable word for programs."""
    field: str | None
    """Which part of the request is wrong, such as panes[0].seed."""


@exact
class LabelData(TypedDict):
    """A model where it answers, for people."""

    title: str
    """Its name."""
    badge: str
    """How it was quantised, and by which engine it answers."""
    score: str
    """What it scored, "" where that is not known."""
    is_default: bool
    """Whether it is the model that the playground was made for."""


@exact
class SeedsData(TypedDict):
    """Whether the same seed gives the same answer again."""

    repeat: Literal["always", "alone", "never"]
    """alone: only while the engine writes nothing else."""
    condition: str
    """In a sentence, "" where there is none."""


@exact
class ProgressData(TypedDict):
    """How far an engine is that is getting ready."""

    what: str
    """What it does."""
    done: int
    """Of total; bytes where it downloads."""
    total: int | None
    """null where it is not known."""
    rate: float
    """Of these a second, 0 where it is not known."""
    left_s: float | None
    """Seconds that are left."""


@exact
class EngineFacts(TypedDict):
    """What a ready engine says of itself."""

    kind: Literal["tgi", "llamacpp", "vllm", "sglang", "openai"]
    name: str
    """Its name and version, for people."""
    label: LabelData
    model_id: str
    model_sha: str | None
    quantisation: str
    """Such as FP8 or Q4_K_M, "" where it is not known."""
    prompt_format: str
    """How conversations are written for the model, for people."""
    system_role: bool
    """Whether that has a role of its own for the system text."""
    default_system: str
    """What is sent in the place of an empty system text, "" for nothing."""
    seeds: SeedsData
    slots: int | None
    """Answers that it writes at a time, null where it does not say; more wait."""
    max_input_tokens: int
    max_total_tokens: int
    """Prompt and answer together."""
    max_stop_sequences: int


@exact
class EngineAnswer(TypedDict):
    """What the engine is, and how it is."""

    state: Literal["ready", "loading", "offline"]
    since: float
    """Seconds since 1970."""
    elapsed_s: float
    """How long it has been so."""
    reason: str
    """Why it is not ready, "" when it is."""
    progress: ProgressData | None
    """Of one that is loading, where it can be told."""
    engine: EngineFacts | None
    applied: Mapping[str, AppliedData]
    """Of every parameter how the engine treats it."""
    raw: Mapping[str, Any] | None
    """What the engine says, as it says it; null where that is longer than can be shown."""


@exact
class ListedEngine(TypedDict):
    """One of the engines."""

    id: str
    """By which a request names it."""
    name: str
    """For people."""
    kind: Literal["auto", "tgi", "llamacpp", "vllm", "sglang", "openai"]
    """auto while it has not said what it is."""
    model: str | None
    """null while it is not known."""
    state: Literal["ready", "loading", "offline"]
    unsupported: Sequence[str]
    """The sampler's parameters that it does not apply, as far as it is known."""
    emulated: Sequence[str]
    """Those that the playground applies to its tokens, likewise."""
    seeds_repeat: Literal["always", "alone", "never"] | None
    """Whether the same seed gives the same answer again; null while it is not known."""


@exact
class EnginesAnswer(TypedDict):
    """All engines, the default first."""

    engines: list[ListedEngine]


@exact
class PiecesAnswer(TypedDict):
    """The texts, each cut where the engine's tokens begin."""

    pieces: list[list[str]]


@exact
class SnippetData(TypedDict):
    """A program that asks the engine for the same answer."""

    id: str
    label: str
    language: str
    """For highlighting."""
    code: str
    note: str
    """What to know about it, "" for nothing."""


@exact
class CodeAnswer(TypedDict):
    """An answer's request as programs."""

    snippets: list[SnippetData]


@exact
class FindingData(TypedDict):
    """What was found about one parameter."""

    parameter: str
    verdict: Literal["proven", "weaker", "none", "unclear"]
    """weaker: than OpenAI's meaning of the same value. none: it changes nothing."""
    evidence: str
    counts: Mapping[str, float]
    """The figures behind the words."""
    p: float | None
    """Of the permutation test, where there is one."""
    strength: float | None
    """The shift of log-probabilities as a share of OpenAI's, where it was measured."""


@exact
class ProofAnswer(TypedDict):
    """Whether the engine really applies the parameters."""

    findings: Sequence[FindingData]
    seeds_repeat: bool
    unknown_field: Literal["ignored", "refused", "changes the answer"]
    generations: int
    tokens: int
    seconds: float
    made: int
    """When, in seconds since 1970."""


@exact
class ProofProgress(TypedDict):
    """How far a proof is that is being made."""

    answers: int
    """Of the engine so far; 0 where no proof is being made."""
    about: int
    """As many as a proof takes, or some more or fewer."""


@exact
class TokenizeAnswer(TypedDict):
    """A conversation as it would be sent."""

    prompt_tokens: int
    max_total_tokens: int
    dropped_turns: int
    prompt: str
    prompt_sha256: str


@exact
class BlocksAnswer(TypedDict):
    """Markdown as HTML."""

    blocks: list[str]
    """A block each. Nothing in it needs cleaning."""


@exact
class CardAnswer(TypedDict):
    """The model's card."""

    html: str
    source: Literal["hub", "bundled"]
    url: str


@exact
class StateAnswer(TypedDict):
    """A word for probes."""

    state: Literal["live", "ready", "loading", "offline", "stopping"]


@exact
class ParameterData(TypedDict):
    """One of the sampler's parameters."""

    name: str
    minimum: float
    maximum: float
    step: float
    """Of the control; a value need not lie on it."""
    neutral: float
    """The value with which it has no effect."""
    integer: bool
    help: str
    names: Mapping[str, str]
    """What formats of other programs call it."""
    smallest: float
    """The least value above 0."""


@exact
class PresetData(TypedDict):
    """One of the server's presets."""

    id: str
    name: str
    description: str
    """What to expect of it, in one sentence."""
    source: str
    """Where the values come from, for people."""
    sampler: SamplerSet
    max_new_tokens: int | None
    default: bool
    """Whether a new visitor begins with it."""


@exact
class FormatData(TypedDict):
    """A format of presets."""

    id: str
    label: str
    several: bool
    """Whether one text holds several presets."""


@exact
class PresetsAnswer(TypedDict):
    """The parameters, the presets and the formats."""

    parameters: list[ParameterData]
    presets: list[PresetData]
    formats: list[FormatData]


@exact
class DraftData(TypedDict):
    """A preset that was read."""

    name: str
    source: str
    sampler: SamplerSet
    max_new_tokens: int | None


@exact
class LeftOutData(TypedDict):
    """What could not come along, and why."""

    name: str
    value: str | float | bool | None
    """As it can be shown."""
    reason: str
    effect: bool
    """Whether the value does anything where it comes from."""
    line: int | None


@exact
class ProblemData(TypedDict):
    """What cannot be read."""

    reason: str
    line: int | None
    """From 1."""
    key: str | None


@exact
class ImportedRequestData(TypedDict):
    """What a text says of a request beside its preset."""

    system: str
    stop: Sequence[str]
    seed: int | None


@exact
class ImportAnswer(TypedDict):
    """What a text held."""

    format: str
    """"" where none was recognised."""
    label: str
    presets: list[DraftData]
    request: ImportedRequestData
    left_out: list[LeftOutData]
    problems: list[ProblemData]
    notes: Sequence[str]


@exact
class ExportAnswer(TypedDict):
    """Presets in a format."""

    format: str
    label: str
    text: str
    suffix: str
    """The ending of its file."""
    left_out: list[LeftOutData]
    notes: Sequence[str]


@exact
class ValuesData(TypedDict):
    """What sampling goes by."""

    sampler: SamplerSet
    max_new_tokens: int | None


@exact
class LinkColumnData(TypedDict):
    """One answer's settings in a set-up link."""

    kind: Literal["server", "own", "none"]
    name: str
    label: str
    moved: bool
    """Whether the preset has other values by now than when the link was made."""
    started: ValuesData
    values: ValuesData
    seed: int | None
    engine: str | None
    """The id of one, maybe of another server; null takes the default."""
    emulate: bool
    """Whether parameters that the engine lacks may be emulated."""


@exact
class SetupData(TypedDict):
    """What a set-up link sets."""

    tab: Literal["chat", "compare", "history", "about"]
    columns: list[LinkColumnData]
    seed: int | None
    own_seeds: bool
    stop: list[str]
    system: str
    difference: Literal["first", "words", "off"]
    against: int
    """The column that the others are compared with, from 0."""
    blind: bool
    prompt: str


@exact
class LinkAnswer(TypedDict):
    """A set-up link, read."""

    setup: SetupData


@exact
class ShareData(TypedDict):
    """A snapshot as its owner sees it. Times are seconds since 1970."""

    token: str
    url: str
    title: str
    kind: Literal["chat", "comparison"]
    created: int
    expires: int | None
    views: int
    """How often others than its owner opened its page."""
    private: bool


@exact
class SharesAnswer(TypedDict):
    """One's own snapshots."""

    shares: list[ShareData]


@exact
class ShownShareData(TypedDict):
    """A snapshot as its reader sees it. Times are seconds since 1970."""

    title: str
    kind: Literal["chat", "comparison"]
    created: int
    expires: int | None
    private: bool
    mine: bool
    views: int | None
    """For its owner alone."""


@exact
class ShareAnswer(TypedDict):
    """A snapshot: the record exactly as it was stored, and its texts as HTML."""

    share: ShownShareData
    record: RecordBody
    blocks: list[list[list[str] | None]]
    """Of each column and message; null where the text is shown as it is."""


@exact
class PaneData(TypedDict):
    """What a pane of a demo is fixed to."""

    name: str
    edited: bool
    sampler: SamplerSet
    max_new_tokens: int | None
    seed: int | None
    stop: Sequence[str]
    engine: str
    """The id of the one that answers."""
    emulate: bool
    """Whether parameters that the engine lacks may be emulated."""


@exact
class DemoFacts(TypedDict):
    """What a demo fixes, and what is left of its budget."""

    title: str
    panes: list[PaneData]
    system: str
    notes: Sequence[str]
    """What was fixed once and does not apply any more."""
    budget: int
    """In tokens, as all that follows."""
    left: int
    held: int
    """What running answers have reserved."""
    used_up: bool
    expires: int | None
    """Seconds since 1970."""


@exact
class DemoData(DemoFacts):
    """A demo link as its owner sees it."""

    token: str
    url: str
    spent: int
    enabled: bool
    expired: bool
    created: int


@exact
class DemosAnswer(TypedDict):
    """One's own demo links."""

    demos: list[DemoData]


@exact
class DemoEngine(TypedDict):
    """The first answer's engine without its address; the label is of all that answer."""

    state: Literal["ready", "loading", "offline"]
    reason: str
    progress: ProgressData | None
    model_id: str | None
    label: LabelData | None


@exact
class DemoAnswer(DemoFacts):
    """A demo link as its visitors see it."""

    engine: DemoEngine


@exact
class OpenedData(TypedDict, total=False):
    """What one seal holds: the answer's place in the request, and a receipt, done or error."""

    pane: int
    receipt: ReceiptData
    done: DoneData
    error: FailedData
    notices: Sequence[str]
    """What was to be known while the answer went on; beside done or error."""


@exact
class RevealAnswer(TypedDict):
    """What the seals hold, in their order."""

    opened: list[OpenedData]


@exact
class VisitorAnswer(TypedDict):
    """Who asks."""

    name: str | None
    """null where nobody is logged in."""
    logout: bool
    """Whether there is a way out."""
    max_body_bytes: int
    """How much a request may bring."""


@exact
class WaitingEvent(WaitingData):
    """The answer is not begun: its request waits in the queue."""

    pane: int


@exact
class ReceiptEvent(ReceiptData):
    """What was sent to the engine for an answer, exactly, and what was not sent and why."""

    pane: int


@exact
class DeltaEvent(DeltaData):
    """Text to append to the running block."""

    pane: int


@exact
class BlockEvent(BlockData):
    """A complete block of Markdown as HTML: it replaces the running text."""

    pane: int


@exact
class NoticeEvent(NoticeData):
    """Something that a reader must know while the answer goes on."""

    pane: int


@exact
class DoneEvent(DoneData):
    """The answer ended by itself."""

    pane: int


@exact
class ErrorEvent(FailedData):
    """The answer did not end by itself. What was written before stays."""

    pane: int


@exact
class SealedEvent(TypedDict):
    """A receipt or figures of a blind comparison, to be opened by POST /api/reveal."""

    pane: int
    sealed: str


@exact
class SealedErrorEvent(FailedData):
    """An answer of a blind comparison that failed. The reveal says why."""

    pane: int
    sealed: str


# The events of a stream by their names, which are not always different.
EVENTS: Final[Sequence[tuple[str, type]]] = (
    ("waiting", WaitingEvent),
    ("receipt", ReceiptEvent),
    ("delta", DeltaEvent),
    ("block", BlockEvent),
    ("notice", NoticeEvent),
    ("done", DoneEvent),
    ("error", ErrorEvent),
    ("receipt", SealedEvent),
    ("done", SealedEvent),
    ("error", SealedErrorEvent),
)
