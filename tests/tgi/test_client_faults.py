"""The client against a server of faults: bytes over real TCP, wrong in every way that is known."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from huggingface_hub import TextGenerationStreamOutput

from tests.faults import Peer, Request, Script, chunks, error_event, event, serving
from tgi.client import TGIClient, Token
from tgi.errors import (
    ConnectFailed,
    GenerationFailed,
    IncompleteStream,
    Overloaded,
    ProtocolError,
    TGIError,
    Timeout,
    Unauthorized,
    Unhealthy,
    ValidationFailed,
)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: the playground runs on uvloop, the client on its own on asyncio's."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


DETAILS = {"finish_reason": "length", "generated_tokens": 3, "input_length": 4, "seed": 2**64 - 1}
TEXT = event("Hé", index=1) + event("llo", index=2, generated_text="Héllo", details=DETAILS)


def sending(*pieces: bytes) -> Script:
    """A stream under status 200 that consists of these pieces and then ends."""

    async def script(peer: Peer) -> None:
        await peer.head()
        for piece in pieces:
            await peer.send(piece)

    return script


def answering(
    status: int,
    body: bytes = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Script:
    async def script(peer: Peer) -> None:
        await peer.answer(body, status, content_type, headers)

    return script


async def texts(client: TGIClient) -> list[str]:
    return [output.token.text async for output in client.stream("Hi")]


async def received(*scripts: Script, **options: Any) -> list[str]:
    """The texts of the tokens that a stream of these scripts brings."""
    async with serving(*scripts) as server, TGIClient(server.url, **options) as client:
        return await texts(client)


async def outcome(client: TGIClient) -> tuple[list[str], TGIError]:
    """What a stream brings before it fails, and the error."""
    came: list[str] = []
    try:
        async for output in client.stream("Hi"):
            came.append(output.token.text)  # noqa: PERF401  (what came before the error counts)
    except TGIError as error:
        return came, error
    raise AssertionError(f"the stream ended well, with {came}")


async def failure(*scripts: Script, **options: Any) -> tuple[list[str], TGIError]:
    """What a stream of these scripts brings before it fails, and the error."""
    async with serving(*scripts) as server, TGIClient(server.url, **options) as client:
        return await outcome(client)


# The decoding of the stream


async def test_stream_of_tgi() -> None:
    async with serving(sending(TEXT)) as server, TGIClient(server.url) as client:
        outputs = [output async for output in client.stream("Hi")]
    assert [output.token.text for output in outputs] == ["Hé", "llo"]
    assert [output.generated_text for output in outputs] == [None, "Héllo"]
    assert outputs[0].details is None
    last = outputs[1].details
    assert last is not None
    assert (last.finish_reason, last.generated_tokens, last.input_length, last.seed) == (
        "length",
        3,
        4,
        2**64 - 1,
    )


async def test_the_values_are_those_of_huggingface_hub() -> None:
    top = [{"id": 1, "text": "a", "logprob": -1.0, "special": False}]
    data = event("a", generated_text="a", details=DETAILS, top_tokens=top, extra="kept")
    async with serving(sending(data)) as server, TGIClient(server.url) as client:
        [output] = [output async for output in client.stream("Hi")]
    expected = TextGenerationStreamOutput.parse_obj_as_instance(data.removeprefix(b"data:"))
    assert output == expected
    assert dict(output) == dict(expected)
    assert repr(output) == repr(expected)
    assert output.top_tokens is not None
    assert output.top_tokens[0].logprob == -1.0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TEXT, id="without a space"),
        pytest.param(TEXT.replace(b"data:", b"data: "), id="with a space"),
        pytest.param(TEXT.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(TEXT.replace(b"\n", b"\r"), id="CR"),
        pytest.param(b": hello\n\n:\n\n" + TEXT.replace(b"\n\n", b"\n\n:\n\n"), id="comments"),
        pytest.param(b"id: 1\nevent: token\nretry: 5\n" + TEXT, id="other fields"),
        pytest.param(b"id: 1\n\n" + TEXT, id="event without data"),
        pytest.param(TEXT + event("!", generated_text="more"), id="more behind the end"),
        pytest.param(TEXT + b"data: [DONE]\n\n", id="[DONE] behind the end"),
    ],
)
async def test_the_ways_to_write_a_stream(data: bytes) -> None:
    assert await received(sending(data)) == ["Hé", "llo"]


async def test_a_stream_is_utf8_whatever_its_header_claims() -> None:
    async def script(peer: Peer) -> None:
        await peer.head(content_type="text/event-stream; charset=latin-1")
        await peer.send(TEXT)

    assert await received(script) == ["Hé", "llo"]


async def test_one_event_over_several_data_lines() -> None:
    data = event("a", generated_text="a").replace(b',"generated', b',\ndata:"generated')
    assert await received(sending(data)) == ["a"]


@pytest.mark.parametrize(
    "text",
    ["\u2028", "a\u2029b", "\x85", "\x0b\x0c", "\x1c", "data: x", " leading", "", "🙂", "\\n\n\r"],
)
async def test_text_survives_as_it_is(text: str) -> None:
    assert await received(sending(event(text, generated_text=text))) == [text]


async def test_bytes_one_by_one() -> None:
    data = TEXT.replace(b"\n", b"\r\n").replace("é".encode(), "é\u2028🙂".encode())
    pieces = [data[i : i + 1] for i in range(len(data))]
    assert await received(sending(*pieces)) == ["Hé\u2028🙂", "llo"]


async def test_a_split_at_every_byte() -> None:
    """Inside UTF-8, inside CRLF, inside a field name, between events: everywhere."""
    data = event("é\u2028🙂").replace(b"\n", b"\r\n") + event("b", generated_text="b")

    async def script(peer: Peer) -> None:
        at = peer.request.json()["parameters"]["seed"]
        await sending(data[:at], data[at:])(peer)

    async with serving(script) as server, TGIClient(server.url) as client:
        for at in range(1, len(data)):
            outputs = [output async for output in client.stream("Hi", {"seed": at})]
            assert [output.token.text for output in outputs] == ["é\u2028🙂", "b"], at


# Batches


async def test_a_batch_is_what_one_read_brought() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a") + event("b"))
        await go.wait()
        await peer.send(event("c") + event("d") + event("e", generated_text="abcde"))

    batches = []
    async with serving(script) as server, TGIClient(server.url) as client:
        async for batch in client.stream_batches("Hi"):
            batches.append([output.token.text for output in batch])
            go.set()
    assert batches == [["a", "b"], ["c", "d", "e"]]


async def test_reads_are_paced() -> None:
    """The first token comes at once; what follows within the pace comes together."""
    all_sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        for text in "abcd":
            await peer.send(event(text))
        await peer.send(event("e", generated_text="abcde"))
        all_sent.set()

    batches = []
    async with serving(script) as server, TGIClient(server.url) as client:
        async for batch in client.stream_batches("Hi", pace=0.2):
            batches.append([output.token.text for output in batch])
            await all_sent.wait()
    assert batches[0] == ["a"]
    assert [text for batch in batches for text in batch] == list("abcde")
    assert len(batches) <= 3  # three when a beat falls between the first token and the others


async def test_a_slow_taker_slows_the_server() -> None:
    """What nobody takes stays with the server: 64 MiB find no room in memory on the way."""
    piece, total = event("", padding="x" * 2**20), 64
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.head()
        await peer.send(event("a") + event("b") + piece + event("c"))
        for _ in range(total):
            await peer.send(piece)
            sent += 1
        await peer.send(event("d", generated_text="abcd"))

    async with (
        serving(script) as server,
        TGIClient(server.url) as client,
        aclosing(client.stream_batches("Hi")) as batches,
    ):
        first = await anext(batches)
        assert [output.token.text for output in first] == ["a", "b"]
        before = -1
        while sent > before:
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < total
        rest = [output.token.text async for batch in batches for output in batch]
    assert [text for text in rest if text] == ["c", "d"]
    assert len(rest) == total + 3
    assert sent == total


async def test_what_came_before_an_error_in_the_same_read_is_given_first() -> None:
    data = (
        event("a") + event("b") + error_event("Request failed during generation: x", "generation")
    )
    came, error = await failure(sending(data))
    assert came == ["a", "b"]
    assert isinstance(error, GenerationFailed)


# Errors under status 200

ERROR_EVENTS = [
    ("overloaded", Overloaded, True),
    ("validation", ValidationFailed, False),
    ("template_error", ValidationFailed, False),
    ("generation", GenerationFailed, True),
    ("incomplete_generation", IncompleteStream, True),
    ("incomplete_generation_stream", IncompleteStream, True),
    ("a new kind", GenerationFailed, True),
]


@pytest.mark.parametrize("before", [[], ["a", "b"]], ids=["first", "in the middle"])
@pytest.mark.parametrize(("error_type", "kind", "retryable"), ERROR_EVENTS)
async def test_error_events(
    error_type: str, kind: type[TGIError], retryable: bool, before: list[str]
) -> None:
    data = b"".join(map(event, before)) + error_event("The words of TGI", error_type)
    came, error = await failure(sending(data), retries=0)
    assert came == before
    assert type(error) is kind
    assert (error.status, error.error_type, error.retryable) == (200, error_type, retryable)
    assert "The words of TGI" in str(error)


# Errors with a status


@pytest.mark.parametrize(
    ("status", "body", "content_type", "kind", "words"),
    [
        (401, b"", "", Unauthorized, "API key"),
        (403, b"no", "text/plain", Unauthorized, "API key"),
        (400, b"Failed to parse", "text/plain", ValidationFailed, "Failed to parse"),
        (413, b"length limit exceeded", "text/plain", ValidationFailed, "length limit exceeded"),
        (415, b"Expected JSON", "text/plain", ValidationFailed, "Expected JSON"),
        (422, b"missing field `inputs`", "text/plain", ValidationFailed, "missing field `inputs`"),
        (
            422,
            b'{"error":"Input validation error: `top_p` must be > 0.0","error_type":"validation"}',
            "application/json",
            ValidationFailed,
            "`top_p` must be > 0.0",
        ),
        (
            424,
            b'{"error":"Request failed during generation: oom","error_type":"generation"}',
            "application/json",
            GenerationFailed,
            "oom",
        ),
        (
            429,
            b'{"error":"Model is overloaded","error_type":"overloaded"}',
            "application/json",
            Overloaded,
            "Model is overloaded",
        ),
        (
            500,
            b'{"error":"Incomplete generation","error_type":"incomplete_generation"}',
            "application/json",
            IncompleteStream,
            "Incomplete generation",
        ),
        (500, b"", "", GenerationFailed, "log"),
        (502, b"<html>Bad Gateway</html>", "text/html", Unhealthy, "Bad Gateway"),
        (
            503,
            b'{"error":"unhealthy","error_type":"healthcheck"}',
            "application/json",
            Unhealthy,
            "unhealthy",
        ),
        (503, b'{"error":{"message":"warming up"}}', "application/json", Unhealthy, "warming up"),
        (503, b'{"error":["it\\u2019s", null]}', "application/json", Unhealthy, ': ["it’s",null]'),
        (504, b"", "", Timeout, "proxy"),
        (404, b"", "", ProtocolError, "404"),
        (405, b"", "", ProtocolError, "405"),
        (418, b"\xff\xfe", "text/plain", ProtocolError, "418"),
    ],
)
async def test_error_answers(
    status: int, body: bytes, content_type: str, kind: type[TGIError], words: str
) -> None:
    async with (
        serving(answering(status, body, content_type)) as server,
        TGIClient(server.url, retries=0) as client,
    ):
        for call in (
            client.health(),
            client.info(),
            client.tokenize("Hi"),
            client.generate("Hi"),
            texts(client),
        ):
            with pytest.raises(TGIError) as caught:
                await call
            assert type(caught.value) is kind
            assert caught.value.status == status
            assert words in str(caught.value)


async def test_a_redirect_names_the_new_address() -> None:
    script = answering(308, headers={"location": "https://elsewhere.example/"})
    came, error = await failure(script)
    assert came == []
    assert isinstance(error, ProtocolError)
    assert "https://elsewhere.example/" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"data: {not json}\n\n",
        b"data: [DONE]\n\n",
        b"data: 3\n\n",
        b'data: {"choices": []}\n\n',
        b'data: {"index": 1, "token": []}\n\n',
        b'data: {"index": 1, "token": {"text": null}}\n\n',
        b'data: {"index": 1, "token": "a"}\n\n',
        b'data: {"index": 1, "token": {"text": "a", "id": 1, "logprob": -1}}\n\n',
        event("a", details="no object"),
        event("a", top_tokens=[1]),
        event("a", top_tokens=1),
    ],
)
async def test_events_that_are_not_tgis(data: bytes) -> None:
    came, error = await failure(sending(event("ok") + data, TEXT))
    assert came == ["ok"]
    assert isinstance(error, ProtocolError)
    assert data.split(b"\n")[0].removeprefix(b"data:").decode().strip()[:60] in str(error)
    assert not error.retryable


async def test_a_page_instead_of_a_stream() -> None:
    script = answering(200, b"<html>It works!</html>", "text/html")
    came, error = await failure(script)
    assert came == []
    assert isinstance(error, ProtocolError)
    assert "text/html" in str(error)
    assert "It works!" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"{}", b'"text"', b"[{}]", b"\xff"])
async def test_bodies_that_are_not_tgis(body: bytes) -> None:
    async with serving(answering(200, body)) as server, TGIClient(server.url) as client:
        for call in (client.generate("Hi"), client.tokenize("Hi"), client.count_tokens("Hi")):
            with pytest.raises(ProtocolError, match=r"answer|JSON|object") as caught:
                await call
            assert caught.value.status == 200
        if body != b"{}":
            with pytest.raises(ProtocolError):
                await client.info()


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"[]", 0),
        (b'[{"id":1,"text":"a","start":0,"stop":1},{"id":2,"text":"b","start":1,"stop":2}]', 2),
        (b'[ {"id" : 1, "text" : "\\"id\\":", "start" : 0, "stop" : 5} ]\n', 1),
    ],
)
async def test_tokens_are_counted_however_they_are_written(body: bytes, count: int) -> None:
    async with serving(answering(200, body)) as server, TGIClient(server.url) as client:
        assert await client.count_tokens("Hi") == count == len(await client.tokenize("Hi"))


async def test_an_error_in_place_of_tokens_is_no_count() -> None:
    script = answering(200, b'{"error":"full","error_type":"overloaded"}')
    async with serving(script) as server, TGIClient(server.url) as client:
        with pytest.raises(ProtocolError, match="full"):
            await client.count_tokens("Hi")


async def test_a_long_body_is_cut_in_the_message() -> None:
    async with serving(answering(200, b"<p>" * 10_000)) as server, TGIClient(server.url) as client:
        with pytest.raises(ProtocolError) as caught:
            await client.info()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("length", "whole"), [(200, True), (201, False)])
async def test_a_message_holds_so_much_of_a_body(length: int, whole: bool) -> None:
    body = b"x" * length
    async with serving(answering(200, body)) as server, TGIClient(server.url) as client:
        with pytest.raises(ProtocolError) as caught:
            await client.info()
    assert str(caught.value).endswith("x" * 200 + ("" if whole else " …"))


async def test_no_http_at_all() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    _, error = await failure(script)
    assert isinstance(error, ProtocolError)
    assert "HTTP" in str(error)


# Retries, before the first token only


async def attempts(*scripts: Script, **options: Any) -> tuple[list[str], list[Request]]:
    async with serving(*scripts) as server, TGIClient(server.url, **options) as client:
        return await texts(client), server.requests


NOW = {"retry-after": "0"}


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_a_refusal_is_tried_again(status: int) -> None:
    came, requests = await attempts(
        answering(status, headers=NOW), answering(status, headers=NOW), sending(TEXT)
    )
    assert came == ["Hé", "llo"]
    assert len(requests) == 3
    assert len({request.body for request in requests}) == 1


async def test_overloaded_inside_a_stream_is_tried_again() -> None:
    overloaded = sending(error_event("Model is overloaded", "overloaded"))
    came, requests = await attempts(overloaded, sending(TEXT))
    assert came == ["Hé", "llo"]
    assert len(requests) == 2


async def test_a_connection_closed_without_an_answer_is_tried_again() -> None:
    async def hang_up(peer: Peer) -> None:
        pass

    async def reset(peer: Peer) -> None:
        peer.reset()

    came, requests = await attempts(hang_up, reset, sending(TEXT))
    assert came == ["Hé", "llo"]
    assert len(requests) == 3


async def test_the_last_error_is_raised_when_the_retries_are_used_up() -> None:
    script = answering(429, b'{"error":"full","error_type":"overloaded"}', headers=NOW)
    async with serving(script) as server, TGIClient(server.url, retries=2) as client:
        for call in (texts(client), client.generate("Hi"), client.info(), client.tokenize("Hi")):
            server.requests.clear()
            with pytest.raises(Overloaded, match="full"):
                await call
            assert len(server.requests) == 3


async def test_health_is_asked_once() -> None:
    async with serving(answering(503)) as server, TGIClient(server.url) as client:
        with pytest.raises(Unhealthy):
            await client.health()
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 422, 424, 500, 504])
async def test_what_a_retry_cannot_mend_is_sent_once(status: int) -> None:
    async with serving(answering(status)) as server, TGIClient(server.url) as client:
        with pytest.raises(TGIError):
            await texts(client)
        with pytest.raises(TGIError):
            await client.info()
        assert len(server.requests) == 2


@pytest.mark.parametrize("ending", [error_event("full", "overloaded"), b""])
async def test_nothing_is_sent_again_after_the_first_token(ending: bytes) -> None:
    async with serving(sending(event("a") + ending)) as server, TGIClient(server.url) as client:
        with pytest.raises(TGIError):
            await texts(client)
        assert len(server.requests) == 1


async def test_retry_after_is_waited_for() -> None:
    """A date is read against the clock when it comes, and has whole seconds: three are over two."""

    async def date(peer: Peer) -> None:
        then = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
        await answering(503, headers={"retry-after": then})(peer)

    for refusal, least in ((date, 1.0), (answering(503, headers={"retry-after": "1"}), 1.0)):
        async with serving(refusal, sending(TEXT)) as server, TGIClient(server.url) as client:
            start = time.perf_counter()
            assert await texts(client) == ["Hé", "llo"]
            assert time.perf_counter() - start >= least


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    async with (
        serving(answering(429, headers={"retry-after": "3600"})) as server,
        TGIClient(server.url) as client,
    ):
        with pytest.raises(Overloaded) as caught:
            await texts(client)
        assert caught.value.retry_after == 3600
        assert len(server.requests) == 1


async def test_a_server_that_starts_late_is_reached() -> None:
    async with serving(sending(TEXT)) as first:
        port = int(first.url.rpartition(":")[2])
    async with TGIClient(first.url, retries=20) as client:
        waiting = asyncio.create_task(texts(client))
        await asyncio.sleep(0)
        assert not waiting.done()
        async with serving(sending(TEXT), port=port):
            assert await waiting == ["Hé", "llo"]


async def test_nothing_listens() -> None:
    async with serving(sending(TEXT)) as server:
        pass
    async with TGIClient(server.url, retries=0) as client:
        for call in (client.health(), client.info(), client.generate("Hi"), texts(client)):
            with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:\d+ \(connection refused\)"):
                await call


async def test_an_unknown_host_is_named() -> None:
    async with TGIClient("http://tgi.invalid", retries=0) as client:
        with pytest.raises(ConnectFailed, match=r"tgi\.invalid"):
            await client.info()


# Streams that stop


async def test_an_end_without_generated_text_is_incomplete() -> None:
    came, error = await failure(sending(event("a"), event("b")))
    assert came == ["a", "b"]
    assert isinstance(error, IncompleteStream)


async def test_an_empty_stream_is_incomplete() -> None:
    came, error = await failure(sending(b": nothing else\n\n"))
    assert came == []
    assert isinstance(error, IncompleteStream)


async def test_an_event_cut_short_is_incomplete() -> None:
    came, error = await failure(sending(event("a"), event("b", generated_text="ab")[:-20]))
    assert came == ["a"]
    assert isinstance(error, IncompleteStream)


async def test_a_reset_in_mid_stream() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        peer.reset()

    came, error = await failure(script)
    assert came == ["a"]
    assert isinstance(error, IncompleteStream)
    assert "broke" in str(error)


async def test_a_chunked_body_cut_short() -> None:
    async def script(peer: Peer) -> None:
        await peer.head(headers={"transfer-encoding": "chunked"})
        await peer.send(chunks(event("a")))

    came, error = await failure(script)
    assert came == ["a"]
    assert isinstance(error, IncompleteStream)


# Silence


@pytest.mark.parametrize("before", [[], ["a"]])
async def test_silence_ends_in_a_timeout(before: list[str]) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"".join(map(event, before)))
        await peer.gone()

    async with serving(script) as server, TGIClient(server.url, read_timeout=0.2) as client:
        came, error = await outcome(client)
        assert isinstance(error, Timeout)
        assert "silent" in str(error)
        assert came == before
        assert len(server.requests) == 1


async def test_a_server_that_never_answers() -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with serving(script) as server, TGIClient(server.url, read_timeout=0.2) as client:
        for call in (client.health(), client.generate("Hi"), texts(client)):
            with pytest.raises(Timeout):
                await call


async def test_comments_extend_the_read_timeout() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        begun = time.perf_counter()
        while time.perf_counter() - begun < 4.5:
            await asyncio.sleep(0.05)
            await peer.send(b":\n\n")
        await peer.send(TEXT)

    assert await received(script, read_timeout=4.0) == ["Hé", "llo"]


# What has no end


async def test_comments_alone_keep_no_stream_alive_for_good() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        with suppress(ConnectionError, RuntimeError):
            while True:
                await peer.send(b":\n\n")
                await asyncio.sleep(0.01)

    came, error = await failure(script, event_timeout=0.3)
    assert came == ["a"]
    assert isinstance(error, Timeout)


ENDLESS = {
    "a header": (b"HTTP/1.1 200 OK\r\nx: ", b"x" * 65_536),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10_000),
    "interim answers": (b"", b"HTTP/1.1 102 Wait\r\n\r\n" * 3_000),
    "an answer": (b"HTTP/1.1 200 OK\r\n\r\n", b"[" * 65_536),
    "an error": (b"HTTP/1.1 500 No\r\n\r\n", b"x" * 65_536),
    "an event": (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata:", b"x" * 65_536),
    "comments": (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", b":\n" * 32_768),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_is_left(what: str) -> None:
    head, more = ENDLESS[what]
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        with suppress(ConnectionError, RuntimeError):  # the latter of uvloop, where it is closed
            await peer.send(head)
            while True:
                await peer.send(more)
                sent += len(more)

    async with serving(script) as server, TGIClient(server.url, retries=0) as client:
        calls = [client.tokenize("Hi"), client.count_tokens("Hi"), client.info()]
        for call in (*calls, texts(client)):
            sent = 0
            with pytest.raises(TGIError):
                await call
            assert sent < 64 * 2**20


async def test_an_answer_that_trickles_is_given_up() -> None:
    async def body(peer: Peer) -> None:
        await peer.head(content_type="application/json")
        await trickle(peer)

    async def head(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nx: ")
        await trickle(peer)

    async def trickle(peer: Peer) -> None:
        with suppress(ConnectionError, RuntimeError):
            while True:
                await peer.send(b" ")
                await asyncio.sleep(0.01)

    for script, answer_timeout, read_timeout in ((body, 0.3, 60.0), (head, 60.0, 0.3)):
        async with (
            serving(script) as server,
            TGIClient(
                server.url, answer_timeout=answer_timeout, read_timeout=read_timeout
            ) as client,
        ):
            with pytest.raises(Timeout):
                await client.info()


async def test_the_words_of_an_error_are_cut() -> None:
    for words in ("x" * 60_000, [["y" * 60_000]], {"message": {"z": "y" * 60_000}}):
        async with (
            serving(answering(422, orjson.dumps({"error": words}))) as server,
            TGIClient(server.url) as client,
        ):
            with pytest.raises(ValidationFailed) as caught:
                await client.info()
            assert len(str(caught.value)) < 3_000


# Closing. The deadline of 20 s in Peer.gone is far from the budget of 100 ms, and below the read
# timeout of 60 s, which would close the connection in the end.


@pytest.mark.parametrize("pace", [0.0, 30.0])
@pytest.mark.parametrize("way", ["aclose", "cancel", "break", "scope"])
async def test_leaving_closes_a_silent_connection(way: str, pace: float) -> None:
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        gone.set_result(await peer.gone())

    async def read(first: asyncio.Event | None = None) -> None:
        try:
            async with aclosing(client.stream_batches("Hi", pace=pace)) as stream:
                async for _ in stream:
                    if first is None:
                        break
                    first.set()
        finally:  # closed when the generator is, and not some time later
            assert not [task for task in asyncio.all_tasks() if "TGIClient" in repr(task)]

    async with serving(script) as server, TGIClient(server.url) as client:
        match way:
            case "aclose":
                stream = client.stream_batches("Hi", pace=pace)
                await anext(stream)
                await stream.aclose()
            case "break":
                await read()
            case "cancel":
                first = asyncio.Event()
                task = asyncio.create_task(read(first))
                await first.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            case "scope":
                first = asyncio.Event()
                async with anyio.create_task_group() as group:
                    group.start_soon(read, first)
                    await first.wait()
                    group.cancel_scope.cancel()
        await gone
        assert len(server.requests) == 1


async def test_closing_before_the_answer_begins() -> None:
    arrived = asyncio.Event()
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        arrived.set()
        gone.set_result(await peer.gone())

    async with serving(script) as server, TGIClient(server.url) as client:
        task = asyncio.create_task(texts(client))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone


async def test_closing_during_the_back_off_ends_it() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer(status=503, headers={"retry-after": "25"})
        asked.set()

    async with serving(script) as server, TGIClient(server.url) as client:
        task = asyncio.create_task(texts(client))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(10):
                await task
        assert len(server.requests) == 1


async def test_closing_during_the_connect_ends_it() -> None:
    """A listener whose queue is full lets a connect hang, as a host behind a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            async with TGIClient(f"http://127.0.0.1:{port}", connect_timeout=60) as client:
                task = asyncio.create_task(texts(client))
                done, _ = await asyncio.wait([task], timeout=0.1)
                assert not done
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    async with asyncio.timeout(10):
                        await task
            async with TGIClient(f"http://127.0.0.1:{port}", connect_timeout=0.1) as client:
                with pytest.raises(Timeout, match="connection in time"):
                    await client.health()


async def test_a_closed_stream_leaves_its_siblings_alone() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        if peer.request.json()["inputs"] == "stays":
            await stopped.wait()
            await peer.send(TEXT)
        else:
            await peer.gone()
            stopped.set()

    stopped = asyncio.Event()
    async with serving(script) as server, TGIClient(server.url) as client:
        left, stays = client.stream("left"), client.stream("stays")
        await anext(left)
        await anext(stays)
        await left.aclose()
        assert [output.token.text async for output in stays] == ["Hé", "llo"]


async def test_closing_the_client_ends_its_streams() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        await peer.gone()

    async with serving(script) as server:
        client = TGIClient(server.url)
        stream = client.stream("Hi")
        await anext(stream)
        await client.aclose()
        with pytest.raises(IncompleteStream):
            await anext(stream)


async def test_a_client_that_is_closed_is_no_connection_and_tries_none() -> None:
    async with serving(answering(200, b"{}")) as server:
        client = TGIClient(server.url)
        await client.aclose()
        for question in (client.info, partial(texts, client)):
            with pytest.raises(ConnectFailed, match="closed meanwhile"):
                await question()
        assert not server.requests


# Connections


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not here")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key


async def test_tls(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with serving(sending(TEXT), tls=context) as server:
        url = "https://localhost:" + server.url.rpartition(":")[2]
        async with TGIClient(url) as client:
            with pytest.raises(ProtocolError, match="certificate"):
                await client.info()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        async with TGIClient(url) as client:
            assert await texts(client) == ["Hé", "llo"]
            assert [batch async for batch in client.stream_batches("Hi", pace=0.05)]


async def test_https_to_a_server_of_http() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with TGIClient(f"https://127.0.0.1:{port}") as client:
            with pytest.raises(ProtocolError, match="http:// against https://"):
                await client.info()


async def test_an_interim_answer_is_passed_over() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await peer.answer(b'{"model_id": "m"}')

    async with serving(script) as server, TGIClient(server.url) as client:
        assert await client.info() == {"model_id": "m"}


async def test_a_header_cannot_break_out_of_the_request() -> None:
    async with serving(sending(TEXT)) as server, TGIClient(server.url) as client:
        with pytest.raises(ProtocolError, match="end of a line"):
            await client.generate("Hi", headers={"x-request-id": "r1\r\nx-evil: yes"})
        assert server.requests == []


async def test_more_requests_than_connections() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        await go.wait()
        await peer.send(TEXT)

    async with (
        serving(script) as server,
        TGIClient(server.url, max_connections=1, connect_timeout=0.2, retries=0) as client,
    ):
        stream = client.stream("Hi")
        await anext(stream)
        with pytest.raises(Overloaded, match="in use"):
            await texts(client)
        go.set()
        assert [output.token.text async for output in stream] == ["Hé", "llo"]
        assert await texts(client) == ["a", "Hé", "llo"]


async def test_no_connection_is_lost_whenever_a_stream_is_left() -> None:
    """In the back-off, before the answer, behind its head, in its middle, at its end, and while
    it waits for a connection: at the end both connections are there for the next two."""

    async def refuse(peer: Peer) -> None:
        await peer.answer(status=503)

    async def wait(peer: Peer) -> None:
        await peer.gone()

    async def begin(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async def go_on(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        await peer.gone()

    scripts = [refuse, wait, begin, go_on, sending(TEXT), sending(event("a")), sending(b"data: x")]

    async def script(peer: Peer) -> None:
        prompt = peer.request.json()["inputs"]
        await (sending(TEXT) if prompt == "last" else scripts[int(prompt)])(peer)

    async with (
        serving(script) as server,
        TGIClient(server.url, max_connections=2, connect_timeout=10) as client,
    ):

        async def read(prompt: str) -> list[str]:
            return [output.token.text async for output in client.stream(prompt)]

        for turns in range(0, 40, 2):
            tasks = [asyncio.create_task(read(str(n))) for n in range(len(scripts))]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        together = await asyncio.gather(read("last"), read("last"))
    assert list(together) == [["Hé", "llo"]] * 2


async def test_a_request_waits_for_a_connection() -> None:
    async with serving(sending(TEXT)) as server, TGIClient(server.url, max_connections=1) as client:
        assert await asyncio.gather(*(texts(client) for _ in range(5))) == [["Hé", "llo"]] * 5


async def test_what_is_sent() -> None:
    async with (
        serving(sending(TEXT)) as server,
        TGIClient(server.url + "/prefix/", api_key="sesame") as client,
    ):
        parameters = {"seed": 2**64 - 1, "min_p": 0.1, "temperature": None, "stop": ["<|user|>"]}
        stream = client.stream("Hi\u2028é", parameters, headers={"x-request-id": "r1"})
        assert [output.index async for output in stream] == [1, 2]
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/prefix/generate_stream")
    assert request.json() == {
        "inputs": "Hi\u2028é",
        "parameters": {"seed": 2**64 - 1, "min_p": 0.1, "stop": ["<|user|>"]},
    }
    assert request.headers["authorization"] == "Bearer sesame"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-request-id"] == "r1"


async def test_what_is_sent_for_a_whole_text() -> None:
    script = answering(200, b'{"generated_text":"Hi"}')
    async with serving(script) as server, TGIClient(server.url) as client:
        output = await client.generate("Hi", {"seed": 3}, headers={"x-request-id": "r1"})
        assert output.generated_text == "Hi"
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/generate")
    assert request.json() == {"inputs": "Hi", "parameters": {"seed": 3}}
    assert request.headers["x-request-id"] == "r1"


async def test_the_tokens_of_a_long_text_are_the_same() -> None:
    token = b'{"id":1,"text":"a","start":0,"stop":1}'
    body = b"[" + b",".join([token] * 20_000) + b"]"
    async with serving(answering(200, body)) as server, TGIClient(server.url) as client:
        assert await client.tokenize("Hi") == [Token(1, "a", 0, 1)] * 20_000
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/tokenize")
    assert request.json() == {"inputs": "Hi"}


async def test_no_cookie_of_one_answer_goes_out_with_the_next_request() -> None:
    script = answering(200, b"{}", headers={"set-cookie": "reader=first"})
    async with serving(script) as server, TGIClient(server.url) as client:
        await client.info()
        await client.info()
        assert ["cookie" in request.headers for request in server.requests] == [False, False]


@pytest.mark.parametrize("status", [200, 500])
async def test_a_compressed_answer_is_refused_and_not_unpacked(status: int) -> None:
    async def answer(peer: Peer) -> None:
        kind = "text/event-stream" if "stream" in peer.request.path else "application/json"
        body = gzip.compress(event("Hi", generated_text="Hi") if "stream" in kind else b"{}")
        await peer.answer(body, status, kind, headers={"content-encoding": "gzip"})

    _, error = await failure(answer)
    assert isinstance(error, ProtocolError)
    assert "is compressed (gzip)" in str(error)
    assert error.status == status
    async with serving(answer) as server, TGIClient(server.url) as client:
        with pytest.raises(ProtocolError, match="is compressed"):
            await client.info()


async def test_an_answer_may_say_that_it_is_not_compressed() -> None:
    plain = answering(200, b"{}", headers={"content-encoding": "Identity"})
    async with serving(plain) as server, TGIClient(server.url) as client:
        assert await client.info() == {}


async def test_a_prompt_that_is_no_unicode_is_refused_before_anything_is_sent() -> None:
    async with serving(sending(TEXT)) as server, TGIClient(server.url) as client:
        with pytest.raises(ValidationFailed):
            await client.generate("\ud800")
        assert server.requests == []


@pytest.mark.parametrize(
    "url", ["", "tgi:80", "127.0.0.1:8080", "ftp://tgi", "http://", "http://tgi:port"]
)
def test_a_wrong_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"http|URL"):
        TGIClient(url)
