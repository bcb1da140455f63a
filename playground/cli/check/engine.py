"""The engine, from its address to a token: what is wrong on the way, and the fix."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from playground.cli.check.advice import Advice, advice_for
from playground.cli.check.findings import Finding, fault, note, ok, skipped
from playground.domain import models
from playground.domain.errors import EngineError
from playground.domain.messages import Message
from playground.domain.models import DEFAULT_MODEL
from playground.domain.prompt import render
from playground.domain.samplers import Sampler
from playground.engines.base import (
    Engine,
    EngineAddress,
    EngineInfo,
    EngineState,
    GenerationRequest,
    SteppedEngine,
)
from playground.engines.streams import closing
from playground.settings import Settings, is_loopback

_PATIENCE_S: Final = 5.0
# A token of a model that others are using as well.
_ANSWER_S: Final = 60.0
_IN_CONTAINER: Final = Path("/.dockerenv")
_COMPOSE: Final = ("tgi", "balancer", "vllm", "sglang", "llamacpp")  # its engines
_LIKELIEST: Final = 50  # as many as the playground asks for
_OFFERED_STOPS: Final = 3  # the page's, beside those of the prompt's format
_TALK: Final = (
    Message("user", "Is it warm?"),
    Message("assistant", "It is."),
    Message("user", "Thanks!"),
)
_ORDER: Final = Message("system", "Be brief.")
# What tokenizers put in front, which the prompts of the page leave to them.
_BOS: Final = re.compile(r"^(?:<s>|<\|begin_of_text\|>)+")


async def examine_engine(
    address: EngineAddress, engine: Engine, state: EngineState, settings: Settings
) -> AsyncIterator[Finding]:
    """One finding after the other, up to the first that makes the next ones pointless.

    Args:
        state: What the engine was found to be.
    """
    advice = advice_for(state.info.kind if state.info else address.kind)
    found, reached = await _address(address.url)
    yield found
    if not reached:
        return
    found, reached = await _port(address.url, advice)
    yield found
    if not reached:
        return
    yield await _health(address, state, advice)
    if state.info is None:
        return
    yield _model(settings, state.info, advice)
    for finding in _limits(settings, state.info, advice):
        yield finding
    if isinstance(engine, SteppedEngine) and (emulation := _emulation(settings, state.info)):
        yield emulation
    yield await _template(address, state.info, advice)
    yield await _answer(engine, state.info, advice)


async def _address(url: str) -> tuple[Finding, bool]:
    name = "address"
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError, TimeoutError):
        if host in _COMPOSE and _IN_CONTAINER.exists():
            fix = (
                f"Its container does not run: `docker compose ps --all {host}` shows whether it "
                f"has ended, `docker compose logs {host}` why, and `docker compose up -d` starts "
                "it."
            )
        elif host in _COMPOSE:
            fix = (
                f"{host} is a name inside of Compose's network alone: run the check there, with "
                "`docker compose exec playground playground check`."
            )
        else:
            fix = (
                "Correct the name in PLAYGROUND_ENGINE_URL, or use the machine's address; "
                f"`getent hosts {host}` shows what this machine knows."
            )
        return fault(name, f"No address is known for {host}.", fix), False
    addresses = sorted({str(each[4][0]) for each in found})
    return ok(name, f"{host} is {', '.join(addresses[:3])}"), True


async def _port(url: str, advice: Advice) -> tuple[Finding, bool]:
    name = "port"
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except ConnectionRefusedError:
        fix = advice.closed
        if is_loopback(parts.hostname or "") and _IN_CONTAINER.exists():
            fix = (
                "This is a container, and to it that address is itself: in Compose TGI is "
                "http://tgi:8080. Else: " + fix
            )
        return fault(name, f"Nothing listens on port {port}.", fix), False
    except TimeoutError:
        return (
            fault(
                name,
                f"Nobody answers on port {port}, not even with a refusal.",
                "A firewall between this machine and that one drops the packets, or the address is "
                "nobody's: open the port, or correct PLAYGROUND_ENGINE_URL.",
            ),
            False,
        )
    except OSError as error:
        return (
            fault(
                name,
                f"Port {port} cannot be reached: {error.strerror or error}.",
                "Check the network between this machine and that one.",
            ),
            False,
        )
    writer.close()
    return ok(name, f"{port} is open"), True


async def _health(address: EngineAddress, state: EngineState, advice: Advice) -> Finding:
    name = "health"
    if state.info is not None:
        return ok(name, f"{state.info.name} is ready")
    if state.state == "loading":
        return fault(name, f"It is there and cannot answer yet: {state.reason}", advice.loading)
    if await _refuses_the_key(address):
        return fault(name, state.reason, advice.key)
    fix = advice.stranger.replace("$PLAYGROUND_ENGINE_URL", address.url.removesuffix("/v1"))
    return fault(name, state.reason, fix)


async def _refuses_the_key(address: EngineAddress) -> bool:
    """Whether it is the key that the engine does not answer for."""
    try:
        async with _client(address) as client:
            answer = await client.get("v1/models")
    except httpx.HTTPError:
        return False
    return answer.status_code in (401, 403)


def _model(settings: Settings, info: EngineInfo, advice: Advice) -> Finding:
    name = "model"
    named = models.label(info.model_id, info.name, info.quantisation)
    if info.model_id == settings.model_id or (
        named.is_default and settings.model_id == DEFAULT_MODEL
    ):
        return ok(name, info.model_id)
    return note(
        name, f"It serves {info.model_id}, and the page is for {settings.model_id}.", advice.model
    )


def _limits(settings: Settings, info: EngineInfo, advice: Advice) -> list[Finding]:
    name, found = "limits", []
    if info.max_total_tokens < settings.context_tokens:
        found.append(
            note(
                name,
                f"It takes {info.max_total_tokens} tokens of prompt and answer together; "
                f"PLAYGROUND_CONTEXT_TOKENS is {settings.context_tokens}.",
                advice.context,
            )
        )
    needed = len(info.prompt_format.stop)
    if info.max_stop_sequences < needed + _OFFERED_STOPS:
        found.append(
            note(
                name,
                f"It takes {info.max_stop_sequences} stop sequences; the prompts need {needed} of "
                f"them, and the page offers {_OFFERED_STOPS} more.",
                advice.stops,
            )
        )
    if not info.exact_counts:
        found.append(
            note(
                name,
                "It does not count tokens: the page estimates how long a conversation is, rather "
                "too long.",
            )
        )
    # TGI counts those that wait among its requests and refuses more; others let them wait.
    most = info.raw.get("max_concurrent_requests")
    if isinstance(most, int) and most < settings.max_streams:
        found.append(
            note(
                name,
                f"It takes {most} requests at a time, waiting ones included; "
                f"PLAYGROUND_MAX_STREAMS is {settings.max_streams}.",
                "Where so many come at once, set both to the same: then people wait in the page's "
                "line instead of being refused by the engine.",
            )
        )
    words = f"{info.max_total_tokens} tokens"
    if isinstance(most, int):
        words += f", {most} requests at a time"
    if info.slots is not None:
        words += f", {info.slots} answers at a time"
    return found or [ok(name, words)]


def _emulation(settings: Settings, info: EngineInfo) -> Finding | None:
    """What becomes of parameters that the engine lacks; ``None`` where it lacks none."""
    name, told = "emulation", info.probabilities
    lacking = " and ".join(each for each, way in info.applied.items() if way.how != "native")
    if not lacking:
        return None
    if not settings.emulation:
        return skipped(name, f"PLAYGROUND_EMULATION is off: {lacking} have no effect.")
    if told.kind == "none":
        return note(
            name,
            f"It does not tell its likeliest tokens: {lacking} have no effect.",
            f"Start TGI with MAX_TOP_N_TOKENS={_LIKELIEST}.",
        )
    if told.kind == "raw":
        return note(
            name,
            "The probabilities that it tells are raw, not those that it draws from: "
            f"{lacking} have no effect.",
            "TGI on a GPU tells those that it draws from; vLLM and llama.cpp apply all seven "
            "parameters themselves.",
        )
    if told.most < _LIKELIEST:
        return note(
            name,
            f"It tells its {told.most} likeliest tokens: penalties are emulated less exactly than "
            f"with {_LIKELIEST}, and the engine is asked anew more often.",
            f"Start TGI with MAX_TOP_N_TOKENS={_LIKELIEST}.",
        )
    return ok(name, f"{lacking}, by its {told.most} likeliest tokens")


async def _template(address: EngineAddress, info: EngineInfo, advice: Advice) -> Finding:
    """Whether the engine's own chat template writes what the playground writes."""
    name, form = "template", info.prompt_format
    # A model may have a system text of its own where there is none.
    talk = (_ORDER, *_TALK) if form.system is not None else _TALK
    messages = [{"role": each.role, "content": each.content} for each in talk]
    try:
        async with _client(address) as client:
            written = await _templated(client, info, messages)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return skipped(name, f"It does not show what its template writes ({type(error).__name__}).")
    if written is None:
        return skipped(name, f"{advice.label} does not show what its template writes.")
    if _BOS.sub("", written) == render(talk, form).text:
        return ok(name, f"{form.label}, as the playground writes it")
    said = written if written.isdigit() else f"{written[:60]!r} …"
    return note(name, f"Its own chat template is not {form.label} ({said}).", advice.template)


async def _templated(
    client: httpx.AsyncClient, info: EngineInfo, messages: list[dict[str, str]]
) -> str | None:
    """What an engine's template writes, the status of its refusal, or None where it is not told."""
    match info.kind:
        case "tgi":
            path, field = "chat_tokenize", "templated_text"
        case "llamacpp":
            path, field = "apply-template", "prompt"
        case "vllm":
            tokens = await client.post("tokenize", json={"messages": messages})
            if not tokens.is_success:
                return str(tokens.status_code)
            asked: dict[str, Any] = {"tokens": tokens.json()["tokens"]}
            answer = await client.post("detokenize", json=asked)
            return str(answer.json()["prompt"]) if answer.is_success else None
        case _:
            return None
    answer = await client.post(path, json={"messages": messages})
    return str(answer.json()[field]) if answer.is_success else str(answer.status_code)


async def _answer(engine: Engine, info: EngineInfo, advice: Advice) -> Finding:
    """Whether a token comes: it takes the key, the memory and an engine that lives."""
    name, form = "answer", info.prompt_format
    request = GenerationRequest(render(_TALK, form).text, Sampler(temperature=0), 1, 1, form.stop)
    try:
        async with asyncio.timeout(_ANSWER_S), closing(engine.stream(request)) as items:
            async for _ in items:
                pass
    except EngineError as error:
        if error.kind == "unauthorized":
            return fault(name, "It wants another key.", advice.key)
        full = error.kind == "generation" and "memory" in str(error).lower()
        return fault(name, str(error), advice.memory if full else advice.log)
    except TimeoutError:
        return fault(
            name,
            f"Not one token came within {_ANSWER_S:g} s.",
            f"It is overloaded or hangs. {advice.log}",
        )
    return ok(name, "a token came")


def _client(address: EngineAddress) -> httpx.AsyncClient:
    key = address.api_key
    return httpx.AsyncClient(
        base_url=address.url.rstrip("/").removesuffix("/v1"),
        timeout=_PATIENCE_S,
        trust_env=False,
        headers={"authorization": f"Bearer {key}"} if key else {},
    )


def host_is_here(url: str) -> bool:
    """Whether an address is this machine's own, as far as its name says."""
    host = urlsplit(url).hostname or ""
    return is_loopback(host) or host == socket.gethostname()
