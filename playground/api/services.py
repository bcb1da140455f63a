"""What the routes work with, put together once by the composition root."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from playground.api.bodies import Bodies
from playground.domain.presets import Preset
from playground.engines.registry import Engines
from playground.generation.bridge.plan import EmulationPolicy
from playground.generation.renderer import AnswersMarkdown, Renderer
from playground.limits.admission import Admission
from playground.limits.daily_tokens import DailyTokens
from playground.limits.gate import Gate
from playground.limits.rate_limits import LinkGuesses, NewLinks
from playground.limits.windows import own_windows
from playground.settings import Settings
from playground.store.store import Store
from playground.store.usage import Usage
from playground.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from playground.limits.shared import Shared
    from playground.limits.shared_streams import SharedPlaces, SharedStops


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, shared by all requests of this process."""

    settings: Settings
    presets: Sequence[Preset]
    engines: Engines
    store: Store
    shared: "Shared | None" = None
    guesses: LinkGuesses = field(init=False)
    new_links: NewLinks = field(init=False)
    # Work that others wait for, by kind: what each engine makes of texts, two of them at a time, so
    # that it has time for answers; what this process makes of them itself, in a thread; the same
    # for strangers, who wait for strangers; and the proof that somebody else has asked for.
    counting: Mapping[str, Gate] = field(init=False)
    computing: Gate = field(default_factory=lambda: Gate(at_once=1))
    link_computing: Gate = field(default_factory=lambda: Gate(at_once=1))
    proving: Gate = field(default_factory=lambda: Gate(at_once=256))
    markdown: AnswersMarkdown = field(default_factory=AnswersMarkdown)
    rendering: Renderer = field(default_factory=Renderer)
    link_rendering: Renderer = field(default_factory=Renderer)
    bodies: Bodies = field(init=False)
    admission: Admission = field(init=False)
    stops: "SharedStops | None" = field(init=False)
    places: "SharedPlaces | None" = field(init=False)
    metrics: Metrics = field(init=False)
    daily_tokens: DailyTokens = field(init=False)
    emulation: EmulationPolicy = field(init=False)

    @property
    def gates(self) -> Sequence[Gate]:
        """All of them."""
        others = (self.computing, self.link_computing, self.proving, self.bodies.large)
        return *self.counting.values(), *others

    def __post_init__(self) -> None:
        windows = self.shared.window if self.shared else own_windows
        object.__setattr__(self, "guesses", LinkGuesses(windows))
        object.__setattr__(self, "new_links", NewLinks(windows))
        object.__setattr__(self, "bodies", Bodies(self.settings.max_body_bytes))
        object.__setattr__(self, "counting", {id_: Gate(at_once=2) for id_ in self.engines.ids})
        admission = Admission.from_settings(self.settings)
        object.__setattr__(self, "admission", admission)
        stops: SharedStops | None = None
        places: SharedPlaces | None = None
        if self.shared:
            from playground.limits import shared_streams  # here, since others need none of it

            stops = shared_streams.SharedStops(self.shared, admission)
            limit = self.settings.max_streams_per_user
            places = shared_streams.SharedPlaces(self.shared, limit)
        object.__setattr__(self, "stops", stops)
        object.__setattr__(self, "places", places)
        metrics = Metrics(
            admission,
            self.engines.states,
            self.store.answers,
            engines=self.engines.ids,
            texts_waiting=lambda: sum(gate.waiting for gate in self.gates),
        )
        object.__setattr__(self, "metrics", metrics)
        daily_tokens = DailyTokens(Usage(self.store.database), self.settings.tokens_per_day)
        object.__setattr__(self, "daily_tokens", daily_tokens)
        emulation = EmulationPolicy.from_settings(self.settings)
        object.__setattr__(self, "emulation", emulation)
