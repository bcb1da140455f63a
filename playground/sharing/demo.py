"""Demo links: a set-up that its owner fixed, and what a visitor may ask of it. Values, no I/O.

A demo is kept as one JSON document in which every value is resolved, so that it stays what it was
when presets change: its panes are those of POST /api/stream with the presets' values written out.
A visitor sends what was said and nothing else; there is no name in the request by which a value of
the owner's could be replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import Field

from playground.domain.errors import Forbidden, InvalidRequest
from playground.domain.messages import Message, PaneRequest
from playground.domain.names import plain_name
from playground.domain.presets import Preset
from playground.domain.samplers import BY_NAME, Sampler, parse_value
from playground.domain.validation import Body, whole
from playground.engines.registry import DEFAULT, resolve
from playground.generation.requests import (
    MAX_PANES,
    Conversation,
    PaneSettings,
    pane_request,
)
from playground.sharing.record import MAX_LIFE_S, one_line

MAX_TITLE_CHARS: Final = 120
MAX_SYSTEM_CHARS: Final = 20_000
MAX_BUDGET: Final = 1_000_000_000
# What an answer may take where neither a preset nor the owner says it: without a limit, a single
# answer would hold the whole context back from the others.
ANSWER_TOKENS: Final = 1024
# Below this an answer says nothing: a budget with less for each pane is used up.
LEAST_TOKENS: Final = 16


class UsedUp(Forbidden):
    """The budget has no room for another answer."""

    kind = "used_up"


@dataclass(frozen=True, slots=True)
class Demo:
    """What its owner fixed.

    Attributes:
        panes: 1 to 4, without messages; each has a limit of new tokens.
        system: "" for none.
        notes: In words, what was fixed once and does not apply any more.
    """

    title: str
    panes: tuple[PaneRequest, ...]
    system: str
    notes: tuple[str, ...] = ()

    @property
    def most_tokens(self) -> int:
        """What one round of answers may take at most."""
        return sum(pane.max_new_tokens or ANSWER_TOKENS for pane in self.panes)

    @property
    def least_tokens(self) -> int:
        """What one round of answers needs at least to be begun."""
        return sum(min(pane.max_new_tokens or LEAST_TOKENS, LEAST_TOKENS) for pane in self.panes)


@dataclass(frozen=True, slots=True)
class Terms:
    """A demo that is to be made.

    Attributes:
        expires_in_s: Seconds from now, ``None`` for no end.
    """

    demo: Demo
    budget_tokens: int
    expires_in_s: int | None


class TermsBody(Body):
    """A demo to be made."""

    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)] = Field(examples=["Min-p, twice"])
    panes: Annotated[
        list[PaneSettings], Field(fail_fast=True, min_length=1, max_length=MAX_PANES)
    ] = Field(examples=[[{"preset": "min-p"}]])
    system: str = Field(
        default="", max_length=MAX_SYSTEM_CHARS, description="The system text of all panes."
    )
    budget_tokens: Annotated[int, whole] = Field(
        description="How many tokens all answers of the demo may take together: at least 16 for "
        "each pane, or the pane's own limit where that is less.",
        examples=[20_000],
        json_schema_extra={"minimum": 1, "maximum": MAX_BUDGET},
    )
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_BUDGET), whole] | None = Field(
        default=None, description="The limit of each answer, where a pane's own is not less."
    )
    expires_in_s: Annotated[int, Field(ge=1, le=MAX_LIFE_S), whole] | None = Field(
        default=None, description="null gives it no end.", examples=[604_800]
    )

    def terms(self, presets: Sequence[Preset], engines: Sequence[str] = (DEFAULT,)) -> Terms:
        """The demo with its values written out.

        Args:
            engines: The ids of those that there are, the default's first.

        Raises:
            InvalidRequest: Something in it is wrong; names the field.
        """
        title = one_line(self.title, "title", MAX_TITLE_CHARS)
        if "\0" in self.system:
            raise InvalidRequest("system must not hold a NUL character.", field="system")
        by_id = {preset.id: preset for preset in presets}
        panes = (
            pane_request(pane, (), f"panes[{i}]", by_id, engines)
            for i, pane in enumerate(self.panes)
        )
        demo = Demo(
            title,
            tuple(_limited(pane, self.max_new_tokens) for pane in panes),
            self.system.strip(),
        )
        if not demo.least_tokens <= self.budget_tokens <= MAX_BUDGET:
            raise InvalidRequest(
                f"budget_tokens must be a whole number from {demo.least_tokens} to {MAX_BUDGET:,}.",
                field="budget_tokens",
            )
        return Terms(demo, self.budget_tokens, self.expires_in_s)


class SwitchBody(Body):
    """Whether the link is to work."""

    enabled: bool = Field(examples=[False])


class VisitPaneBody(Body):
    """What was said in one pane."""

    messages: Conversation


class VisitBody(Body):
    """What a visitor said: messages for all panes, or panes with their own."""

    messages: Conversation | None = None
    panes: Annotated[list[VisitPaneBody], Field(fail_fast=True, max_length=MAX_PANES)] | None = (
        Field(default=None, description="As many as the demo has.")
    )
    new_seed: bool = Field(
        default=False,
        description="Whether seeds that the owner fixed are left out for this once, so that "
        "another try gives another answer.",
    )

    def asked(self, demo: Demo) -> tuple[PaneRequest, ...]:
        """The demo's panes with what its visitor said.

        Raises:
            InvalidRequest: Names the field, also for a system message.
        """
        if self.panes is None:
            if self.messages is None:
                raise InvalidRequest("There is no conversation to answer.", field="messages")
            spoken = [_turns(self.messages, "messages")] * len(demo.panes)
        elif self.messages is not None:
            raise InvalidRequest("Send messages or panes, not both.", field="messages")
        elif len(self.panes) != len(demo.panes):
            raise InvalidRequest(
                f"This demo has {len(demo.panes)} panes, and each needs its messages.",
                field="panes",
            )
        else:
            spoken = [
                _turns(pane.messages, f"panes[{i}].messages") for i, pane in enumerate(self.panes)
            ]
        head = (Message("system", demo.system),) if demo.system else ()
        return tuple(
            replace(pane, messages=head + turns, seed=None if self.new_seed else pane.seed)
            for pane, turns in zip(demo.panes, spoken, strict=True)
        )


def capped(panes: Sequence[PaneRequest], granted: int) -> tuple[PaneRequest, ...]:
    """The panes with limits of new tokens that add up to `granted` at most.

    A pane that needs less than its share leaves the rest to the others.

    Args:
        granted: At least one token for each pane.
    """
    limits = [pane.max_new_tokens or ANSWER_TOKENS for pane in panes]
    shares = [0] * len(limits)
    for left, i in enumerate(sorted(range(len(limits)), key=limits.__getitem__)):
        shares[i] = min(limits[i], (granted - sum(shares)) // (len(limits) - left))
    return tuple(
        replace(pane, max_new_tokens=share) for pane, share in zip(panes, shares, strict=True)
    )


def write_demo(demo: Demo) -> dict[str, Any]:
    """The demo's document, to be kept; its title is not part of it."""
    return {"version": 1, "system": demo.system, "panes": [_kept(pane) for pane in demo.panes]}


def read_demo(title: str, document: Mapping[str, Any]) -> Demo:
    """A document that was kept.

    What was accepted once stays readable: a value that this server would not take today is left
    unset, and `notes` says so.
    """
    notes: dict[str, None] = {}
    panes = []
    for i, kept in enumerate(document["panes"]):
        where = f"Column {i + 1}: " if len(document["panes"]) > 1 else ""
        sampler, lost = _read_sampler(kept["sampler"])
        notes |= dict.fromkeys(f"{where}{each}" for each in lost)
        preset = kept.get("preset")
        panes.append(
            PaneRequest(
                messages=(),
                sampler=sampler,
                preset=plain_name(preset["name"]) if preset else None,
                edits=_read_edits(kept, sampler) if preset else {},
                max_new_tokens=kept["max_new_tokens"],
                seed=kept["seed"],
                stop=tuple(kept["stop"]),
                engine=kept.get("engine", DEFAULT),
                emulate=kept.get("emulate", True),
            )
        )
    return Demo(plain_name(title), tuple(panes), document["system"], tuple(notes))


def with_engines(demo: Demo, engines: Sequence[str]) -> Demo:
    """The demo as this server's engines answer it: the default stands in for one that is gone.

    Args:
        engines: The ids of those that there are, the default's first.
    """
    panes, notes = [], dict.fromkeys(demo.notes)
    for i, pane in enumerate(demo.panes):
        try:
            panes.append(replace(pane, engine=resolve(pane.engine, engines, "engine")))
        except InvalidRequest:
            where = f"Column {i + 1}: " if len(demo.panes) > 1 else ""
            notes[
                f"{where}the engine {pane.engine} is not there any more; {engines[0]} answers."
            ] = None
            panes.append(replace(pane, engine=engines[0]))
    return replace(demo, panes=tuple(panes), notes=tuple(notes))


def _read_edits(
    kept: Mapping[str, Any], sampler: Sampler
) -> dict[str, tuple[float | None, float | None]]:
    """What is not the preset's. Its limit is kept where the owner chose another."""
    preset, limit = kept["preset"], "max_new_tokens"
    started, _ = _read_sampler(preset["sampler"])
    edits = {
        name: (getattr(started, name), getattr(sampler, name))
        for name in BY_NAME
        if kept["sampler"].get(name) != preset["sampler"].get(name)
    }
    return edits | ({limit: (preset[limit], kept[limit])} if limit in preset else {})


def _read_sampler(kept: Mapping[str, Any]) -> tuple[Sampler, list[str]]:
    """The values that apply today, and what became of the others."""
    values: dict[str, Any] = {}
    lost = []
    for name, value in kept.items():
        parameter = BY_NAME.get(name)
        if parameter is None:
            lost.append(f"{name} {value} does not apply any more: this server does not know it.")
            continue
        try:
            values[name] = parse_value(parameter, value, name)
        except InvalidRequest:
            lost.append(f"{name} {value} does not apply any more: here it must {parameter.rule}.")
    return Sampler(**values), lost


def shown_panes(demo: Demo) -> list[dict[str, Any]]:
    """What the panes are fixed to, for those who visit and for the owner."""
    return [
        {
            "name": pane.preset or "",
            "edited": bool(pane.edits),
            "sampler": pane.sampler.set_values(),
            "max_new_tokens": pane.max_new_tokens,
            "seed": pane.seed,
            "stop": pane.stop,
            "engine": pane.engine,
            "emulate": pane.emulate,
        }
        for pane in demo.panes
    ]


def _limited(pane: PaneRequest, most: int | None) -> PaneRequest:
    """The pane with its own limit, the owner's for all panes where that is less, or the usual."""
    own = pane.max_new_tokens
    limit = min((each for each in (own, most) if each is not None), default=ANSWER_TOKENS)
    return replace(pane, max_new_tokens=limit)


def _kept(pane: PaneRequest) -> dict[str, Any]:
    kept: dict[str, Any] = {
        "sampler": pane.sampler.set_values(),
        "max_new_tokens": pane.max_new_tokens,
        "seed": pane.seed,
        "stop": list(pane.stop),
    }
    if pane.engine != DEFAULT:
        kept["engine"] = pane.engine
    if not pane.emulate:
        kept["emulate"] = False
    if pane.preset is not None:
        was = {name: before for name, (before, _) in pane.edits.items()}
        limit = {"max_new_tokens": was.pop("max_new_tokens")} if "max_new_tokens" in was else {}
        started = replace(pane.sampler, **was)  # type: ignore[arg-type]  # a top_k is whole
        kept["preset"] = {"name": pane.preset, "sampler": started.set_values(), **limit}
    return kept


def _turns(messages: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    if messages[0].role == "system":
        raise InvalidRequest(
            "The owner of this demo fixed its system text; send what was said by the user and the "
            "assistant.",
            field=f"{field}[0].role",
        )
    return messages
