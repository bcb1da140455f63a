r"""A client of Text Generation Inference, usable on its own.

    import asyncio
    from tgi.client import TGIClient

    async def main() -> None:
        async with TGIClient("http://127.0.0.1:8080") as client:
            async for output in client.stream("<|user|>\nHi!\n<|assistant|>\n"):
                print(output.token.text, end="", flush=True)

    asyncio.run(main())

It knows TGI's routes and their errors. It knows nothing of chat, presets or samplers: prompt and
parameters go out as they are given. Everything that fails is a `tgi.errors.TGIError`.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx
import orjson
from httpx_sse import EventSource, ServerSentEvent
from huggingface_hub import (
    TextGenerationInputGenerateParameters,
    TextGenerationOutput,
    TextGenerationStreamOutput,
)

from tgi import decoding
from tgi.connection import Connection
from tgi.decoding import Token
from tgi.errors import (
    ConnectFailed,
    IncompleteStream,
    Overloaded,
    ProtocolError,
    TGIError,
    Unhealthy,
    ValidationFailed,
)
from tgi.streaming import Beat, Feed
from tgi.transport import Transport

__all__ = ["Parameters", "TGIClient", "Token"]

Parameters = TextGenerationInputGenerateParameters | Mapping[str, object]

_Outputs = Feed[TextGenerationStreamOutput]

_log = logging.getLogger(__name__)

# What a second try can mend. A timeout is not among them: it has cost the reader enough already.
_RETRIED: Final = (ConnectFailed, Overloaded, Unhealthy)
_BACK_OFF_S: Final = 0.25
_BACK_OFF_MAX_S: Final = 8.0
# A longer Retry-After is not waited for: the error says how long, and the caller decides.
_RETRY_AFTER_MAX_S: Final = 30.0
# An answer of which reading takes long enough to hold up the streams.
_LARGE_BYTES: Final = 500_000
# How long a complete stream may take to end, so that its connection can be used again.
_FINISH_S: Final = 0.5


class TGIClient:
    """One server, one pool of kept-alive connections, for one event loop.

    Args:
        url: Of the server, such as ``http://tgi`` or ``https://host/prefix``.
        connect_timeout: Seconds until a connection must stand (and until one of the pool is free).
        read_timeout: Longest silence in seconds; any byte, a keep-alive comment too, starts it
            anew.
        retries: How often a request is retried, with back-off and jitter, while no token of it has
            arrived: connection refused or broken before the answer, 429, 503, "overloaded". A
            server's Retry-After of up to 30 s is honoured. Nothing is retried after the first
            token.
        max_connections: More requests than these wait, at most `connect_timeout`.

    Raises:
        ValueError: For a url that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        retries: int = 3,
        max_connections: int = 512,
    ) -> None:
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL: {error}") from error
        if base.scheme not in ("http", "https") or not base.host:
            raise ValueError(f"{url!r} must begin with http:// or https:// and name a host.")
        self.url = url
        self._retries = retries
        self._beats: dict[float, Beat] = {}
        # trust_env off: proxy and netrc settings of the environment are meant for the internet,
        # and would divert or break the connection to a server next door.
        self._http = httpx.AsyncClient(
            base_url=base,
            headers={
                "accept-encoding": "identity",
                **({"authorization": f"Bearer {api_key}"} if api_key else {}),
            },
            timeout=httpx.Timeout(
                connect=connect_timeout,
                pool=connect_timeout,
                read=read_timeout,
                write=read_timeout,
            ),
            # Kept for no domain: what one answer sets would go out with everybody's requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            transport=Transport(max_connections, tls=base.scheme == "https"),
            trust_env=False,
        )

    async def health(self) -> None:
        """Return when the server can serve. Sent once, without retries: it asks for the state."""
        await self._send("GET", "health")

    async def info(self) -> dict[str, Any]:
        """What the server says of itself, such as model_id and max_input_tokens."""
        return decoding.info(await self._call("GET", "info"))

    async def tokenize(self, text: str) -> list[Token]:
        """The tokens that the server makes of a text, with those that it adds itself (BOS)."""
        answer = await self._call("POST", "tokenize", _json({"inputs": text}))
        if len(answer) <= _LARGE_BYTES:
            return decoding.tokens(answer)
        return await asyncio.to_thread(decoding.tokens, answer)

    async def count_tokens(self, text: str) -> int:
        """How many tokens `tokenize` would give, at a hundredth of its cost: none is made."""
        return decoding.count(await self._call("POST", "tokenize", _json({"inputs": text})))

    async def generate(
        self,
        prompt: str,
        parameters: Parameters | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> TextGenerationOutput:
        """The whole text at once.

        Not a byte comes before it is complete, so that the read timeout bounds the time it may
        take; stream what takes longer.
        """
        body = _generation(prompt, parameters)
        return decoding.output(await self._call("POST", "generate", body, headers))

    async def stream(
        self,
        prompt: str,
        parameters: Parameters | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[TextGenerationStreamOutput, None]:
        """The tokens as they come; the last one carries `generated_text`. See `stream_batches`."""
        async with aclosing(self.stream_batches(prompt, parameters, headers=headers)) as batches:
            async for batch in batches:
                for output in batch:
                    yield output

    async def stream_batches(
        self,
        prompt: str,
        parameters: Parameters | None = None,
        *,
        pace: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[list[TextGenerationStreamOutput], None]:
        """The tokens in lists of those that arrived together, which costs less for each.

        Closing the generator closes the connection at once, even if the server is silent or not yet
        connected: use `contextlib.aclosing` where the loop may be left early.

        Args:
            pace: Seconds between reads, on a beat that all streams share and that slows down while
                the event loop is late. The first token is given at once, and those that come
                between two beats together. 0 reads when something is there.
            headers: Sent with this request, such as x-request-id.

        Raises:
            IncompleteStream: When the stream ends without `generated_text`.
        """
        body = _generation(prompt, parameters)
        feed: _Outputs = Feed(self._beats.setdefault(pace, Beat(pace)))
        reader = asyncio.create_task(self._feed(feed, body, headers))
        try:
            while batch := await feed.take():
                yield batch
        finally:
            if not feed.ended:
                reader.cancel()
            # The scopes of anyio cancel again at every await: unshielded, the wait would end at
            # once and leave the closing to itself.
            with anyio.CancelScope(shield=True):
                await asyncio.wait([reader])

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """One request; the body of its answer."""
        async with self._open(method, path, body, headers) as response:
            return await response.aread()

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """One request, retried where that can help; the body of its answer."""
        attempt = 0
        while True:
            try:
                return await self._send(method, path, body, headers)
            except TGIError as error:
                await self._back_off(error, attempt)
            attempt += 1

    async def _feed(self, feed: _Outputs, body: bytes, headers: Mapping[str, str] | None) -> None:
        """Read one generation into the feed; retry it while nothing has come of it."""
        attempt = 0
        try:
            while not feed.ended:
                try:
                    await self._read(feed, body, headers)
                except TGIError as error:
                    if feed.used:
                        raise
                    await self._back_off(error, attempt)
                attempt += 1
        except Exception as error:
            feed.end(error)

    async def _read(self, feed: _Outputs, body: bytes, headers: Mapping[str, str] | None) -> None:
        """Send a generation and put its tokens into the feed, up to the last one."""
        async with self._open("POST", "generate_stream", body, headers) as response:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise ProtocolError(
                    f"The server answers with {kind or 'no content type'} instead of an event "
                    f"stream: {decoding.excerpt(await response.aread())}",
                    status=200,
                )
            response.encoding = "utf-8"  # what an event stream is, whatever its header claims
            network = response.extensions["network_stream"]
            assert isinstance(network, Connection)
            network.gate = feed.gate
            async with aclosing(EventSource(response).aiter_sse()) as events:
                try:
                    async for event in events:
                        if not event.data:
                            continue
                        output = decoding.stream_output(event.data)
                        feed.put(output)
                        if output.generated_text is not None:
                            network.gate = None
                            feed.end()
                            break
                except ConnectFailed as error:
                    raise IncompleteStream(
                        f"The text is not complete. {error} Try again.", status=200
                    ) from error
                if not feed.ended:
                    raise IncompleteStream(
                        "The text is not complete: the server ended the stream without saying "
                        "that the text is. Try again, or look at its log.",
                        status=200,
                    )
                await _drain(events)

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> AsyncGenerator[httpx.Response, None]:
        """An answer with status 200, its body still to be read.

        Raises the typed error for any other.
        """
        try:
            async with self._http.stream(
                method,
                path,
                content=body,
                headers={"content-type": "application/json", **(headers or {})}
                if body
                else headers,
            ) as response:
                if response.status_code != 200:
                    raise decoding.error_answer(
                        response.status_code, response.headers, await response.aread()
                    )
                yield response
        except httpx.HTTPError as error:
            raise ProtocolError(f"The answer of {self.url} cannot be read: {error}") from error

    async def _back_off(self, error: TGIError, attempt: int) -> None:
        """Wait before a retry, or raise the error when there should be none."""
        delay = error.retry_after
        if delay is None:
            # Jitter keeps requests that failed together from coming back together.
            delay = min(_BACK_OFF_S * 2**attempt, _BACK_OFF_MAX_S) * random.uniform(0.5, 1.0)
        if (
            not isinstance(error, _RETRIED)
            or attempt >= self._retries
            or delay > _RETRY_AFTER_MAX_S
        ):
            raise error
        # Not its words, which may quote what the server was sent.
        _log.info("Sending again in %.2f s: %s", delay, type(error).__name__)
        await asyncio.sleep(delay)


async def _drain(events: AsyncGenerator[ServerSentEvent, None]) -> None:
    """Read to the end of an answer that is complete, which frees its connection for the next."""
    with suppress(TGIError, httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_FINISH_S):
            async for _ in events:
                pass


def _generation(prompt: str, parameters: Parameters | None) -> bytes:
    set_values = {k: v for k, v in (parameters or {}).items() if v is not None}
    return _json({"inputs": prompt, "parameters": set_values})


def _json(request: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as error:
        raise ValidationFailed(f"The request cannot be written as JSON: {error}.") from error
