"""Streams that no engine should write, over real HTTP: the same items and errors however they come.

`make fuzz` tries many more.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.domain.errors import EngineError
from playground.engines import completions, llamacpp_answers
from playground.engines.http import EngineHTTP
from tests import completions as vllm
from tests import stock
from tests.faults import Peer, error_event, serving
from tests.mutations import mutated
from tgi import decoding, errors

_LLAMACPP = json.loads((Path(__file__).parents[1] / "data" / "llamacpp.json").read_text())


@dataclass(frozen=True)
class Dialect:
    """How an engine's streams are read, and some that are right."""

    read: Callable[[str], Any]
    is_last: Callable[[Any], bool]
    streams: tuple[bytes, ...]


def _sse(*events: object) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


DIALECTS = {
    "tgi": Dialect(
        decoding.stream_output,
        lambda output: output.generated_text is not None,
        (
            b"".join(stock.tokens(["Hé", " 🎉", "<|user|>", "\r\n"], "eos_token")),
            b"".join(stock.tokens(["a"], "length")[:1]) + error_event("CUDA", "generation"),
            b": keep-alive\n\n" + b"".join(stock.tokens(["\u2028 \x85"], "stop_sequence")),
        ),
    ),
    "openai": Dialect(
        completions.read_event,
        lambda event: event.done,
        (
            vllm.event("Hé") + vllm.event(" 🎉", "stop") + vllm.usage(11, 2) + vllm.DONE,
            vllm.event("a") + vllm.broken({"message": "no", "code": 500}),
            vllm.event("a").replace(b"\n", b"\r\n") + vllm.DONE,
        ),
    ),
    "llamacpp": Dialect(
        llamacpp_answers.event,
        lambda event: event.finish is not None,
        tuple(
            _sse(*each["events"])
            for each in _LLAMACPP.values()
            if isinstance(each, dict) and each.get("events")
        ),
    ),
}


class Wire:
    """A server that writes what it is told to, and the loop that it and its readers share."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._loop = asyncio.new_event_loop()
        self._serving = serving(self._write)
        self._server = self._loop.run_until_complete(self._serving.__aenter__())

    async def _write(self, peer: Peer) -> None:
        await peer.head()
        for piece in self._pieces:
            await peer.send(piece)

    def read(self, dialect: Dialect, pieces: list[bytes]) -> tuple[list[str], str]:
        """What is read of a body that comes in these pieces: its items, and the error's kind."""
        self._pieces = pieces
        return self._loop.run_until_complete(self._read(dialect))

    async def _read(self, dialect: Dialect) -> tuple[list[str], str]:
        engine = EngineHTTP(self._server.url, read_timeout=10)
        items: list[str] = []
        try:
            async for batch in engine.stream("x", {}, dialect.read, dialect.is_last):
                items += [json.dumps(item, default=repr) for item in batch]
        except EngineError as error:
            return items, error.kind if str(error) else "an error without words"
        finally:
            await engine.aclose()
            self._server.requests.clear()
        return items, ""

    def close(self) -> None:
        self._loop.run_until_complete(self._serving.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    opened = Wire()
    yield opened
    opened.close()


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
@settings(max_examples=settings().max_examples // 3)
def test_bytes_mean_the_same_however_they_are_cut(
    wire: Wire, name: str, data: st.DataObject
) -> None:
    dialect = DIALECTS[name]
    body = data.draw(mutated(st.sampled_from(dialect.streams)))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8).map(sorted))
    whole = wire.read(dialect, [body])
    pieces = [body[start:stop] for start, stop in pairwise([0, *cuts, len(body)])]
    assert wire.read(dialect, pieces) == whole
    if not whole[1]:
        assert whole[0], "an answer that ended well has an end"
    assert whole[1] != "an error without words"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("token", "index", "text", "id", "logprob", "special", "generated_text"),
                    *("details", "top_tokens", "error", "error_type", "choices", "usage"),
                    *("content", "stop", "tokens_predicted", "stop_type", "generation_settings"),
                    *("finish_reason", "token_ids", "message", "code", "object", "seed"),
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=14,
)


@pytest.mark.parametrize("name", DIALECTS)
@given(value=JSON)
def test_an_event_of_any_values_is_an_item_or_an_error(name: str, value: Any) -> None:
    for data in (json.dumps(value), repr(value)):
        with suppress(errors.TGIError):
            DIALECTS[name].read(data)


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_an_event_that_is_nearly_right_is_an_item_or_an_error(
    name: str, data: st.DataObject
) -> None:
    dialect = DIALECTS[name]
    lines = [
        line.removeprefix(b"data:")
        for stream in dialect.streams
        for line in stream.splitlines()
        if line.startswith(b"data:")
    ]
    event = data.draw(mutated(st.sampled_from(lines)))
    with suppress(errors.TGIError):
        dialect.read(event.decode("utf-8", "replace"))
