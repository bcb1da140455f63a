"""What a real Caddy and a real nginx do to a stream, with the configurations that come with us."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from httpx_sse import aconnect_sse, connect_sse

from tests.application import Application
from tests.faults import Peer, event
from tests.proxies import PROXIES, caddy, nginx, noticed
from tests.servers import stand_in
from tests.stock import tgi, tokens


async def test_events_pass_as_they_are_written_and_leaving_is_passed_on(tmp_path: Path) -> None:
    """The engine writes its next token only when the reader has the one before."""
    more, left = asyncio.Event(), asyncio.Event()

    async def one_by_one(peer: Peer) -> None:
        await peer.head()
        for _ in range(3):
            await peer.send(event(" word"))
            await more.wait()
            more.clear()
        await peer.send(b"".join(tokens([" end"], "eos_token")))

    async def endless(peer: Peer) -> None:
        await peer.head()
        await peer.send(event(" word"))
        await peer.gone()
        left.set()

    hi = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(tgi(one_by_one, endless, one_by_one, endless))
        server = stack.enter_context(Application(engine.url))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=60))
        for name, make in PROXIES.items():
            folder = tmp_path / name
            folder.mkdir()
            url = await asyncio.to_thread(stack.enter_context, make(folder, [server.url]))
            head = (await client.get(f"{url}/livez")).headers
            assert len(head.get_list("server")) == 1
            assert "strict-transport-security" not in head  # here is no TLS
            text = ""
            async with aconnect_sse(client, "POST", f"{url}/api/stream", json=hi) as source:
                async for each in source.aiter_sse():
                    if each.event == "delta":
                        text += json.loads(each.data)["text"]
                        more.set()
            assert text == "word word word end"
            left.clear()
            async with aconnect_sse(client, "POST", f"{url}/api/stream", json=hi) as source:
                async for each in source.aiter_sse():
                    if each.event == "delta":
                        break
            async with asyncio.timeout(60):
                await left.wait()


async def test_a_request_is_passed_on_when_it_is_whole(tmp_path: Path) -> None:
    """An answer that begins before Caddy has read the whole request would be cut off."""
    seen: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nwhole"

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    proxies: dict[str, Callable[..., AbstractContextManager[str]]] = {
        **PROXIES,
        "balancer": partial(caddy, file="balancer.Caddyfile"),
    }
    async with (
        await asyncio.start_server(upstream, "127.0.0.1") as server,
        httpx.AsyncClient(timeout=60) as client,
        AsyncExitStack() as stack,
    ):
        host, port = server.sockets[0].getsockname()
        for name, make in proxies.items():
            folder = tmp_path / name
            folder.mkdir()
            made = make(folder, [f"http://{host}:{port}"])
            url = await asyncio.to_thread(stack.enter_context, made)

            async def halves(url: str = url) -> AsyncIterator[bytes]:
                yield b"half"
                for _ in range(20):
                    assert (await client.get(url)).text == "whole"
                assert not [each for each in seen if each.startswith(b"POST")]
                yield b"half"

            head = {"content-length": "8", "content-type": "application/json"}
            answered = await client.post(url, content=halves(), headers=head)
            assert answered.text == "whole"
            assert [each for each in seen if each.startswith(b"POST")]
            seen.clear()


async def test_nginx_waits_for_no_half_of_a_request(tmp_path: Path) -> None:
    """Its times are ours, made small; how many connections it lets be open, too."""
    part = tmp_path / "playground.conf"
    with nginx(tmp_path, ["http://127.0.0.1:9"], fast=True) as url:
        assert "client_header_timeout 1s;" in part.read_text()
        parts = urlsplit(url)
        for sent in (
            b"",
            b"GET / HT",
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
        ):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(sent)
            async with asyncio.timeout(30):
                with suppress(ConnectionError):
                    await reader.read()
            writer.close()


def test_several_engines_share_the_work(tmp_path: Path) -> None:
    """The Caddy in front of TGI asks the one that has less to do."""
    with stand_in("--tokens-per-second", "60") as one, stand_in("--tokens-per-second", "60") as two:
        urls = [one.url, two.url]

        def served() -> list[int]:
            texts = [httpx.get(f"{each}/metrics", timeout=60).text for each in urls]
            return [int(each.partition("\ntgi_request_count ")[2].split()[0]) for each in texts]

        before = served()
        with (
            caddy(tmp_path, urls, file="balancer.Caddyfile") as url,
            httpx.Client(timeout=60) as client,
        ):
            assert client.get(f"{url}/info").json() == client.get(f"{one.url}/info").json()
            prompt = "<|user|>\nA story!\n<|assistant|>\n"
            body = {"inputs": prompt, "parameters": {"max_new_tokens": 60}}

            def read() -> None:
                with connect_sse(client, "POST", f"{url}/generate_stream", json=body) as source:
                    assert source.response.status_code == 200, (tmp_path / "log").read_text()
                    assert [each.data for each in source.iter_sse()]

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert [now - was for was, now in zip(before, served(), strict=True)] == [2, 2]
            seen = (tmp_path / "log").stat().st_size
            two.kill()
            noticed(tmp_path, seen)
            for _ in range(4):
                read()
