"""What people and programs send: a function for each attack, whose docstring says it.

Two attacks with the same number fell by the same cause.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

import httpx
import orjson

from tests.attacks.probe import ADDRESSES, Attack, Row
from tests.conversations import answer, column, record
from tests.formats.test_exchange import IN_PART, REFUSED
from tests.servers import Server, stand_in
from tests.stock import until

ROWS: Final[list[Row]] = []
_OTHERS: Final = tuple(f"127.0.6.{number}" for number in range(1, 6))  # one attacker's addresses
_TEXT: Final = b"x" * 984_980


def row(number: int, **bounds: Any) -> Callable[[Callable[[Attack], Awaitable[None]]], None]:
    return lambda send: ROWS.append(Row(number, send, **bounds))


def _post(path: str, body: bytes, length: int = 0, by: httpx.AsyncClient | None = None) -> bytes:
    cookies = "; ".join(f"{name}={value}" for name, value in by.cookies.items()) if by else ""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncookie: {cookies}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


async def _import(attack: Attack, text: str, form: str | None = None) -> None:
    """A text, of which something must be told to be wrong, in a sentence."""
    body = {"text": text, "format": form}
    told = (await attack.ask("POST", "/api/presets/import", json=body)).json()
    wrong = [*told["problems"], *told["left_out"]]
    attack.expect(bool(wrong and wrong[0]["reason"]), f"nothing is said of {text[:20]!r}")
    attack.statuses([200])


async def _beside(
    attack: Attack, many: Sequence[Coroutine[Any, Any, object]], other: Awaitable[object]
) -> None:
    """Many at once, and as soon as the first is answered another's, which waits for a few only."""
    asked = [asyncio.create_task(each) for each in many]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    begun = time.monotonic()
    await other
    waited = time.monotonic() - begun
    await asyncio.gather(*asked)
    whole = time.monotonic() - begun
    attack.notes.append(f"another waited {waited:.2f} s, the last of these {whole:.2f}")
    # Behind all of them it was 26 to 198 s; a busy machine takes its time for a few, too.
    attack.expect(waited < max(5, whole / 3), f"another waited {waited:.1f} of {whole:.1f} s")


async def _first_token(client: httpx.AsyncClient, engine: str) -> None:
    said = [{"role": "user", "content": "Hi"}]
    body = {"messages": said, "panes": [{"engine": engine, "max_new_tokens": 8}]}
    async with client.stream("POST", "/api/stream", json=body) as stream:
        async for line in stream.aiter_lines():
            if line == "event: delta":
                return
    raise AssertionError("another's answer has no text")


@row(1)
async def newlines(attack: Attack) -> None:
    """import of 60,000 newlines and an x; of `a:` and 59,000 spaces."""
    await _import(attack, "\n" * 59_999 + "x")
    await _import(attack, "a:" + " " * 59_000)


@row(2)
async def values(attack: Attack) -> None:
    """no login: 3 × 1 MB of JSON with 249,000 values to a demo's stream, 3 × to that of none."""
    body = b'{"%b": [%b"\\ud800"]}' % (b"n" * 480_000, b"0," * 249_000)
    for token in (attack.demo, "none"):
        for _ in range(3):
            await attack.outcome(_post(f"/api/demos/{token}/stream", body))
    told = {"413": 3, "404": 3}  # what there is not, before it is read
    attack.expect(attack.answers == told, f"not answered with {told}")


@row(3)
async def dotted(attack: Attack) -> None:
    """import of TOML whose key has 29,000 parts, three times."""
    for _ in range(3):
        await _import(attack, f"version = 1\n{'.'.join(['a'] * 29_000)} = 1")


@row(4)
async def deep(attack: Attack) -> None:
    """import of YAML of 59,000 `[`."""
    await _import(attack, "a: " + "[" * 59_000)


@row(4)
async def deep_at_once(attack: Attack) -> None:
    """45 imports of YAML of 4,000 `[` at once, then another's of one line."""
    body = {"text": "a: " + "[" * 4_000, "format": "textgen"}
    path, small = "/api/presets/import", {"text": "temperature: 1"}
    many = [attack.ask("POST", path, json=body) for _ in range(45)]
    await _beside(attack, many, attack.ask("POST", path, by=attack.anna, json=small))
    attack.statuses([200, 429])


@row(5)
async def pipelined(attack: Attack) -> None:
    """no login: 8 connections, each with 5 MB of GETs in a row, none reading anything."""
    sent = b"GET /login HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 125_000

    async def send() -> None:
        _, writer = await attack.opened(b"")
        cast(asyncio.ReadTransport, writer.transport).pause_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await attack.send(writer, sent)
        attack.answers["ended" if writer.transport.is_closing() else "taken no further"] += 1
        writer.transport.abort()

    await asyncio.gather(*(send() for _ in range(8)))


@row(6, memory=250)
async def endless(attack: Attack) -> None:
    """no login: 500 bodies of 990 kB without an end; 60 connections with half a request at most."""
    body = _post(f"/api/demos/{attack.demo}/render", b'{"text": "' + _TEXT, 990_000)
    sent = [(body, _OTHERS[number % 5]) for number in range(500)]
    for begun in (b"", b"GET / HTTP/1.1\r\nhost: ", _post("/login", b"name", 99)):
        sent += [(begun, "127.0.6.6")] * 20
    ends = [asyncio.create_task(attack.outcome(*each)) for each in sent]
    _, late = await asyncio.wait(ends, timeout=60)  # each step has 15 or 30 s
    attack.expect(not late, f"{len(late)} connections are open after 60 s")
    for each in late:
        each.cancel()
    attack.statuses([408, 429, "closed"])


@row(6, options={"descriptors": 256})
async def descriptors(attack: Attack) -> None:
    """no login: 300 silent connections of six addresses, where there are 256 descriptors."""
    silent = [await attack.opened(b"", f"127.0.7.{1 + number % 6}") for number in range(300)]
    for _ in range(5):
        await attack.ask("GET", "/login", by=attack.stranger)
    attack.expect("Connections: " in attack.site.output, "the log does not say why")
    for _, writer in silent:
        writer.transport.abort()
    attack.statuses([200])


@row(7)
async def panes(attack: Attack) -> None:
    """24,000 characters of table rows gone on with, in 4 panes, and then in 28."""
    messages = [
        {"role": "user", "content": "[tokens 3] A table"},
        {"role": "assistant", "content": "|a|b|\n|-|-|\n" + "|x|y|\n" * 4_000},
    ]
    body = {"messages": messages, "panes": [{"max_new_tokens": 20}] * 4}
    for streams in (1, 7):
        asked = [attack.ask("POST", "/api/stream", json=body) for _ in range(streams)]
        for each in await asyncio.gather(*asked):
            attack.expect(each.text.count("event: done") == 4, "a pane has no end")
    attack.statuses([200])


@row(8)
async def renders(attack: Attack) -> None:
    """no login: 60 × 50 kB to be rendered of a demo, beside another's snapshot."""
    said = column({"role": "user", "content": "Hi"}, answer("|a|b|\n|-|-|\n" + "|x|y|\n" * 500))
    shared = await attack.anna.post("/api/shares", json={"record": record(said)})
    body = orjson.dumps({"text": "|a|b|\n|-|-|\n" + "|x|y|\n" * 8_300})
    sent = _post(f"/api/demos/{attack.demo}/render", body)
    many = [attack.outcome(sent, _OTHERS[number % 5]) for number in range(60)]
    path = f"/api/shares/{shared.json()['token']}"
    await _beside(attack, many, attack.ask("GET", path, by=attack.anna))
    attack.statuses([200, 429])


@asynccontextmanager
async def _tokenizer() -> AsyncIterator[Server]:
    """The stand-in, which has a real tokenizer."""
    server = await asyncio.to_thread(stand_in, "--endless", "--tokens-per-second", "20")
    try:
        yield server
    finally:
        await asyncio.to_thread(server.kill)


@row(9, memory=150, hostile=[_tokenizer])
async def pieces(attack: Attack) -> None:
    """one user, 150 × /api/pieces of 200 kB, beside another's first token of the same engine."""
    body = {"texts": ["word " * 10_000] * 4, "engine": "e1"}
    sent = _post("/api/pieces", orjson.dumps(body), by=attack.mallory)
    many = [attack.outcome(sent, ADDRESSES["mallory"]) for _ in range(150)]
    await _beside(attack, many, _first_token(attack.anna, "e1"))
    # Those above the connections of an address may be reset before they have read their 429.
    attack.statuses([200, 429, "closed"])


@row(13)
async def odd(attack: Attack) -> None:
    """the import texts of tests/formats/test_exchange.py that cannot be used, or only in part."""
    for text, form, _ in REFUSED.values():
        await _import(attack, text, form)
    for text, _, _ in IN_PART.values():
        await _import(attack, text)


async def _counted(attack: Attack, what: str) -> float:
    """The sum of the metrics that have this in their line."""
    lines = (await attack.anna.get("/metrics")).text.splitlines()
    return sum(float(each.rpartition(" ")[2]) for each in lines if what in each)


@row(14, memory=200)  # a try to log in takes 64 MiB for its hash
async def leaving(attack: Attack) -> None:
    """200 × leaving in mid-body; a login's form of fifty `&`."""
    for path in ("/api/stream", "/api/tokenize", "/api/shares", "/api/demos"):
        for _ in range(50):
            _, writer = await attack.opened(_post(path, b"{", 99, attack.mallory))
            writer.close()

    async def all_left() -> bool:
        return await _counted(attack, 'status="499"') == 200

    await until(all_left)
    ours = await _counted(attack, 'status="500"') + await _counted(attack, '"internal"')
    attack.expect(ours == 0, "leaving counts as a fault of the server's own")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    asked = attack.ask("POST", "/login", by=attack.stranger, content=b"&" * 50, headers=headers)
    attack.expect((await asked).status_code == 401, "a form of `&` is not answered with 401")


@row(15, options={"page": True})
async def surfaces(attack: Attack) -> None:
    """`Origin: http://[` at the login; `/pwa_icon/192` and `/openapi.json` of Gradio."""
    for origin in ("http://[", "[", "null"):
        headers = {"origin": origin}
        asked = attack.ask("POST", "/login", by=attack.stranger, data={}, headers=headers)
        attack.expect((await asked).status_code == 403, f"{origin} is not another site's")
    for path in ("/pwa_icon/192", "/openapi.json"):
        attack.expect((await attack.ask("GET", path)).status_code == 404, f"{path} is there")


@row(16, still=0.2)  # it is about tenths of a second
async def long_texts(attack: Attack) -> None:
    """27,000 turns; 490,000 newlines as code; an import of 29,000 lines; NaN behind 950 kB."""
    turn = b'{"role":"user","content":"a"}'
    for path, body in (
        ("/api/stream", b'{"panes":[{}],"messages":[' + b",".join([turn] * 27_000) + b"]}"),
        ("/api/code", orjson.dumps({"prompt": "\n" * 490_000, "sent": {}})),
        ("/api/presets/import", orjson.dumps({"text": "x\n" * 29_000})),
        ("/api/render", b'{"text": "%b", "x": NaN}' % _TEXT[:950_000]),
    ):
        await attack.outcome(_post(path, body, by=attack.mallory))
    attack.statuses([200, 413, 422])


@row(17)
async def blank(attack: Attack) -> None:
    """a prompt of U+200B; a temperature of 5e-324."""
    for content, temperature in (("\u200b", 1.0), ("Hi", 5e-324)):
        messages = [{"role": "user", "content": content}]
        body = {"messages": messages, "panes": [{"sampler": {"temperature": temperature}}]}
        await attack.ask("POST", "/api/stream", json=body)
    attack.statuses([422])


@row(19, options={"page": True})
async def policy(attack: Attack) -> None:
    """a look at the header of `/`."""
    page = await attack.ask("GET", "/")
    found = re.search("script-src ([^;]*)", page.headers.get("content-security-policy", ""))
    scripts = found[1].split() if found else []
    attack.notes.append(" ".join(each[:12] for each in scripts))
    attack.expect("'self'" in scripts and "'unsafe-inline'" not in scripts, "any script may run")


@row(20, memory=350)  # of 128 that may be on their way, each twice while it is put together
async def whole_bodies(attack: Attack) -> None:
    """no login: 500 whole bodies of 985 kB to an open demo in one moment, from five addresses."""
    sent = _post(f"/api/demos/{attack.demo}/render", b'{"text": "%b"}' % _TEXT)
    await asyncio.gather(*(attack.outcome(sent, _OTHERS[i % 5]) for i in range(500)))
    attack.statuses([422, 429, "closed"])


@row(21, options={"page": True})
async def cookie(attack: Attack) -> None:
    """no login: a GET with `cookie: a="\\"\\"\\"…` of 62 kB, of four pages."""
    value = 'a="' + '\\"' * 31_000 + '"'
    for path in ("/", "/login", "/api/visitor", f"/d/{attack.demo}"):
        await attack.ask("GET", path, by=attack.stranger, headers={"cookie": value})
    attack.statuses([200, 303, 307, 401])
