"""An engine with what is emulated in front of it, for the proof that parameters take effect."""

from collections.abc import AsyncGenerator, Mapping

from playground.engines.base import (
    Chunk,
    Engine,
    Finish,
    GenerationRequest,
    ProvableEngine,
    SteppedEngine,
    Written,
)
from playground.engines.forwarding import Forwarding
from playground.engines.streams import closing
from playground.generation.bridge.plan import EmulationPolicy, plan_generation
from playground.generation.bridge.writing import Bridge
from playground.generation.stop_sequences import StopFilter


def with_emulation(engine: Engine, policy: EmulationPolicy) -> Engine:
    """The engine as answers have it; the same one where nothing can be emulated."""
    if not policy.allowed or not isinstance(engine, SteppedEngine):
        return engine
    return Emulating(engine, policy) if isinstance(engine, ProvableEngine) else engine


class Emulating(Forwarding[ProvableEngine]):
    """An engine whose whole answers are written as those of a reader are.

    Args:
        engine: A provable one that tells its steps.
    """

    def __init__(self, engine: ProvableEngine, policy: EmulationPolicy) -> None:
        super().__init__(engine)
        self._policy = policy

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """As the engine streams."""
        return self._engine.stream(request)

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        """A whole answer, by the engine alone where nothing of it is to be emulated."""
        info = (await self._engine.state()).info
        made = plan_generation(request, info) if info else None
        if info is None or made is None or not made.bridged or extra:
            return await self._engine.write(request, likeliest=likeliest, extra=extra)
        assert isinstance(self._engine, SteppedEngine)
        prompt_tokens = await self._engine.count_tokens(request.prompt)
        bridge = Bridge(self._engine, info, made, prompt_tokens, self._policy, telling=True)
        stops = StopFilter(request.stop, strip_start=False)
        text = ""
        async with closing(bridge.write()) as items:
            async for item in items:
                if isinstance(item, Chunk):
                    text += stops.feed(item.text)
                if stops.stopped:
                    break
        told = bridge.told if likeliest else ()
        return Written(text + stops.flush(), len(bridge.ids), bridge.ids, told)
