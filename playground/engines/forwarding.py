"""What stands in front of an engine for a while, and changes some of what it does."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from playground.engines.base import Engine, EngineState, GenerationRequest

E = TypeVar("E", bound=Engine)


class Forwarding(Generic[E]):
    """Passes on to an engine that others share what a subclass does not change."""

    def __init__(self, engine: E) -> None:
        self._engine = engine

    async def state(self) -> EngineState:
        """The engine's state."""
        return await self._engine.state()

    async def count_tokens(self, text: str) -> int:
        """As the engine counts."""
        return await self._engine.count_tokens(text)

    async def pieces(self, text: str) -> list[str]:
        """As the engine cuts."""
        return await self._engine.pieces(text)

    def parameters(self, request: GenerationRequest) -> Mapping[str, object]:
        """As the engine is sent them."""
        return self._engine.parameters(request)

    async def aclose(self) -> None:
        """The engine is not this one's to close."""
