"""What of a request the engine is asked for, and what is applied here to its tokens."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from playground.domain.messages import Applied, PaneRequest
from playground.domain.samplers import BY_NAME, Sampler
from playground.engines.base import EngineInfo, GenerationRequest
from playground.generation.bridge.target import Target
from playground.settings import Settings

_PENALTIES: Final = ("presence_penalty", "frequency_penalty")
_CUTS: Final = ("top_k", "top_p", "min_p")
# Tokens that come while an engine is being left: at a restart, and near a request's end.
_AT_A_RESTART: Final = 3
_AT_A_SEAM: Final = 64
# Where the engine may leave out unlikely tokens itself, it draws from so many: few places need
# more, and each further one is drawn in vain now and then.
_NARROW: Final = 20
_OFF: Final = "Emulation is off, and the engine has no such parameter: it is not sent."
_WEAK: Final = (
    "Emulation is off. The engine's own is far weaker than OpenAI's, and is not sent either."
)


@dataclass(frozen=True, slots=True)
class EmulationPolicy:
    """What the operator allows.

    Attributes:
        restarts: The share of an answer's tokens that may be restarts; above it emulation is given
            up for the rest of the answer.
    """

    allowed: bool = True
    restarts: float = 0.75

    @classmethod
    def from_settings(cls, settings: Settings) -> "EmulationPolicy":
        """What the settings allow."""
        return cls(settings.emulation, settings.emulation_restarts)

    def treats(self, info: EngineInfo) -> EngineInfo:
        """The engine as answers have it: without emulation where that is off."""
        if self.allowed:
            return info
        return replace(info, applied=without_emulation(info.applied))


@dataclass(frozen=True, slots=True)
class Plan:
    """One generation as it is carried out.

    Attributes:
        request: What the engine is asked for first.
        max_new_tokens: Of the whole answer.
        target: ``None`` where nothing is emulated.
        native: What the engine is asked for where emulation is given up.
        emulated: Of each parameter that is applied here and so is not sent, the value.
        narrow: How many of the likeliest tokens the engine is to draw from where more are not
            needed, 0 where all are; it stands as top_k in `request`.
        wide: What the engine is asked for where more are needed.
    """

    request: GenerationRequest
    max_new_tokens: int
    target: Target | None
    native: Sampler
    emulated: Mapping[str, float] = field(default_factory=dict)
    narrow: int = 0
    wide: Sampler | None = None

    @property
    def held_back(self) -> bool:
        """Whether something is applied here that the engine could apply itself, but too early."""
        return any(name in self.emulated for name in ("top_k", "top_p"))

    @property
    def bridged(self) -> bool:
        """Whether the engine's own stream is not the answer."""
        return self.target is not None or self.max_new_tokens > self.request.max_new_tokens


def plan_generation(request: GenerationRequest, info: EngineInfo, *, emulate: bool = True) -> Plan:
    """How an engine is made to write an answer.

    Args:
        emulate: Whether parameters that it lacks may be emulated.
    """
    longest = min(request.max_new_tokens, info.longest_request or request.max_new_tokens)
    first = replace(request, max_new_tokens=longest)
    plain = Plan(first, request.max_new_tokens, None, request.sampler)
    values = {
        name: value
        for name, value in request.sampler.set_values().items()
        if value != BY_NAME[name].neutral
    }
    lacking = [n for n in values if info.applied[n].how == "emulated"] if emulate else []
    heat = request.sampler.temperature
    # Without a temperature an engine samples where there is something to sample within.
    greedy = heat == 0 or (heat is None and not any(name in values for name in _CUTS))
    if greedy:
        lacking = [name for name in lacking if name in _PENALTIES]
    if not lacking:
        return plain
    held = list(lacking)
    if any(name in _PENALTIES for name in lacking) and not greedy:
        # They come after the penalties.
        held += [name for name in _CUTS if name in values and name not in held]
    kept = {name: values[name] for name in held}
    temperature = 0.0 if greedy else heat or 1.0
    sampler = replace(
        request.sampler,
        **dict.fromkeys(held, None),
        temperature=heat if greedy else temperature,
    )
    target = Target(temperature, **kept)  # type: ignore[arg-type]  # a top_k is whole
    native = replace(request.sampler, temperature=sampler.temperature)
    narrow = 0
    few = 0 < target.top_k < _NARROW
    if not greedy and (few or (target.min_p and target.top_p == 1 and not values.get("top_p"))):
        narrow = _NARROW if sampler.top_k is None else min(_NARROW, sampler.top_k)
    narrow = 0 if narrow == sampler.top_k else narrow
    asked = replace(sampler, top_k=narrow) if narrow else sampler
    return Plan(
        replace(first, sampler=asked, likeliest=info.probabilities.most),
        request.max_new_tokens,
        target,
        native,
        kept,
        narrow,
        sampler,
    )


def spare_tokens(pane: PaneRequest, info: EngineInfo, policy: EmulationPolicy) -> int:
    """How many tokens an engine may write for an answer that do not become part of it, about.

    Args:
        pane: One with a limit.
    """
    assert pane.max_new_tokens is not None
    request = GenerationRequest("", pane.sampler, pane.max_new_tokens, 0, pane.stop)
    made = plan_generation(request, info, emulate=pane.emulate and policy.allowed)
    if not made.bridged:
        return 0
    seams = _AT_A_SEAM * (made.max_new_tokens // made.request.max_new_tokens)
    restarts = 0 if made.target is None else math.ceil(policy.restarts * made.max_new_tokens)
    return seams + _AT_A_RESTART * restarts


def without_emulation(applied: Mapping[str, Applied]) -> dict[str, Applied]:
    """How an engine treats each parameter where emulation is off."""
    return {
        name: Applied("unsupported", _WEAK if name == "frequency_penalty" else _OFF)
        if way.how == "emulated"
        else way
        for name, way in applied.items()
    }
