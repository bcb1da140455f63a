"""A connection is used again, and nothing of one request may reach the next: another reader's."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

import tgi.transport
from tests.faults import STREAM_HEAD, Peer, chunks, event, serving
from tests.tgi.test_client_faults import TEXT, answering, anyio_backend, certificate, texts
from tgi.client import TGIClient
from tgi.errors import IncompleteStream, ValidationFailed

__all__ = ["anyio_backend", "certificate"]  # fixtures


async def spoken(client: TGIClient, call: str, label: str) -> list[str]:
    """The words of the answer to a prompt that is one word."""
    if call == "tokenize":
        return [token.text for token in await client.tokenize(label)]
    return [output.token.text async for output in client.stream(label)]


async def test_connections_are_kept_alive() -> None:
    async def script(peer: Peer) -> None:
        if peer.request.path == "/generate_stream":
            await peer.send(STREAM_HEAD + chunks(TEXT, b""))
            peer.reusable = True
        else:
            await peer.answer(b"{}")

    async with serving(script) as server, TGIClient(server.url) as client:
        for _ in range(3):
            await client.health()
            assert await texts(client) == ["Hé", "llo"]
            async with aclosing(client.stream("Hi")) as stream:
                async for output in stream:
                    if output.generated_text is not None:
                        break
        assert len(server.requests) == 9
        assert server.connections == 1


async def test_a_connection_is_kept_alive_below_tls_too(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with serving(answering(200, b"{}"), tls=context) as server:
        async with TGIClient("https://localhost:" + server.url.rpartition(":")[2]) as client:
            for _ in range(4):
                assert await client.info() == {}
        assert server.connections == 1


@pytest.mark.parametrize("call", ["stream", "tokenize"])
@pytest.mark.parametrize("turns", range(-2, 6))
async def test_whoever_leaves_at_the_last_bytes_leaves_none_to_the_next(
    turns: int, call: str
) -> None:
    """turns: of the event loop between the last bytes of an answer and its reader's leaving; below
    zero the reader leaves first."""
    begun: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    def last(label: str) -> bytes:
        if call == "tokenize":
            return b'[{"id": 1, "text": "%b", "start": 0, "stop": 5}]' % label.encode()
        return chunks(event(label, generated_text=label * 2), b"")

    async def script(peer: Peer) -> None:
        label = peer.request.json()["inputs"]
        if call == "tokenize":
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(last(label)))
        else:
            await peer.send(STREAM_HEAD + chunks(event(label)))
        peer.reusable = True
        if begun.done():
            peer.send_now(last(label))
        else:
            begun.set_result(peer)

    async with serving(script) as server, TGIClient(server.url) as client:
        leaving = asyncio.create_task(spoken(client, call, "early"))
        peer = await begun
        steps: list[Callable[[], object]] = [lambda: peer.send_now(last("early")), leaving.cancel]
        if turns < 0:
            steps.reverse()
        steps[0]()
        for _ in range(abs(turns)):
            await asyncio.sleep(0)
        steps[1]()
        await asyncio.wait([leaving])
        assert set(await spoken(client, call, "later")) == {"later"}


async def test_a_stream_that_is_all_there_is_read_to_its_end_at_once() -> None:
    """Its socket is not left unread for a pace, where the next request would wait for it."""

    async def script(peer: Peer) -> None:
        complete = peer.request.json()["inputs"] == "later"
        await peer.send(STREAM_HEAD + chunks(TEXT if complete else event("a"), b""))
        peer.reusable = True

    async with serving(script) as server, TGIClient(server.url, read_timeout=5) as client:
        async with aclosing(client.stream_batches("early", pace=60.0)) as stream:
            assert [output.token.text for output in await anext(stream)] == ["a"]
            with pytest.raises(IncompleteStream):
                await anext(stream)
        assert await spoken(client, "stream", "later") == ["Hé", "llo"]
        assert server.connections == 1


async def test_a_connection_with_more_than_the_answer_is_not_used_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
            b"HTTP/1.1 500 No\r\ncontent-length: 3\r\ncontent-encoding: gzip\r\n\r\n[1]"
        )
        peer.reusable = True

    async with serving(script) as server, TGIClient(server.url) as client:
        assert await client.info() == {}
        assert await client.info() == {}
        assert server.connections == 2


STRAY = b'HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{"model_id": "stray"}'


async def test_a_second_answer_in_the_last_bytes_of_the_first_reaches_nobody() -> None:
    """The head came before, so that the end of the body and the second answer are one read."""
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(STREAM_HEAD + chunks(event("asked")))
        await begun.wait()
        await peer.send(chunks(event("", generated_text="asked"), b"") + STRAY)
        peer.reusable = True

    async with serving(script) as server, TGIClient(server.url) as client:
        for connections in range(1, 4):
            begun.clear()
            async with aclosing(client.stream("Hi")) as stream:
                assert (await anext(stream)).token.text == "asked"
                begun.set()
                assert [output.generated_text async for output in stream] == ["asked"]
            assert server.connections == connections


@pytest.mark.parametrize("stray", [STRAY, STRAY[:9], b"\r\n", b"x"])
async def test_a_connection_is_not_used_again_when_its_loop_has_read_more(stray: bytes) -> None:
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.answer(b'{"model_id": "asked"}')

    async with serving(script) as server, TGIClient(server.url) as client:
        for connections in range(1, 4):
            assert await client.info() == {"model_id": "asked"}
            assert server.connections == connections
            peers[-1].send_now(stray)
            peers[-1].confirmed()
            for _ in range(5):  # the loop reads it
                await asyncio.sleep(0)


async def test_the_connection_used_last_is_used_next() -> None:
    """Those in excess grow old, and are closed."""
    used: list[int] = []

    async def script(peer: Peer) -> None:
        used.append(peer.connection)
        if len(used) < 4:
            await together.wait()
        await peer.answer(b"{}")

    together = asyncio.Barrier(3)
    async with serving(script) as server, TGIClient(server.url) as client:
        await asyncio.gather(*(client.info() for _ in range(3)))
        assert set(used) == {1, 2, 3}
        for _ in range(3):
            await client.info()
        assert len(set(used[3:])) == 1


async def test_an_idle_connection_is_closed_before_the_server_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a request would meet the closing half-way."""
    monkeypatch.setattr(tgi.transport, "KEEPALIVE_EXPIRY_S", 0.0)
    closed: asyncio.Queue[float] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.answer(b"{}")
        closed.put_nowait(await peer.gone())

    async with serving(script) as server, TGIClient(server.url) as client:
        await client.health()
        for connections in range(2, 5):
            await client.health()
            assert server.connections == connections
            await closed.get()


async def test_a_connection_is_not_used_again_when_more_has_come_since() -> None:
    """No turn of the loop is between what comes and the next request: only the kernel knows."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.answer(b'{"model_id": "asked"}')

    async with serving(script) as server, TGIClient(server.url) as client:
        for connections in range(1, 4):
            assert await client.info() == {"model_id": "asked"}
            assert server.connections == connections
            peers[-1].send_now(STRAY)
            peers[-1].confirmed()


async def test_a_connection_is_not_used_again_before_its_request_has_left() -> None:
    """A server may refuse a prompt before it has read it: what it has not read would stand in front
    of the next request."""

    def answer(listener: socket.socket, status: bytes) -> socket.socket:
        connection = listener.accept()[0]
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n[]" % status)
        return connection

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with TGIClient(url) as client:
            asked = asyncio.create_task(client.tokenize("a" * 2**25))
            with await asyncio.to_thread(answer, listener, b"413 Too Large"):
                with pytest.raises(ValidationFailed):
                    await asked
                asked = asyncio.create_task(client.tokenize("a"))
                with await asyncio.to_thread(answer, listener, b"200 OK"):
                    assert await asked == []


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b'{"model_id": "m"}')
        peer.reusable = False

    async with serving(script) as server, TGIClient(server.url, retries=0) as client:
        for _ in range(3):
            assert (await client.info())["model_id"] == "m"
            for _ in range(10):  # the loop turns until the client has seen the end
                await asyncio.sleep(0)
        assert server.connections == 3
