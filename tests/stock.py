"""A stock TGI made of the fault server: all its routes, and the generation as a test scripts it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import orjson
import uvicorn
from fastapi import FastAPI

from playground.api.routes import create_router
from playground.api.services import Services
from playground.domain.presets import load_presets
from playground.domain.prompt_formats import TULU2
from playground.engines.base import Engine, EngineInfo, Probabilities, Seeds
from playground.engines.factory import engine_addresses, make_engines
from playground.engines.registry import Engines
from playground.engines.tgi import TGIEngine
from playground.settings import load_settings
from playground.store.store import Store
from tests.faults import FaultServer, Peer, Request, Script, event, serving
from tests.servers import data_dir

INFO: Final[Mapping[str, Any]] = {
    "model_id": "some/model",
    "model_sha": "0123abc",
    "max_concurrent_requests": 128,
    "max_best_of": 2,
    "max_stop_sequences": 4,
    "max_input_tokens": 60,
    "max_total_tokens": 80,
    "max_client_batch_size": 4,
    "router": "text-generation-router",
    "version": "3.3.7",
    "sha": "abc",
    "docker_label": "sha-abc",
}

# By which an engine sees what likely tokens it is told. It is told none, so nothing is emulated.
_TRIED: Final = "Once upon a time"
_UNTOLD: Final = {
    "error": "Input validation error: `top_n_tokens` must be >= 0 and <= 0. Given: 20",
    "error_type": "validation",
}


def tgi(
    *generations: Script,
    info: Mapping[str, Any] = INFO,
    port: int = 0,
    health: Script | None = None,
    counting: Script | None = None,
) -> AbstractAsyncContextManager[FaultServer]:
    """A server whose n-th generation runs the n-th script, the last one for all that follow.

    A token is a word, and there is a BOS. `health` replaces the answer of GET /health, and
    `counting` that of POST /tokenize.
    """
    begun = 0

    async def answer(peer: Peer) -> None:
        nonlocal begun
        match peer.request.path:
            case "/health":
                await (health(peer) if health else peer.answer())
            case "/info":
                await peer.answer(orjson.dumps(info))
            case "/tokenize" if counting is not None:
                await counting(peer)
            case "/tokenize":
                words = ["<s>", *peer.request.json()["inputs"].split()]
                tokens = [{"id": 1, "text": word, "start": 0, "stop": 0} for word in words]
                await peer.answer(orjson.dumps(tokens))
            case "/v1/models":  # is asked where another server was before
                model = info["model_id"]
                await peer.answer(orjson.dumps({"data": [{"id": model, "owned_by": model}]}))
            case "/generate" if peer.request.json()["inputs"] == _TRIED:
                await peer.answer(orjson.dumps(_UNTOLD), status=422)
            case "/generate_stream" | "/generate":
                begun += 1
                await generations[min(begun, len(generations)) - 1](peer)
            case path:
                raise AssertionError(f"TGI has no route {path} that the playground needs")

    return serving(answer, port=port)


def writing(texts: Sequence[str], reason: str = "eos_token", *, seed: int | None = 7) -> Script:
    """A generation of these texts, a token each, that ends by itself."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"".join(tokens(texts, reason, seed=seed)))

    return script


def tokens(texts: Sequence[str], reason: str, *, seed: int | None = 7) -> list[bytes]:
    """The events of a generation that ends by itself."""
    details = {
        "finish_reason": reason,
        "generated_tokens": len(texts),
        "input_length": 11,
        "seed": seed,
    }
    *first, last = texts
    return [
        *(event(text, index=i) for i, text in enumerate(first)),
        event(last, index=len(first), generated_text="".join(texts), details=details),
    ]


def generations(server: FaultServer) -> list[Any]:
    """The bodies of the generations that came in, in their order."""
    return [each.json() for each in server.requests if each.path == "/generate_stream"]


def calls(server: FaultServer, path: str) -> list[Request]:
    """The requests of one route that came in, but for the trial of what is told."""
    return [
        each
        for each in server.requests
        if each.path == path and not (path == "/generate" and each.json()["inputs"] == _TRIED)
    ]


@asynccontextmanager
async def engine(url: str, **options: Any) -> AsyncIterator[TGIEngine]:
    """An engine of ours in front of a server, closed at the end."""
    made = TGIEngine(url, **options)
    try:
        yield made
    finally:
        await made.aclose()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds, at most 10 s."""
    async with asyncio.timeout(10):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def playground(engine_url: str, **settings: Any) -> AsyncIterator[str]:
    """The API on a real port in front of an engine; its address. The page is no part of it."""
    async with opened(engine_url, **settings) as (url, _):
        yield url


@asynccontextmanager
async def opened(
    engine_url: str, *, made: Engine | None = None, **settings: Any
) -> AsyncIterator[tuple[str, Services]]:
    """As `playground`, with what its routes work with.

    made: the engine itself, where the address does not make it.
    """
    values = load_settings(**{"engine_url": engine_url, "data_dir": data_dir(), **settings})
    engines = Engines(engine_addresses(values), (made,)) if made else make_engines(values)
    store = Store.from_settings(values)
    services = Services(values, load_presets(), engines, store)
    app = FastAPI()
    app.include_router(create_router(services))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        # asyncio, unlike uvloop, does not see that this is TCP, and small answers would wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        )
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110  (uvicorn offers no event)
            await asyncio.sleep(0.005)
        try:
            yield "http://127.0.0.1:{}".format(*listener.getsockname()[1:]), services
        finally:
            server.should_exit = True
            await running
            await store.aclose()
            await engines.default.aclose()


def engine_info(max_input_tokens: int, max_total_tokens: int) -> EngineInfo:
    """What a scripted engine says of itself."""
    return EngineInfo(
        kind="tgi",
        name="Script 1",
        model_id="some/model",
        model_sha=None,
        quantisation="",
        max_input_tokens=max_input_tokens,
        max_total_tokens=max_total_tokens,
        max_stop_sequences=4,
        applied={},
        seeds=Seeds("always"),
        probabilities=Probabilities("none"),
        prompt_format=TULU2,
        slots=None,
        raw={},
    )
