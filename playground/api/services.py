"""What the routes work with, put together once by the composition root."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from playground.api.bodies import Bodies
from playground.domain.presets import Preset
from playground.engines.registry import Engines
from playground.generation.bridge.plan import EmulationPolicy
from playground.generation.renderer import Renderer
from playground.limits.admission import Admission
from playground.limits.daily_tokens import DailyTokens
from playground.limits.gate import Gate
from playground.limits.rate_limits import LinkGuesses, NewLinks
from playground.settings import Settings
from playground.store.store import Store
from playground.store.usage import Usage
from playground.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, shared by all requests of this process."""

    settings: Settings
    presets: Sequence[Preset]
    engines: Engines
    store: Store
    guesses: LinkGuesses = field(default_factory=LinkGuesses)
    new_links: NewLinks = field(default_factory=NewLinks)
    # Of what others wait for, by kind. Two engine requests at a time leave it to the answers.
    counting: Gate = field(default_factory=lambda: Gate(at_once=2))
    rendering_turns: Gate = field(default_factory=lambda: Gate(at_once=1))
    link_turns: Gate = field(default_factory=lambda: Gate(at_once=1))
    rendering: Renderer = field(default_factory=Renderer)
    link_rendering: Renderer = field(default_factory=Renderer)  # strangers wait for strangers
    bodies: Bodies = field(init=False)
    admission: Admission = field(init=False)
    metrics: Metrics = field(init=False)
    daily_tokens: DailyTokens = field(init=False)
    emulation: EmulationPolicy = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bodies", Bodies(self.settings.max_body_bytes))
        admission = Admission.from_settings(self.settings)
        object.__setattr__(self, "admission", admission)
        metrics = Metrics(
            admission, self.engines.states, self.store.answers, engines=self.engines.ids
        )
        object.__setattr__(self, "metrics", metrics)
        daily_tokens = DailyTokens(Usage(self.store.database), self.settings.tokens_per_day)
        object.__setattr__(self, "daily_tokens", daily_tokens)
        emulation = EmulationPolicy.from_settings(self.settings)
        object.__setattr__(self, "emulation", emulation)
