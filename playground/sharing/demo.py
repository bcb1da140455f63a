"""Demo links: a set-up that its owner fixed, and what a visitor may ask of it. Values, no I/O.

A demo is kept as one JSON document in which every value is resolved, so that it stays what it was
when presets change: its panes are those of POST /api/stream with the presets' values written out.
A visitor sends what was said and nothing else; there is no name in the request by which a value of
the owner's could be replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from playground.domain.errors import Forbidden, InvalidRequest
from playground.domain.messages import Message, PaneRequest
from playground.domain.presets import Preset
from playground.generation.requests import MAX_PANES, messages_of, object_of, pane_of, whole_number
from playground.sharing.record import one_line

MAX_TITLE_CHARS: Final = 120
MAX_SYSTEM_CHARS: Final = 20_000
MAX_BUDGET: Final = 1_000_000_000
MAX_LIFE_S: Final = 10 * 365 * 86_400
# What an answer may take where neither a preset nor the owner says it: without a limit, a single
# answer would hold the whole context back from the others.
ANSWER_TOKENS: Final = 1024
# Below this an answer says nothing: a budget with less for each pane is used up.
LEAST_TOKENS: Final = 16
_TERMS: Final = ("title", "panes", "system", "budget_tokens", "max_new_tokens", "expires_in_s")


class UsedUp(Forbidden):
    """The budget has no room for another answer."""

    kind = "used_up"


@dataclass(frozen=True, slots=True)
class Demo:
    """What its owner fixed.

    panes: 1 to 4, without messages; each has a limit of new tokens. system: "" for none.
    """

    title: str
    panes: tuple[PaneRequest, ...]
    system: str

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
    """A demo that is to be made. expires_in_s: seconds from now, ``None`` for no end."""

    demo: Demo
    budget_tokens: int
    expires_in_s: int | None


def parse_terms(body: object, presets: Sequence[Preset]) -> Terms:
    """POST /api/demos. Raises InvalidRequest naming the field."""
    top = object_of(body, "", _TERMS)
    title = one_line(_text(top.get("title"), "title", MAX_TITLE_CHARS), "title", MAX_TITLE_CHARS)
    system = _text(top.get("system", ""), "system", MAX_SYSTEM_CHARS).strip()
    most = whole_number(top.get("max_new_tokens"), "max_new_tokens", 1, MAX_BUDGET)
    panes = tuple(_limited(pane, most) for pane in _panes(top.get("panes"), presets))
    demo = Demo(title, panes, system)
    least = demo.least_tokens
    budget = whole_number(top.get("budget_tokens"), "budget_tokens", least, MAX_BUDGET)
    if budget is None:
        raise InvalidRequest("A demo needs a budget of tokens.", field="budget_tokens")
    return Terms(demo, budget, whole_number(top.get("expires_in_s"), "expires_in_s", 1, MAX_LIFE_S))


def parse_toggle(body: object) -> bool:
    """PATCH /api/demos/{token}: whether the link is to work. Raises InvalidRequest."""
    enabled = object_of(body, "", ("enabled",)).get("enabled")
    if not isinstance(enabled, bool):
        raise InvalidRequest("enabled must be true or false.", field="enabled")
    return enabled


def parse_visit(body: object, demo: Demo) -> tuple[PaneRequest, ...]:
    """POST /api/demos/{token}/stream: the demo's panes with what its visitor said.

    ``{"messages": [...]}`` for all panes, or ``{"panes": [{"messages": [...]}, ...]}`` with as many
    as the demo has. Raises InvalidRequest naming the field, also for a system message.
    """
    top = object_of(body, "", ("messages", "panes"))
    if top.get("panes") is None:
        spoken = [_turns(top.get("messages"), "messages")] * len(demo.panes)
    elif top.get("messages") is not None:
        raise InvalidRequest("Send messages or panes, not both.", field="messages")
    elif not isinstance(top["panes"], list) or len(top["panes"]) != len(demo.panes):
        raise InvalidRequest(
            f"This demo has {len(demo.panes)} panes, and each needs its messages.", field="panes"
        )
    else:
        spoken = [
            _turns(
                object_of(pane, f"panes[{i}]", ("messages",)).get("messages"),
                f"panes[{i}].messages",
            )
            for i, pane in enumerate(top["panes"])
        ]
    head = (Message("system", demo.system),) if demo.system else ()
    return tuple(
        replace(pane, messages=head + turns) for pane, turns in zip(demo.panes, spoken, strict=True)
    )


def capped(panes: Sequence[PaneRequest], granted: int) -> tuple[PaneRequest, ...]:
    """The panes with limits of new tokens that add up to `granted` at most.

    A pane that needs less than its share leaves the rest to the others. granted: at least one token
    for each pane.
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
    """A document that was kept."""
    panes = (pane_of(pane, "panes", (), {}) for pane in document["panes"])
    return Demo(title, tuple(panes), document["system"])


def shown_panes(demo: Demo) -> list[dict[str, Any]]:
    """What the panes are fixed to, for those who visit and for the owner."""
    return [
        {
            "name": pane.preset or "",
            "edited": bool(pane.edited),
            "sampler": pane.sampler.set_values(),
            "max_new_tokens": pane.max_new_tokens,
            "seed": pane.seed,
            "stop": pane.stop,
        }
        for pane in demo.panes
    ]


def _panes(body: object, presets: Sequence[Preset]) -> list[PaneRequest]:
    if not isinstance(body, list) or not 1 <= len(body) <= MAX_PANES:
        raise InvalidRequest(f"panes must be a list of 1 to {MAX_PANES} panes.", field="panes")
    by_id = {preset.id: preset for preset in presets}
    panes = []
    for i, each in enumerate(body):
        pane = pane_of(each, f"panes[{i}]", (), by_id)
        if pane.messages:
            raise InvalidRequest(
                "A demo fixes a set-up; its visitors bring the messages.",
                field=f"panes[{i}].messages",
            )
        panes.append(pane)
    return panes


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
    if pane.preset is not None and pane.started_from is not None:
        kept["preset"] = {"name": pane.preset, "sampler": pane.started_from.set_values()}
    return kept


def _turns(body: object, field: str) -> tuple[Message, ...]:
    messages = messages_of(body, field)
    if messages[0].role == "system":
        raise InvalidRequest(
            "The owner of this demo fixed its system text; send what was said by the user and the "
            "assistant.",
            field=f"{field}[0].role",
        )
    return messages


def _text(body: object, field: str, most: int) -> str:
    if not isinstance(body, str) or len(body) > most or "\0" in body:
        raise InvalidRequest(f"{field} must be a text of at most {most:,} characters.", field=field)
    return body
