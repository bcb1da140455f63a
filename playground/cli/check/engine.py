"""The engine, from its address to a token: what is wrong on the way, and the fix."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from playground.cli.check.findings import Finding, fault, note, ok, skipped
from playground.domain.messages import Message
from playground.domain.prompt import render
from playground.domain.prompt_formats import TULU2
from playground.engines.base import EngineInfo, EngineState
from playground.settings import Settings, is_loopback
from tgi.client import TGIClient
from tgi.errors import GenerationFailed, TGIError, Unauthorized

_PATIENCE_S: Final = 5.0
# A token of a model that others are using as well.
_ANSWER_S: Final = 60.0
_LOGS: Final = "`docker compose logs -f tgi` shows how far it is"
_REASON: Final = (
    "TGI's log has the reason, and cannot be read from here: `docker compose logs tgi`."
)
_IN_CONTAINER: Final = Path("/.dockerenv")
_TALK: Final = (
    Message("user", "Is it warm?"),
    Message("assistant", "It is."),
    Message("user", "Thanks!"),
)


async def examine_engine(settings: Settings, state: EngineState) -> AsyncIterator[Finding]:
    """One finding after the other, up to the first that makes the next ones pointless.

    Args:
        state: What the engine was found to be.
    """
    address, reached = await _address(settings.engine_url)
    yield address
    if not reached:
        return
    port, reached = await _port(settings.engine_url)
    yield port
    if not reached:
        return
    yield _health(settings, state)
    if state.info is None:
        return
    yield _model(settings, state.info)
    for finding in _limits(settings, state.info):
        yield finding
    yield await _template(settings)
    yield await _answer(settings)


async def _address(url: str) -> tuple[Finding, bool]:
    name = "address"
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError, TimeoutError):
        if host in ("tgi", "balancer"):
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


async def _port(url: str) -> tuple[Finding, bool]:
    name = "port"
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except ConnectionRefusedError:
        fix = (
            "TGI opens its port only when the model is loaded, and its first start downloads "
            f"14 GB: {_LOGS}; if it is not loading, the port in PLAYGROUND_ENGINE_URL is wrong."
        )
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


def _health(settings: Settings, state: EngineState) -> Finding:
    name = "health"
    if state.info is not None:
        return ok(name, f"{state.info.name} is ready")
    if state.state == "loading":
        return fault(
            name,
            "It is there and cannot answer yet (503): it is warming up, or a shard of it has died.",
            f"Wait, and {_LOGS}; if that speaks of CUDA out of memory, lower "
            "MAX_BATCH_PREFILL_TOKENS and MAX_TOTAL_TOKENS in tgi/serve/fp8.env, or "
            "CUDA_MEMORY_FRACTION where something else uses the GPU.",
        )
    return fault(
        name,
        state.reason,
        "Ask what listens there: "
        f"`curl {settings.engine_url}/info` of a TGI gives its model; PLAYGROUND_ENGINE_URL must "
        "be its root, without /v1 or /generate.",
    )


def _model(settings: Settings, info: EngineInfo) -> Finding:
    name = "model"
    if info.model_id == settings.model_id:
        return ok(name, info.model_id)
    return note(
        name,
        f"It serves {info.model_id}, and the page is for {settings.model_id}.",
        "Start TGI with that MODEL_ID, or set PLAYGROUND_MODEL_ID to what it serves.",
    )


def _limits(settings: Settings, info: EngineInfo) -> list[Finding]:
    name, found = "limits", []
    if info.max_total_tokens < settings.context_tokens:
        found.append(
            note(
                name,
                f"It takes {info.max_total_tokens} tokens of prompt and answer together; "
                f"PLAYGROUND_CONTEXT_TOKENS is {settings.context_tokens}.",
                "The lower one counts: raise MAX_TOTAL_TOKENS (and MAX_INPUT_TOKENS) of TGI if "
                "the GPU has the memory, 1 GiB for 8,192 tokens.",
            )
        )
    if info.max_stop_sequences < 4:
        found.append(
            note(
                name,
                f"It takes {info.max_stop_sequences} stop sequences; one is the turn marker, and "
                "the page offers three more.",
                "Set MAX_STOP_SEQUENCES=4 for TGI.",
            )
        )
    at_a_time = info.raw.get("max_concurrent_requests")
    if isinstance(at_a_time, int) and at_a_time < settings.max_streams:
        found.append(
            note(
                name,
                f"It takes {at_a_time} requests at a time, waiting ones included; "
                f"PLAYGROUND_MAX_STREAMS is {settings.max_streams}.",
                "Where so many come at once, set both to the same: then people wait in the page's "
                "line instead of being refused by the engine.",
            )
        )
    return found or [ok(name, f"{info.max_total_tokens} tokens, {at_a_time} requests at a time")]


async def _template(settings: Settings) -> Finding:
    """Whether the engine's own chat template writes what the playground writes."""
    name = "template"
    messages = [{"role": each.role, "content": each.content} for each in _TALK]
    key = settings.api_key()
    try:
        async with httpx.AsyncClient(
            timeout=_PATIENCE_S,
            trust_env=False,
            headers={"authorization": f"Bearer {key}"} if key else {},
        ) as client:
            answer = await client.post(
                f"{settings.engine_url}/chat_tokenize", json={"messages": messages}
            )
            text = str(answer.json()["templated_text"]) if answer.is_success else ""
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return skipped(name, f"/chat_tokenize does not answer ({type(error).__name__}).")
    if re.sub(r"^(<s>)+", "", text) == render(_TALK, TULU2).text:
        return ok(name, "TuluV2, as the playground writes it")
    said = f"{answer.status_code}" if not text else f"{text[:60]!r} …"
    return note(
        name,
        f"Its own chat template is not TuluV2 ({said}).",
        "The page writes its prompts itself, so this concerns only who asks /v1/chat/completions: "
        "set TOKENIZER_CONFIG_PATH to tgi/serve/tokenizer_config.json for them.",
    )


async def _answer(settings: Settings) -> Finding:
    """Whether a token comes: it takes the key, the memory and a shard that lives."""
    name = "answer"
    prompt = render(_TALK, TULU2).text
    try:
        async with (
            asyncio.timeout(_ANSWER_S),
            TGIClient(settings.engine_url, api_key=settings.api_key(), retries=0) as client,
        ):
            await client.generate(prompt, {"max_new_tokens": 1})
    except Unauthorized:
        return fault(
            name,
            "It wants another key.",
            "Set PLAYGROUND_ENGINE_API_KEY, or PLAYGROUND_ENGINE_API_KEY_FILE, to what TGI's "
            "API_KEY is.",
        )
    except GenerationFailed as error:
        return fault(name, str(error), _remedy(str(error)))
    except TimeoutError:
        return fault(
            name,
            f"Not one token came within {_ANSWER_S:g} s.",
            f"It is overloaded or hangs. {_REASON}",
        )
    except TGIError as error:
        return fault(name, str(error), _REASON)
    return ok(name, "a token came")


def _remedy(message: str) -> str:
    if "memory" in message.lower():
        return (
            "The GPU's memory is full: lower MAX_BATCH_PREFILL_TOKENS and MAX_TOTAL_TOKENS in "
            "tgi/serve/fp8.env, or end what else uses the GPU (`nvidia-smi` lists it)."
        )
    return _REASON


def host_is_here(url: str) -> bool:
    """Whether an address is this machine's own, as far as its name says."""
    host = urlsplit(url).hostname or ""
    return is_loopback(host) or host == socket.gethostname()
