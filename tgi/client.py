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
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self

from huggingface_hub import (
    TextGenerationInputGenerateParameters,
    TextGenerationOutput,
    TextGenerationStreamOutput,
)

from tgi import decoding
from tgi.decoding import Token
from tgi.http import HTTPClient, written

__all__ = ["Parameters", "TGIClient", "Token"]

Parameters = TextGenerationInputGenerateParameters | Mapping[str, object]

# An answer of which reading takes long enough to hold up the streams.
_LARGE_BYTES: Final = 500_000


class TGIClient:
    """One server, one pool of kept-alive connections, for one event loop.

    Args:
        url: Of the server, such as ``http://tgi`` or ``https://host/prefix``.
        connect_timeout: Seconds until a connection must stand (and until one of the pool is free).
        read_timeout: Longest silence in seconds; any byte, a keep-alive comment too, starts it
            anew.
        answer_timeout: Seconds in which an answer that is no stream must be whole.
        event_timeout: Seconds in which a stream must bring an event; comments are none.
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
        answer_timeout: float = 180.0,
        event_timeout: float = 600.0,
        retries: int = 3,
        max_connections: int = 512,
    ) -> None:
        self.url = url
        self._http = HTTPClient(
            url,
            api_key=api_key,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            answer_timeout=answer_timeout,
            event_timeout=event_timeout,
            retries=retries,
            max_connections=max_connections,
        )

    async def health(self) -> None:
        """Return when the server can serve. Sent once, without retries: it asks for the state."""
        await self._http.send("GET", "health")

    async def info(self) -> dict[str, Any]:
        """What the server says of itself, such as model_id and max_input_tokens."""
        return decoding.info(await self._http.call("GET", "info"))

    async def tokenize(self, text: str) -> list[Token]:
        """The tokens that the server makes of a text, with those that it adds itself (BOS)."""
        answer = await self._http.call("POST", "tokenize", written({"inputs": text}))
        if len(answer) <= _LARGE_BYTES:
            return decoding.tokens(answer)
        return await asyncio.to_thread(decoding.tokens, answer)

    async def count_tokens(self, text: str) -> int:
        """How many tokens `tokenize` would give, at a hundredth of its cost: none is made."""
        return decoding.count(await self._http.call("POST", "tokenize", written({"inputs": text})))

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
        return decoding.output(await self._http.call("POST", "generate", body, headers))

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

    def stream_batches(
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
        return self._http.stream(
            "generate_stream",
            _generation(prompt, parameters),
            decoding.stream_output,
            _is_last,
            pace=pace,
            headers=headers,
        )

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


def _generation(prompt: str, parameters: Parameters | None) -> bytes:
    set_values = {k: v for k, v in (parameters or {}).items() if v is not None}
    return written({"inputs": prompt, "parameters": set_values})


def _is_last(output: TextGenerationStreamOutput) -> bool:
    return output.generated_text is not None
