"""The bodies that ask for answers, and what else can be asked about a text: JSON to frozen values.

Nothing in a body is ignored: an unknown name is as wrong as a wrong value. What a model cannot say
of one field alone stands in `StreamBody.asked` and `pane_request`. No I/O.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    with_config,
)
from pydantic.types import GetPydanticSchema
from pydantic_core import core_schema
from typing_extensions import TypedDict

from playground.domain.blank import is_blank
from playground.domain.errors import InvalidRequest
from playground.domain.messages import Message, PaneRequest, Role
from playground.domain.presets import Preset
from playground.domain.samplers import BY_NAME, Sampler
from playground.domain.validation import (
    Body,
    NewTokens,
    SamplerValues,
    Seed,
    broken,
    few_names,
    shortened,
)
from playground.engines.registry import DEFAULT, resolve
from playground.formats.native import OwnPreset
from playground.formats.values import Draft

MAX_PANES: Final = 4
MAX_STOPS: Final = 3
MAX_STOP_CHARS: Final = 200
MAX_TEXT_CHARS: Final = 50_000  # an answer as long as the context has fewer
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,60}")

_HI: Final = [{"role": "user", "content": "Hi"}]


# A dict, since there may be thousands: a model takes four times as long to make.
@with_config(ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True))
class MessageBody(TypedDict):
    """One message of a conversation."""

    role: Role
    """A system message may only stand first."""
    content: str
    """The text as its author wrote it."""


def _few_names(messages: object) -> object:
    if isinstance(messages, list) and any(
        isinstance(each, dict) and len(each) > 2 for each in messages
    ):
        return [few_names(each, 2) for each in messages]
    return messages


def _conversation(bodies: Sequence[MessageBody]) -> tuple[Message, ...]:
    messages = tuple(Message(each["role"], each["content"]) for each in bodies)
    turns = list(messages)
    if turns and turns[0].role == "system":
        del turns[0]
    skipped = len(messages) - len(turns)
    for i, turn in enumerate(turns, skipped):
        if turn.role == "system":
            raise broken("A system message may only stand first.", f"[{i}].role")
    if not turns:
        raise broken("The conversation has no message to answer.")
    if turns[0].role != "user":
        raise broken("The conversation must begin with the user.")
    if turns[-1].role == "user" and is_blank(turns[-1].content):
        raise broken("The last message is empty.", f"[{len(messages) - 1}]")
    return messages


# A conversation that can be answered.
Conversation = Annotated[
    tuple[Message, ...],
    GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(
            _conversation,
            core_schema.no_info_before_validator_function(
                _few_names, handler(Annotated[list[MessageBody], Field(fail_fast=True)])
            ),
        )
    ),
    Field(
        description="The conversation to answer. It begins with the user, or with a system "
        "message. Where the last message is the assistant's, the answer goes on from it.",
        examples=[_HI],
    ),
]


def _id_or_own(value: object) -> str | None:
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else None


PresetChoice = Annotated[
    Annotated[str, Tag("string")] | Annotated[OwnPreset, Tag("object")], Discriminator(_id_or_own)
]
EngineChoice = Annotated[
    str | None,
    Field(
        description="The id of one of the server's engines; null takes the default.",
        examples=["default"],
    ),
]
StopSequence = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
Stops = Annotated[
    list[StopSequence],
    Field(
        fail_fast=True,
        max_length=MAX_STOPS,
        description="Texts that end an answer.",
        examples=[["END"]],
    ),
]


class PaneSettings(Body):
    """How one answer is sampled."""

    preset: PresetChoice | None = Field(
        default=None,
        description="The id of one of the server's presets, or one of the browser's own.",
        examples=["min-p"],
    )
    sampler: SamplerValues | None = Field(
        default=None,
        description="All values of the answer, in place of the preset's.",
        examples=[{"temperature": 0.7}],
    )
    max_new_tokens: NewTokens | None = Field(
        default=None,
        description="The answer's limit. null takes what the context leaves; without the name, "
        "the preset's holds.",
        examples=[256],
    )
    seed: Seed | None = Field(
        default=None, description="null lets the server draw one.", examples=[7]
    )
    stop: Stops | None = None
    engine: EngineChoice = None
    emulate: bool = Field(
        default=True,
        description="Whether parameters that the engine lacks may be emulated; else they are left "
        "out.",
        examples=[False],
    )


class PaneBody(PaneSettings):
    """One answer that is asked for."""

    messages: Conversation | None = Field(
        default=None, description="The pane's own conversation, in place of the shared one."
    )


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The answers that are asked for.

    Attributes:
        blind: Nobody may know yet which one is which.
    """

    panes: tuple[PaneRequest, ...]
    blind: bool


class StreamBody(Body):
    """Answers to be written at once, a pane each."""

    messages: Conversation | None = Field(
        default=None, description="The conversation of all panes that have none of their own."
    )
    panes: Annotated[list[PaneBody], Field(fail_fast=True, min_length=1, max_length=MAX_PANES)] = (
        Field(examples=[[{"preset": "min-p", "max_new_tokens": 64}]])
    )
    blind: bool = Field(
        default=False,
        description="Whether the panes are shuffled, and all that would tell them apart is sealed "
        "until POST /api/reveal opens it.",
    )

    def asked(
        self, presets: Sequence[Preset], engines: Sequence[str] = (DEFAULT,)
    ) -> StreamRequest:
        """What is asked for.

        Args:
            engines: The ids of those that there are, the default's first.

        Raises:
            InvalidRequest: Something in it is wrong; names the field.
        """
        if self.blind and len(self.panes) == 1:
            raise InvalidRequest("There is nothing to hide with a single pane.", field="blind")
        if self.messages is not None and all(pane.messages is not None for pane in self.panes):
            raise InvalidRequest(
                "Every pane has messages of its own, which contradict these.", field="messages"
            )
        by_id = {preset.id: preset for preset in presets}
        panes = []
        for i, pane in enumerate(self.panes):
            messages = self.messages if pane.messages is None else pane.messages
            if messages is None:
                raise InvalidRequest("There is no conversation to answer.", field="messages")
            panes.append(pane_request(pane, messages, f"panes[{i}]", by_id, engines))
        return StreamRequest(tuple(panes), self.blind)


class TokenizeBody(Body):
    """A conversation to measure, and the room that its answer asks for."""

    messages: Conversation
    max_new_tokens: NewTokens | None = Field(default=None, examples=[256])
    engine: EngineChoice = None


class RenderBody(Body):
    """Markdown to be rendered."""

    text: str = Field(max_length=MAX_TEXT_CHARS, examples=["# Hi\n\nHow *are* you?"])


def _is_parameter(value: object) -> bool:
    """Whether an engine may have been sent it: a scalar, or a list or an object of such."""
    if isinstance(value, dict):
        each = list(value.values())
        return all(map(_NAME.fullmatch, value)) and all(isinstance(v, _SCALAR) for v in each)
    return all(isinstance(v, _SCALAR) for v in (value if isinstance(value, list) else [value]))


def _parameters(sent: dict[str, Any]) -> dict[str, Any]:
    for name, value in sent.items():
        if not _NAME.fullmatch(name) or not _is_parameter(value):
            raise broken(
                f"{shortened(name)} must be a name, and its value a number, a text, true or false, "
                "or a list or an object of such.",
                f".{shortened(name)}",
            )
    return sent


_SCALAR: Final = (str, int, float)
_VALUE: Final = ["string", "number", "boolean"]


class AgainBody(Body):
    """An answer's request as POST /api/stream takes it, with every value."""

    messages: Conversation
    sampler: SamplerValues = Field(examples=[{"temperature": 0.7}])
    max_new_tokens: NewTokens | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    emulate: bool = True

    def body(self, engine: str | None) -> dict[str, Any]:
        """What is sent to POST /api/stream."""
        pane: dict[str, Any] = {"sampler": self.sampler.set_values()}
        given = {
            "max_new_tokens": self.max_new_tokens,
            "seed": self.seed,
            "stop": self.stop,
            "engine": engine,
        }
        pane |= {name: value for name, value in given.items() if value is not None}
        if not self.emulate:
            pane["emulate"] = False
        return {
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
            "panes": [pane],
        }


class CodeBody(Body):
    """An answer's request, as its receipt says it."""

    prompt: str = Field(min_length=1, examples=["<|user|>\nHi\n<|assistant|>\n"])
    sent: Annotated[
        dict[str, Any],
        AfterValidator(_parameters),
        WithJsonSchema(
            {
                "type": "object",
                "propertyNames": {"pattern": f"^{_NAME.pattern}$"},
                "additionalProperties": {
                    "anyOf": [
                        {"type": _VALUE},
                        {"type": "array", "items": {"type": _VALUE}},
                        {
                            "type": "object",
                            "propertyNames": {"pattern": f"^{_NAME.pattern}$"},
                            "additionalProperties": {"type": _VALUE},
                        },
                    ]
                },
            }
        ),
    ] = Field(description="The receipt's `sent`.", examples=[{"max_new_tokens": 64, "seed": 7}])
    engine: EngineChoice = None
    again: AgainBody | None = Field(
        default=None, description="For a program that asks this server instead of the engine."
    )


class ProofBody(Body):
    """Which engine is to be proven."""

    engine: EngineChoice = None
    again: bool = Field(
        default=False, description="Whether a proof that this server has already does not count."
    )


_Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


class PiecesBody(Body):
    """Texts to be cut into the engine's tokens."""

    texts: Annotated[list[_Text], Field(fail_fast=True, min_length=1, max_length=MAX_PANES)] = (
        Field(examples=[["Hello there"]])
    )
    engine: EngineChoice = None


class RevealBody(Body):
    """The seals of a blind comparison, at most two for a pane."""

    sealed: Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=2 * MAX_PANES)] = (
        Field(examples=[["gAAAAABm…"]])
    )


def pane_request(
    pane: PaneSettings,
    messages: tuple[Message, ...],
    field: str,
    presets: Mapping[str, Preset],
    engines: Sequence[str] = (DEFAULT,),
) -> PaneRequest:
    """A pane as it is to be answered.

    A pane with a sampler has exactly its values; a preset beside it is what they were edited from.

    Args:
        messages: Its conversation, which may be empty.
        field: The pane's place in the body.
        presets: By id.
        engines: The ids of those that there are, the default's first.

    Raises:
        InvalidRequest: Something in it is wrong; names the field.
    """
    preset = _preset(pane.preset, f"{field}.preset", presets)
    sampler = pane.sampler
    if sampler is None:
        sampler = preset.sampler if preset else Sampler()
    most = preset.max_new_tokens if preset else None
    if "max_new_tokens" in pane.model_fields_set:
        most = pane.max_new_tokens
    return PaneRequest(
        messages=messages,
        sampler=sampler,
        preset=preset.name if preset else None,
        edits=_edits(preset, sampler, most) if preset else {},
        max_new_tokens=most,
        seed=pane.seed,
        stop=tuple(pane.stop or ()),
        engine=resolve(pane.engine, engines, f"{field}.engine"),
        emulate=pane.emulate,
    )


def _edits(
    preset: Draft, sampler: Sampler, limit: int | None
) -> dict[str, tuple[float | None, float | None]]:
    values = {name: (getattr(preset.sampler, name), getattr(sampler, name)) for name in BY_NAME}
    values["max_new_tokens"] = (preset.max_new_tokens, limit)
    return {name: (was, now) for name, (was, now) in values.items() if was != now}


def _preset(
    choice: str | OwnPreset | None, field: str, presets: Mapping[str, Preset]
) -> Draft | None:
    if choice is None:
        return None
    if isinstance(choice, OwnPreset):
        return choice.draft()
    preset = presets.get(choice)
    if preset is None:
        raise InvalidRequest(
            f"There is no preset {shortened(choice)}; there are {', '.join(presets)}.", field=field
        )
    return Draft(preset.name, preset.sampler, preset.source, preset.max_new_tokens)
