"""Logouts, as they are kept for all replicas, in both kinds of database."""

import asyncio
import time

from playground.settings import load_settings
from playground.store.ended_sessions import EndedSessions
from playground.store.store import Store


async def test_a_logout_is_known_to_every_replica_until_it_no_longer_matters(
    database: dict[str, str],
) -> None:
    here, there = (Store.from_settings(load_settings(**database)) for _ in range(2))
    try:
        first, second = EndedSessions(here.database), EndedSessions(there.database)
        now = int(time.time())
        assert not await second.ended("a session")
        await first.end("a session", now + 60)
        await second.end("a session", now + 60)
        await first.end("an old one", now - 1)
        assert await second.ended("a session")
        assert not await second.ended("another session")
        await asyncio.gather(here.sweep(), there.sweep())
        assert await first.ended("a session")
        assert not await first.ended("an old one")
    finally:
        await asyncio.gather(here.aclose(), there.aclose())
