"""A model that the demo can run, as a value: its name, and how its file is had."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from playground.engines.base import Progress

# What a fetch says on its way: a sentence, and how far it is where that is known.
Report = Callable[[str, Progress | None], None]


class Model(Protocol):
    """A model that can be had."""

    @property
    def name(self) -> str:
        """For people, as the page shows it."""

    def fetch(self, report: Report, stopped: threading.Event) -> Path:
        """Its file, whole. May take hours; ends soon after `stopped` is set.

        Raises:
            ModelError: It cannot be had.
        """


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A file of this machine."""

    name: str
    path: Path

    def fetch(self, report: Report, stopped: threading.Event) -> Path:
        """The file."""
        return self.path
