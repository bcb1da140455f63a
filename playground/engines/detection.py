"""An engine that asks the server what it is, and is then what it found.

It looks again when what it found is gone, or has another model: a server may be replaced behind a
page that is open.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from playground.domain.errors import EngineError
from playground.engines.base import (
    Chunk,
    EngineAddress,
    EngineInfo,
    EngineKind,
    EngineState,
    Finish,
    GenerationRequest,
    Piece,
    ProvableEngine,
    Step,
    SteppedEngine,
    Written,
)
from playground.engines.completions import refusal
from playground.engines.http import EngineHTTP
from playground.engines.openai import root
from playground.engines.readiness import LOADING_S, PROBE_S, Readiness
from playground.engines.streams import closing

# What an answer means that is no engine's: the next question may have one.
_NO_ANSWER: Final = ("protocol", "refused", "generation")


class DetectedEngine:
    """What answers at an address, of a kind that is not known before it is asked.

    Args:
        make: An engine of an address whose kind is known.
        probe_timeout: Seconds within which a server that is there says what it is.
        loading_for: Seconds for which a server that was never found and refuses connections may be
            loading; afterwards it is offline.
    """

    def __init__(
        self,
        address: EngineAddress,
        make: Callable[[EngineAddress], ProvableEngine],
        *,
        probe_timeout: float = PROBE_S,
        loading_for: float = LOADING_S,
    ) -> None:
        self._address = address
        self._make = make
        self._http = EngineHTTP(root(address.url), api_key=address.api_key, refusal=refusal)
        self._readiness = Readiness(
            root(address.url),
            self._look,
            lambda: None,
            starting="the engine is still loading: many open their port only when the model is "
            "there, and the first start may also download it.",
            probe_timeout=probe_timeout,
            loading_for=loading_for,
        )
        self._found: ProvableEngine | None = None
        self._kind: EngineKind | None = None
        self._model_id = ""

    async def state(self) -> EngineState:
        """The state of what was found, or why nothing was."""
        if self._found is not None:
            state = await self._found.state()
            if state.info is not None and state.info.model_id == self._model_id:
                return state
        looked = await self._readiness.state()
        return looked if self._found is None else await self._found.state()

    async def count_tokens(self, text: str) -> int:
        """As the engine that was found."""
        return await (await self._engine()).count_tokens(text)

    async def pieces(self, text: str) -> list[str]:
        """As the engine that was found."""
        return await (await self._engine()).pieces(text)

    def parameters(self, request: GenerationRequest) -> Mapping[str, object]:
        """As the engine that was found.

        Raises:
            EngineError: None was found yet.
        """
        if self._found is None:
            raise EngineError(
                f"What answers at {self._address.url} is not known yet.",
                kind="offline",
                retryable=True,
            )
        return self._found.parameters(request)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """As the engine that was found."""
        if self._found is not None:
            return self._found.stream(request)  # with nothing between at each token
        return self._stream_when_found(request)

    async def _stream_when_found(
        self, request: GenerationRequest
    ) -> AsyncGenerator[Chunk | Finish, None]:
        async with closing((await self._engine()).stream(request)) as items:
            async for item in items:
                yield item

    async def steps(
        self, request: GenerationRequest
    ) -> AsyncGenerator[Sequence[Step] | Finish, None]:
        """As the engine that was found; one that is asked so tells steps."""
        engine = await self._engine()
        assert isinstance(engine, SteppedEngine)
        async with closing(engine.steps(request)) as items:
            async for item in items:
                yield item

    async def tokens(self, text: str) -> Sequence[Piece]:
        """As the engine that was found."""
        engine = await self._engine()
        assert isinstance(engine, SteppedEngine)
        return await engine.tokens(text)

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        """As the engine that was found."""
        return await (await self._engine()).write(request, likeliest=likeliest, extra=extra)

    async def aclose(self) -> None:
        """Close all connections."""
        self._readiness.close()
        await self._http.aclose()
        if self._found is not None:
            await self._found.aclose()

    async def _engine(self) -> ProvableEngine:
        if self._found is None:
            state = await self.state()
            if self._found is None:
                raise EngineError(
                    state.reason,
                    kind="loading" if state.state == "loading" else "offline",
                    retryable=True,
                )
        return self._found

    async def _look(self) -> EngineInfo:
        """Find out what is there, and what it says of itself."""
        kind = await identify(self._http, self._address.url)
        if self._found is None or kind != self._kind:
            gone, self._kind = self._found, kind
            address = replace(self._address, kind=kind, url=root(self._address.url))
            self._found = self._make(address)
            if gone is not None:
                await gone.aclose()
        state = await self._found.state()
        if state.info is None:
            raise EngineError(
                state.reason,
                kind="loading" if state.state == "loading" else "protocol",
                retryable=True,
            )
        self._model_id = state.info.model_id
        return state.info


async def identify(http: EngineHTTP, url: str) -> EngineKind:
    """What a server is, by a route of each kind that no other has.

    Raises:
        EngineError: It does not answer, or it is none that the playground knows.
    """
    if "max_total_tokens" in await _said(http, "info"):
        return "tgi"
    if "total_slots" in await _said(http, "props"):
        return "llamacpp"
    try:
        models = await http.get("v1/models")
        said = "no list of models"
    except EngineError as error:
        if error.kind not in _NO_ANSWER:
            raise
        models, said = None, str(error)
    data = models.get("data") if isinstance(models, dict) else None
    cards = data if isinstance(data, list) else None
    owners = [card.get("owned_by") for card in cards or () if isinstance(card, dict)]
    if "vllm" in owners:
        return "vllm"
    if "sglang" in owners:
        return "sglang"
    if cards is not None:
        return "openai"
    raise EngineError(
        f"Something answers at {url}, but not as TGI, llama.cpp, vLLM, SGLang or another server of "
        f"OpenAI's completions (GET /v1/models: {said}). Is the address right? PLAYGROUND_ENGINE "
        "says what it is where that cannot be asked.",
        kind="protocol",
        retryable=False,
    )


async def _said(http: EngineHTTP, path: str) -> dict[str, Any]:
    """What a server answers at a route, nothing where it has none."""
    try:
        answer = await http.get(path)
    except EngineError as error:
        if error.kind in _NO_ANSWER:
            return {}
        raise
    return answer if isinstance(answer, dict) else {}
