"""What is remembered of sessions: which are over, for how long, and not without end."""

import time
from types import SimpleNamespace

import pytest

from playground.auth import sessions
from playground.auth.sessions import Sessions
from playground.domain.errors import StoreError

HASHES = {"ada": "a hash of hers"}
HOUR = 3600


class Ended:
    """What all replicas share. asked: how often each session was asked for."""

    def __init__(self) -> None:
        self.over: set[str] = set()
        self.asked: list[str] = []
        self.away = False

    async def end(self, session: str, expires: int) -> None:
        if self.away:
            raise StoreError("It is away.")
        self.over.add(session)

    async def ended(self, session: str) -> bool:
        self.asked.append(session)
        if self.away:
            raise StoreError("It is away.")
        return session in self.over


class Site:
    """A replica whose clock is turned by hand, which has room for two sessions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now, time=time.time)
        monkeypatch.setattr(sessions, "time", clock)
        monkeypatch.setattr(sessions, "_REMEMBERED", 2)
        self.ended = Ended()
        self.sessions = Sessions("a secret of sixteen characters", HOUR, self.ended)

    async def comes(self, cookie: str) -> int | None:
        """How often the database was asked for a session, or None when it is over."""
        before = len(self.ended.asked)
        found = await self.sessions.find(cookie, HASHES)
        return None if found is None else len(self.ended.asked) - before

    async def logs_out(self, cookie: str) -> None:
        found = await self.sessions.find(cookie, HASHES)
        assert found is not None
        await self.sessions.end(found)

    def logs_in(self) -> str:
        return self.sessions.begin("ada", HASHES["ada"])


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


async def test_an_answer_holds_for_ten_seconds(site: Site) -> None:
    cookie = site.logs_in()
    assert await site.comes(cookie) == 1
    site.now += 9.9
    assert await site.comes(cookie) == 0
    site.now += 0.2
    assert await site.comes(cookie) == 1


async def test_an_end_by_another_replica_is_seen_then_and_not_asked_for_again(site: Site) -> None:
    cookie = site.logs_in()
    assert await site.comes(cookie) == 1
    [number] = site.ended.asked
    site.ended.over.add(number)
    assert await site.comes(cookie) == 0
    site.now += 11
    assert await site.comes(cookie) is None
    site.now += 11
    assert await site.comes(cookie) is None
    assert len(site.ended.asked) == 2


async def test_while_the_database_is_away_an_end_holds_here(site: Site) -> None:
    """When many others come meanwhile, too: only what is not over is forgotten."""
    cookie, other = site.logs_in(), site.logs_in()
    site.ended.away = True
    await site.logs_out(cookie)
    for _ in range(10):
        assert await site.comes(site.logs_in()) == 1
    assert await site.comes(cookie) is None
    assert await site.comes(other) == 1


async def test_what_was_over_for_as_long_as_a_login_lasts_is_forgotten(site: Site) -> None:
    """By then its signature is too old, and nothing need be known of it. This test's signatures go
    by another clock, which shows that it is asked for again."""
    cookie = site.logs_in()
    await site.logs_out(cookie)
    site.now += HOUR - 1
    await crowd(site)
    asked = len(site.ended.asked)
    assert await site.comes(cookie) is None
    assert len(site.ended.asked) == asked, "it is remembered"
    site.now += 2
    await crowd(site)
    asked = len(site.ended.asked)
    assert await site.comes(cookie) is None
    assert len(site.ended.asked) == asked + 1


async def crowd(site: Site) -> None:
    """So many others that room is made for them."""
    for _ in range(10):
        await site.comes(site.logs_in())
