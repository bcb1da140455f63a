"""What the routes work with, put together once by the composition root."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from playground.allowance import Allowance
from playground.api.rendering import Renderer
from playground.engines.base import Engine
from playground.gate import Gate
from playground.guesses import Guesses
from playground.metrics import Metrics
from playground.presets import Preset
from playground.quota import Quota
from playground.settings import Settings
from playground.store.store import Store
from playground.store.usage import Usage


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, shared by all requests of this process."""

    settings: Settings
    presets: Sequence[Preset]
    engine: Engine
    store: Store
    guesses: Guesses = field(default_factory=Guesses)
    quota: Quota = field(default_factory=Quota)
    rendering: Renderer = field(default_factory=Renderer)
    link_rendering: Renderer = field(default_factory=Renderer)  # strangers wait for strangers
    gate: Gate = field(init=False)
    metrics: Metrics = field(init=False)
    allowance: Allowance = field(init=False)

    def __post_init__(self) -> None:
        gate = Gate.from_settings(self.settings)
        object.__setattr__(self, "gate", gate)
        object.__setattr__(self, "metrics", Metrics(gate, self.engine, self.store.answers))
        allowance = Allowance(Usage(self.store.database), self.settings.tokens_per_day)
        object.__setattr__(self, "allowance", allowance)
