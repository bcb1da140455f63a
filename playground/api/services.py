"""What the routes work with, put together once by the composition root."""

from collections.abc import Sequence
from dataclasses import dataclass

from playground.engines.base import Engine
from playground.presets import Preset
from playground.settings import Settings
from playground.store.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, shared by all requests of this process."""

    settings: Settings
    presets: Sequence[Preset]
    engine: Engine
    store: Store
