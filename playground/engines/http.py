"""HTTP as engines use it that are not TGI: JSON, and streams of JSON events.

Errors leave as EngineError, whose cause is the `tgi.errors.TGIError` that tells more.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import orjson

from playground.domain.errors import EngineError, EngineErrorKind
from playground.engines.streams import closing
from playground.telemetry.logging import request_id
from tgi import decoding, errors
from tgi.http import HTTPClient, Refusal, written

T = TypeVar("T")

# Where there are many streams, each is read 26 times a second: text that grows so often looks as if
# it grew continuously.
PACE_S: Final = 0.0385
# What reading an answer raises where it is not made as it should be.
MISREAD: Final = (AttributeError, LookupError, OverflowError, TypeError, ValueError)

_KINDS: Final[Mapping[type[errors.TGIError], EngineErrorKind]] = {
    errors.ConnectFailed: "offline",
    errors.Timeout: "timeout",
    errors.Unhealthy: "loading",
    errors.Overloaded: "overloaded",
    errors.Unauthorized: "unauthorized",
    errors.ValidationFailed: "refused",
    errors.GenerationFailed: "generation",
    errors.IncompleteStream: "incomplete",
    errors.ProtocolError: "protocol",
}


class EngineHTTP:
    """One engine's server.

    Args:
        read_timeout: Longest silence in seconds.
        refusal: The error that an answer with another status than 200 means.
        close_streams: Whether a connection serves one stream only.

    Raises:
        ValueError: For a url that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        read_timeout: float = 60.0,
        refusal: Refusal = decoding.error_answer,
        close_streams: bool = False,
    ) -> None:
        self._http = HTTPClient(
            url,
            api_key=api_key,
            read_timeout=read_timeout,
            refusal=refusal,
            close_streams=close_streams,
        )

    async def get(self, path: str) -> Any:
        """The JSON of an answer. Sent once, without retries: it asks for the state."""
        with translated():
            return decoding.shallow(read_json(await self._http.send("GET", path)))

    async def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The JSON of an answer, asked for again where that can help."""
        with translated():
            return read_json(await self._http.call("POST", path, written(body), _headers()))

    async def stream(
        self,
        path: str,
        body: Mapping[str, object],
        read: Callable[[str], T | None],
        is_last: Callable[[T], bool],
    ) -> AsyncGenerator[list[T], None]:
        """What a POST streams, in lists of the events that arrived together.

        Closing the generator closes the connection at once.

        Args:
            read: An event from its data, ``None`` for one that brings nothing; it raises the
                TGIError that an event stands for.
            is_last: Whether the stream is complete with an event; one that ends without such an
                event is an error.
        """
        with translated():
            batches = self._http.stream(
                path, written(body), read, is_last, pace=PACE_S, headers=_headers()
            )
            async with closing(batches):
                async for batch in batches:
                    yield batch

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def read_json(data: str | bytes) -> Any:
    """What an engine sent.

    Raises:
        ProtocolError: When it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise errors.ProtocolError(
            f"The engine sent what is no JSON ({error}): {decoding.excerpt(data)}", status=200
        ) from error


def translate(error: errors.TGIError) -> EngineError:
    """A client's error as the playground's."""
    kind = next(_KINDS[cls] for cls in type(error).__mro__ if cls in _KINDS)
    return EngineError(str(error), kind=kind, retryable=error.retryable)


@contextmanager
def translated() -> Iterator[None]:
    """A client's errors leave as the playground's."""
    try:
        yield
    except errors.TGIError as error:
        raise translate(error) from error


def _headers() -> Mapping[str, str] | None:
    number = request_id.get()
    return {"x-request-id": number} if number else None
