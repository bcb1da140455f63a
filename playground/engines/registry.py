"""The engines of this server: which there are, and which one a request means."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from playground.domain.errors import InvalidRequest
from playground.domain.validation import shortened
from playground.engines.base import Engine, EngineAddress

# Names the server's first engine, whatever else that is called.
DEFAULT: Final = "default"


def resolve(choice: str | None, ids: Sequence[str], field: str) -> str:
    """The id of the engine that a request means.

    Args:
        choice: What the request says; ``None`` and DEFAULT mean the first.
        ids: Of the engines that there are.
        field: Where the request says it.

    Raises:
        InvalidRequest: There is no such engine; says which there are.
    """
    if choice is None or choice == DEFAULT:
        return ids[0]
    if choice not in ids:
        known = f"there are {', '.join(ids)}" if len(ids) > 1 else f"its only one is {ids[0]}"
        raise InvalidRequest(
            f"There is no engine {shortened(choice)} on this server; {known}.", field=field
        )
    return choice


@dataclass(frozen=True, slots=True)
class Engines:
    """All engines, in their order; the first is the default.

    Attributes:
        addresses: At least one, each with an id of its own.
        engines: One for each address.
    """

    addresses: tuple[EngineAddress, ...]
    engines: tuple[Engine, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, the default's first."""
        return tuple(address.id for address in self.addresses)

    @property
    def default(self) -> Engine:
        """The engine of whoever chooses none."""
        return self.engines[0]

    def get(self, choice: str | None = None, field: str = "engine") -> Engine:
        """The engine that a request means.

        Raises:
            InvalidRequest: There is no such engine.
        """
        return self.engines[self.ids.index(resolve(choice, self.ids, field))]

    def address(self, choice: str | None = None, field: str = "engine") -> EngineAddress:
        """The address of the engine that a request means.

        Raises:
            InvalidRequest: There is no such engine.
        """
        return self.addresses[self.ids.index(resolve(choice, self.ids, field))]

    async def states(self) -> dict[str, str]:
        """Of each engine by its id whether it is ready, loading or offline."""
        states = await asyncio.gather(*[engine.state() for engine in self.engines])
        return {id_: now.state for id_, now in zip(self.ids, states, strict=True)}
