"""What comes as a request's body: read, counted, parsed and checked with bounded work."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from select import select
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.api import bodies
from playground.api.bodies import parse_json
from playground.auth.responses import UnreadableBody
from playground.domain.errors import InvalidRequest
from playground.settings import MAX_BODY_BYTES
from playground.telemetry.usage import AnswerUsage
from tests.application import NOWHERE
from tests.stock import opened, until

HI = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}
MOST = MAX_BODY_BYTES // 20  # values


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with opened(NOWHERE) as (url, _), httpx.AsyncClient(base_url=url) as asking:
        yield asking


def refused(body: bytes) -> tuple[int, str, str]:
    """The status, the field and the words with which a body is refused."""
    with pytest.raises(InvalidRequest) as caught:
        parse_json(body, MAX_BODY_BYTES)
    error = caught.value
    return (error.status if isinstance(error, UnreadableBody) else 422), error.field, str(error)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(['\\"', '",[', "\\", "[{"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text('a"\\[,', max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(value=_json, escaped=st.booleans())
def test_what_is_json_is_read_as_it_is(value: object, escaped: bool) -> None:
    read = parse_json(json.dumps(value, ensure_ascii=escaped).encode(), MAX_BODY_BYTES)
    assert read == value or "e+" in repr(read)  # whole numbers beyond 64 bits are rounded


@given(value=_json, most=st.integers(1, 12))
def test_values_are_counted_whatever_stands_in_strings(value: object, most: int) -> None:
    def values(of: object) -> int:
        inner = of.values() if isinstance(of, dict) else of if isinstance(of, list) else ()
        return 1 + sum(map(values, inner))

    def signs(of: object) -> int:
        """The commas and opening brackets of it."""
        inner = [*(of.values() if isinstance(of, dict) else of if isinstance(of, list) else ())]
        return isinstance(of, dict | list) + max(len(inner) - 1, 0) + sum(map(signs, inner))

    body = json.dumps(value).encode()
    if signs(value) < most:
        parse_json(body, 20 * most)
    if values(value) > 2 * most:
        with pytest.raises(UnreadableBody, match=f"more values than .* {most:,}"):
            parse_json(body, 20 * most)


@pytest.mark.parametrize(
    "body",
    [
        b'{"%b": [%b"\\ud800"]}' % (b"n" * 480_000, b"0," * 249_000),
        b"[%b[]]" % (b"[]," * 320_000),
        b"[%bNaN]" % (b"{}," * 320_000),
        b'[%b""]' % (b'"",' * 320_000),
        b"{%b}" % b",".join(b'"%x":0' % i for i in range(90_000)),
        b'[%b"' % (b'"\\\\",' * 160_000),
    ],
)
def test_more_values_than_a_request_needs_are_not_parsed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", None)
    status, field, words = refused(body)
    assert (status, field) == (413, "body")
    assert f"{MOST:,}" in words


def test_a_text_may_hold_any_number_of_signs() -> None:
    for text in ("," * 900_000, "[" * 900_000, '",' * 300_000, "\\," * 300_000, '\\"[' * 190_000):
        body = json.dumps({"text": text}).encode()
        assert len(body) <= MAX_BODY_BYTES
        assert parse_json(body, MAX_BODY_BYTES) == {"text": text}


@pytest.mark.parametrize("levels", [32, 33, 20_000])
@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_a_body_has_so_many_levels_at_most(levels: int, pair: str) -> None:
    body = "1"
    for _ in range(levels):
        body = f"[{body}]" if pair == "[]" else f'{{"[":{body}}}'
    if levels == 32:
        parse_json(body.encode(), MAX_BODY_BYTES)
    else:
        assert refused(body.encode())[:2] == (413, "body")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"{'a': 1}", b'"\n"'),
        *(b"[1,]", b"01", b"1.", b"+1", b'"\\x"', b"{} {}", b"\0"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(body: bytes) -> None:
    status, field, words = refused(body)
    assert (status, field) == (400, "body")
    assert words.startswith("The body is not JSON: ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("NaN", "is NaN, which"),
        ("-Infinity", "is -Infinity, which"),
        ("1e400", "is larger than any number here"),
        ("-1e999", "is larger than any number here"),
        ("1" * 5_000, "is a number of 5,000 characters"),
        ("0." + "1" * 4_998, "is a number of 5,000 characters"),
        ('{"b": 1, "b": 2}', "stands twice"),
        (r'"\ud800"', "holds half of a character"),
    ],
)
def test_what_no_field_takes_is_refused_with_its_place(value: str, words: str) -> None:
    for body, field in (
        ('{"x": 1, "a": [{"c": 1}, %s]}', "a[1]"),
        (f'{{"{"n" * 70}": [%s]}}', "n" * 59 + "…[0]"),
        ("%s", "body"),
    ):
        expected = f"{field}.b".removeprefix("body.") if "twice" in words else field
        status, where, said = refused((body % value).encode())
        assert (status, where) == (422, expected)
        assert said.startswith(f"{expected} {words}")


def test_a_name_that_is_half_a_character_is_named_as_it_can_be() -> None:
    assert refused(rb'{"\ud800": "\ud800"}')[:2] == (422, "?")
    assert parse_json(rb'{"\ud83d\ude00": "\\ud800"}', 100) == {"😀": "\\ud800"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("stream", {**HI, "panes": [{"sampler": {"top_p": "?"}}]}, "panes[0].sampler.top_p"),
        ("stream", {**HI, "panes": [{"sampler": {"top_k": "?"}}]}, "panes[0].sampler.top_k"),
        ("stream", {**HI, "panes": [{"seed": "?"}]}, "panes[0].seed"),
        ("stream", {**HI, "panes": [{"max_new_tokens": "?"}]}, "panes[0].max_new_tokens"),
        ("tokenize", {"messages": HI["messages"], "max_new_tokens": "?"}, "max_new_tokens"),
        ("code", {"prompt": "a", "sent": {"seed": "?"}}, "sent.seed"),
        ("code", {"prompt": "a", "sent": {"stop": [1, "?"]}}, "sent.stop[1]"),
        ("demos", {"title": "a", "panes": [{}], "budget_tokens": "?"}, "budget_tokens"),
        ("shares", {"record": {"version": "?"}}, "record.version"),
        (
            "presets/export",
            {"presets": [{"name": "a", "sampler": {"min_p": "?"}}], "format": "tgi"},
            "presets[0].sampler.min_p",
        ),
    ],
)
async def test_odd_numbers_are_refused_on_every_field(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "1" * 5_000, "-" + "9" * 5_000):
        content = json.dumps(body).replace('"?"', number)
        headers = {"content-type": "application/json"}
        answer = await client.post(f"/api/{path}", content=content, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(
    client: httpx.AsyncClient,
) -> None:
    address = urlsplit(str(client.base_url))

    def ask(length: str) -> bytes:
        with socket.create_connection((address.hostname, address.port), timeout=10) as sending:
            head = f"POST /api/render HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n"
            sending.sendall(f"{head}content-type: application/json\r\n\r\n".encode())
            return sending.recv(100)

    for length in (str(MAX_BODY_BYTES + 1), "9" * 18):
        assert b" 413 " in await asyncio.to_thread(ask, length)


async def test_a_body_without_a_length_is_counted_as_it_comes(client: httpx.AsyncClient) -> None:
    address = urlsplit(str(client.base_url))
    chunk = b"10000\r\n%b\r\n" % (b" " * 0x10000)

    def ask() -> tuple[bytes, int]:
        """The answer, and the bytes that were taken before it came."""
        with socket.create_connection((address.hostname, address.port), timeout=10) as sending:
            head = "POST /api/render HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n"
            sending.sendall(f"{head}content-type: application/json\r\n\r\n".encode())
            sent = 0
            while not select([sending], [], [], 0)[0]:
                sent += sending.send(chunk[sent % len(chunk) :])
            return sending.recv(100), sent

    answer, sent = await asyncio.to_thread(ask)
    assert b" 413 " in answer
    assert sent > MAX_BODY_BYTES


class Held:
    """Parsing that the test lets go on. threads: those that were in it, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        self.over = threading.Event()
        self._parse = parse_json
        monkeypatch.setattr(bodies, "parse_json", self)

    def __call__(self, body: bytes, most: int) -> object:
        self.threads.append(threading.get_ident())
        if len(body) > 16_384:
            assert self.over.wait(10)
        return self._parse(body, most)


async def test_large_bodies_are_read_in_one_thread_beside_the_loop_and_only_so_many_wait(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    loop = threading.get_ident()
    large = {"text": "x" * 20_000}
    waiting = [asyncio.create_task(client.post("/api/render", json=large)) for _ in range(9)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    [refusal] = [each.result() for each in done]
    assert (refusal.status_code, refusal.json()["kind"]) == (429, "busy")

    async def begun() -> bool:
        return bool(held.threads)

    await until(begun)
    small = await client.post("/api/render", json={"text": "x"})
    assert small.status_code == 200, "others are not kept waiting"
    assert [thread == loop for thread in held.threads] == [False, True]
    held.over.set()
    assert {(await each).status_code for each in waiting} == {200, 429}
    assert loop not in held.threads[2:]
    again = await client.post("/api/render", json=large)
    assert again.status_code == 200


COMES = (
    b"POST /api/render HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: 29000\r\n\r\n" + b" " * 28_000
)


async def test_bodies_on_their_way_have_so_much_room_of_an_address_and_of_all() -> None:
    """Of 30,000 bytes at most here: 16 of an address, 128 of all, and so 17 and 137 of 28,000."""
    async with opened(NOWHERE, max_body_bytes=30_000) as (url, _):
        address = urlsplit(url)
        writers: list[asyncio.StreamWriter] = []

        async def send(number: int) -> bytes:
            """What is answered before the body is whole."""
            reader, writer = await asyncio.open_connection(
                address.hostname, address.port, local_addr=(f"127.0.4.{number}", 0)
            )
            writers.append(writer)
            writer.write(COMES)
            return await reader.readline()

        async def refused(number: int, count: int, expected: int) -> None:
            sending = [asyncio.create_task(send(number)) for _ in range(count)]

            async def answered() -> bool:
                return sum(each.done() for each in sending) == expected

            await until(answered)
            assert all(b" 429 " in each.result() for each in sending if each.done())
            kept.extend(each for each in sending if not each.done())
            assert len(kept) == held

        kept: list[asyncio.Task[bytes]] = []
        held = 17
        await refused(1, 20, 3)
        for number in range(2, 9):
            held += 17
            await refused(number, 18, 1)
        held += 1
        await refused(9, 10, 9)
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.post("/api/render", json={"text": "small"})).status_code == 200
            large = {"text": "x" * 20_000}
            assert (await client.post("/api/render", json=large)).status_code == 429
            for writer in writers:
                writer.close()

            async def room() -> bool:
                return (await client.post("/api/render", json=large)).status_code == 200

            await until(room)
        for each in kept:
            each.cancel()


UNREAD = (
    b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: 900000\r\n\r\n{"
)


async def test_what_is_refused_whatever_it_brings_is_refused_before_its_body_comes() -> None:
    async with opened(NOWHERE, tokens_per_day=1) as (url, services):
        address = urlsplit(url)

        def ask(path: str) -> bytes:
            with socket.create_connection((address.hostname, address.port), timeout=10) as asking:
                asking.sendall(UNREAD % path.encode())
                answer = b""
                while not answer.endswith(b"}"):  # its head may come first
                    answer += asking.recv(4_000) or b"}"
                return answer

        async def refusal(path: str) -> bytes:
            return await asyncio.to_thread(ask, path)

        for path in ("/api/demos/none/stream", "/api/demos/none/render"):
            assert b" 404 " in await refusal(path)
        account = "address:127.0.0.1"
        for _ in range(60):
            await services.new_links.take(account)
        for path in ("/api/demos", "/api/shares"):
            assert b" 429 " in await refusal(path)
        used = AnswerUsage()
        used.prompt_tokens = 1
        await services.daily_tokens.count(account, [used])
        assert b'"spent"' in await refusal("/api/stream")
        for _ in range(30):
            await refusal("/api/demos/none/stream")
        assert b'"busy"' in await refusal("/api/demos/none/stream"), "each counts as a guess"
