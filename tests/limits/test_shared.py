"""What several processes count together, on the server that Debian has for it."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import cast

import pytest

from playground.domain.errors import Busy, NotFound
from playground.domain.principal import Principal
from playground.limits.admission import Admission
from playground.limits.rate_limits import (
    LINKS_AN_HOUR,
    LOGIN_TRIES,
    MISSES_A_MINUTE,
    LinkGuesses,
    LoginTries,
    NewLinks,
)
from playground.limits.shared import Shared
from playground.limits.shared_streams import SharedPlaces, SharedStops
from playground.settings import load_settings
from tests.servers import ROOT
from tests.stock import until
from tests.valkey import Valkey

URL = "valkey://127.0.0.1:{}"


@asynccontextmanager
async def processes(valkey: Valkey, count: int = 2) -> AsyncIterator[list[Shared]]:
    """So many that count together, as their settings say."""
    settings = load_settings(secret="the same for all", limits_url=URL.format(valkey.port))
    made = [Shared.from_settings(settings) for _ in range(count)]
    shared = [each for each in made if each is not None]
    assert len(shared) == count
    try:
        yield shared
    finally:
        for each in shared:
            await each.aclose()


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[Shared]:
    """A process whose server answers this to whatever is counted."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                words = []
                for _ in range(int((await reader.readuntil(b"\r\n"))[1:])):
                    length = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                greeting = words[0] in (b"HELLO", b"CLIENT")
                writer.write(b"%1\r\n+proto\r\n:3\r\n" if greeting else answer)

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        shared = Shared(f"redis://127.0.0.1:{port}", str)
        try:
            yield shared
        finally:
            await shared.aclose()


async def test_processes_count_links_guesses_and_logins_together(valkey: Valkey) -> None:
    async with processes(valkey) as (one, other):
        links = [NewLinks(each.window) for each in (one, other)]
        for i in range(LINKS_AN_HOUR):
            await links[i % 2].take("user:ada")
        for made in links:
            with pytest.raises(Busy, match="60 links in an hour") as caught:
                await made.take("user:ada")
            assert 3500 <= caught.value.retry_after <= 3600
            with pytest.raises(Busy):
                await made.check("user:ada")
            await made.take("user:ben")

        guesses = [LinkGuesses(each.window) for each in (one, other)]
        for i in range(MISSES_A_MINUTE):
            with pytest.raises(NotFound):
                async with guesses[i % 2].counted(f"2001:db8::{i:x}"):
                    raise NotFound("There is no such link.")
        for opened in guesses:
            with pytest.raises(Busy):
                async with opened.counted("2001:db8::1"):
                    raise AssertionError("nothing is opened")
            async with opened.counted("192.0.2.1"):
                pass

        tries = [LoginTries(each.window) for each in (one, other)]
        for i in range(3 * LOGIN_TRIES):  # who gets in counts no more, whichever process let him in
            await tries[i % 2].take_back(await tries[i % 2].count("eve", "192.0.2.7", None))
        for i in range(LOGIN_TRIES):
            await tries[i % 2].count("ada", f"192.0.2.{i}", None)
        for each in tries:
            with pytest.raises(Busy) as caught:
                await each.count("ada", "192.0.2.99", None)
            assert 200 <= caught.value.retry_after <= 300
            await each.take_back(await each.count("ben", "192.0.2.99", None))
    kept = " ".join(valkey.client.scan_iter())
    assert "links" in kept
    assert not [each for each in ("ada", "192.0.2", "2001:db8") if each in kept]
    forever = [key for key in valkey.client.scan_iter() if valkey.client.ttl(key) < 0]
    assert not forever, "what is over is forgotten"


async def test_many_tries_at_once_in_several_processes_are_no_more(valkey: Valkey) -> None:
    async with processes(valkey, 3) as shared:
        tries = [LoginTries(each.window) for each in shared]
        flood = [tries[i % 3].count("ada", f"192.0.2.{i}", None) for i in range(90)]
        done = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(isinstance(each, tuple) for each in done) == LOGIN_TRIES
        assert sum(isinstance(each, Busy) for each in done) == 90 - LOGIN_TRIES
        let_in = next(each for each in done if isinstance(each, tuple))
        await tries[1].take_back(let_in)  # and its place is there for another
        await tries[2].count("ada", "192.0.2.200", None)
        with pytest.raises(Busy):
            await tries[0].count("ada", "192.0.2.201", None)
        for i in range(90):  # what was refused is no try of its address
            await tries[0].count(f"name-{i}", f"192.0.2.{i}", None)


@pytest.mark.parametrize("fault", ["ended", "silent", "full"])
async def test_while_the_server_is_away_each_process_counts_by_itself(
    fault: str, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is let off, nobody is shut out, and nobody waits for it each time."""
    if fault == "silent":
        monkeypatch.setattr("playground.limits.shared._PATIENCE_S", 0.05)
    async with processes(valkey) as (one, other):
        tries = [LoginTries(each.window) for each in (one, other)]
        for _ in range(LOGIN_TRIES - 1):
            await tries[0].count("ada", "192.0.2.1", None)
        if fault == "ended":
            valkey.stop()
        elif fault == "silent":
            valkey.silent()
        else:
            valkey.client.config_set("maxmemory", "1")
        with caplog.at_level(logging.WARNING):
            for each in tries:
                for _ in range(LOGIN_TRIES):
                    counted = await each.count("ada", "192.0.2.1", None)
                with pytest.raises(Busy) as caught:
                    await each.count("ada", "192.0.2.1", None)
                assert caught.value.retry_after > 1
                await each.take_back(counted)
                await each.count("ada", "192.0.2.1", None)
        assert caplog.text.count("is away") == len(tries), "each says it once"
        assert "by itself" in caplog.text
        if fault == "ended":
            valkey.start()
        elif fault == "silent":
            valkey.woken()
        else:
            valkey.client.config_set("maxmemory", "0")
        caplog.clear()
        for each, shared in zip(tries, (one, other), strict=True):
            shared._again = 0.0  # as if it had been left alone for its time
            for _ in range(2):
                await each.take_back(await each.count("ben", "192.0.2.2", None))
        assert caplog.text.count("is back") == len(tries)
        if (
            fault == "full"
        ):  # one that ended has forgotten all, a silent one counts what it got late
            await tries[1].count("ada", "192.0.2.1", None)
            with pytest.raises(Busy):
                await tries[0].count("ada", "192.0.2.1", None)


@pytest.mark.parametrize(
    "said",
    [
        b":7\r\n",
        b"$4\r\nmany\r\n",
        b"*0\r\n",
        b"*1\r\n*0\r\n",
        b"%1\r\n+a\r\n+b\r\n",
        b"HTTP/1.1 200\r\n",
    ],
    ids=["a number", "a word", "an empty list", "a list of lists", "a table", "not its protocol"],
)
async def test_what_is_no_answer_of_the_server_is_as_good_as_none(said: bytes) -> None:
    """Nothing fails, and where it says no number each process counts by itself."""
    async with saying(said) as shared:

        async def again() -> None:
            shared._again = 0.0  # as if it had been left alone for its time

        tries, links = LoginTries(shared.window), NewLinks(shared.window)
        for _ in range(LOGIN_TRIES):
            await again()
            with suppress(Busy):
                await tries.take_back(await tries.count("ada", "192.0.2.1", None))
            await again()
            with suppress(Busy):
                await links.check("user:ada")
            await again()
            async with SharedPlaces(shared, 4).held("user:ada", 1):
                pass
        if said != b":7\r\n":
            for _ in range(LOGIN_TRIES):
                await again()
                await tries.count("ben", "192.0.2.2", None)
            await again()
            with pytest.raises(Busy):
                await tries.count("ben", "192.0.2.2", None)


@pytest.mark.parametrize(
    ("begun", "goes_on"),
    [
        (b"$90000000000\r\n", b"x" * 65_536),
        (b"+", b"x" * 65_536),
        (b"*90000000000\r\n", b":1\r\n" * 16_384),
        (b"", b"*1\r\n" * 16_384),
        (b"", b">2\r\n+message\r\n:1\r\n" * 4_096),
    ],
    ids=["a text", "a line", "a list", "levels", "what nobody asked for"],
)
async def test_of_an_answer_without_an_end_little_is_read(begun: bytes, goes_on: bytes) -> None:
    sent, ended = 0, asyncio.Event()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with closing(writer), suppress(ConnectionError):
            await reader.read(1)
            writer.write(begun)
            while sent < 500_000_000:
                writer.write(goes_on)
                await writer.drain()
                sent += len(goes_on)
        ended.set()

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        shared = Shared(f"redis://127.0.0.1:{port}", str)
        assert await shared.window("links", 60, 3600, moving=True).hit("user:ada")
        await shared.aclose()
        await ended.wait()
    assert sent < 20_000_000  # the kernel's buffers are full of it


async def test_nobody_waits_longer_than_a_window_whatever_the_server_says() -> None:
    async with saying(b"*2\r\n$21\r\n900000000000000000000\r\n:60\r\n") as shared:
        links = shared.window("links", 60, 3600, moving=True)
        assert await links.seconds_left("user:ada") <= 3600


async def test_what_is_no_stop_ends_no_listening(valkey: Valkey) -> None:
    stopped: list[tuple[str, int]] = []

    class Asked:
        def stop(self, number: str, pane: int, _: object) -> None:
            stopped.append((number, pane))

    async with processes(valkey) as (one, other):
        listening = SharedStops(one, cast(Admission, Asked()))
        telling = SharedStops(other, cast(Admission, Asked()))
        async with listening.heard():

            async def heard() -> bool:
                return valkey.client.publish("playground:stops", b"[1]") == 1

            await until(heard)
            for odd in (b"", b"[", b"{}", b'["a"]', b"[1,2,3,4]", b"\xff", b"[" * 100_000):
                valkey.client.publish("playground:stops", odd)
            assert await telling.tell("a stream", 2, Principal(None, "user:ada", "user:ada", ""))

            async def told() -> bool:
                return bool(stopped)

            await until(told)
    assert stopped == [("a stream", 2)]


async def test_an_account_has_its_answers_in_all_processes_together(valkey: Valkey) -> None:
    async with processes(valkey) as shared:
        one, other = (SharedPlaces(each, 3) for each in shared)
        async with one.held("user:ada", 2), other.held("user:ben", 3):
            with pytest.raises(Busy, match="takes 3 answers at a time for one user"):
                async with other.held("user:ada", 2):
                    raise AssertionError("nothing is answered")
            async with other.held("user:ada", 1):
                with pytest.raises(Busy):
                    async with one.held("user:ada", 1):
                        raise AssertionError("nothing is answered")
        async with other.held("user:ada", 3):
            pass
    kept = list(valkey.client.scan_iter())
    assert kept
    assert not [key for key in kept if "ada" in key]
    assert not [key for key in kept if valkey.client.ttl(key) < 0], "what is over is forgotten"


_KILLED = """
import asyncio, os, sys
from playground.limits import shared_streams
from playground.limits.shared import Shared
from playground.settings import load_settings

shared_streams._LEASE_S = float(sys.argv[2])

async def main():
    shared = Shared.from_settings(load_settings(secret="the same for all", limits_url=sys.argv[1]))
    async with shared_streams.SharedPlaces(shared, 1).held("user:ada", 1):
        os._exit(0)  # as if it were killed

asyncio.run(main())
"""


async def test_a_process_that_is_killed_holds_its_places_no_longer_than_it_said(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = URL.format(valkey.port)
    command = [sys.executable, "-c", _KILLED, url, "0.9"]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True)
    monkeypatch.setattr("playground.limits.shared_streams._LEASE_S", 3.0)

    def ends() -> float:
        [owners] = cast(list[str], valkey.client.keys("*owners"))
        [(_, end)] = cast(
            list[tuple[str, float]], valkey.client.zrange(owners, 0, -1, withscores=True)
        )
        return end

    async with processes(valkey, 1) as (shared,):
        places = SharedPlaces(shared, 1)

        async def free() -> bool:
            try:
                async with places.held("user:ada", 1):
                    return True
            except Busy:
                return False

        await until(free)
        async with places.held("user:ada", 1):  # and one that lives goes on holding them
            first = ends()

            async def renewed() -> bool:
                return ends() > first

            await until(renewed)
            assert not await free()


async def test_while_the_server_is_away_answers_begin_and_end(valkey: Valkey) -> None:
    async with processes(valkey, 1) as (shared,):
        places = SharedPlaces(shared, 1)
        async with places.held("user:ada", 1):
            valkey.stop()
            async with places.held("user:ada", 1):
                pass
        async with places.held("user:ada", 1):
            valkey.start()
        shared._again = 0.0  # as if it had been left alone for its time
        async with places.held("user:ada", 1):
            pass
