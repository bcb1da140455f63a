"""Texts that are counted for one reader, while others wait: how many at a time, and for whom."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from playground.engines.tgi import TGIEngine
from tests.application import Application


class Held:
    """An engine's pieces, which the test lets go on. texts: begun, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self._over: list[asyncio.Event] = []
        self._begun = threading.Semaphore(0)
        self._loop: asyncio.AbstractEventLoop

        async def pieces(_: TGIEngine, text: str) -> list[str]:
            self._loop = asyncio.get_running_loop()
            over = asyncio.Event()
            self._over.append(over)
            self.texts.append(text)
            self._begun.release()
            await over.wait()
            return [text]

        monkeypatch.setattr(TGIEngine, "pieces", pieces)

    async def begun(self, count: int = 1) -> None:
        """Wait for so many more."""
        for _ in range(count):
            assert await asyncio.to_thread(self._begun.acquire, timeout=20)

    def end(self, number: int) -> None:
        self._loop.call_soon_threadsafe(self._over[number].set)


async def test_who_asks_for_many_texts_is_bounded_and_who_left_is_not_worked_for(
    monkeypatch: pytest.MonkeyPatch, stand_in_url: str
) -> None:
    held = Held(monkeypatch)
    settings: dict[str, Any] = {"trusted_proxies": "127.0.0.0/8", "open": True}
    with Application(stand_in_url, **settings) as site:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=site.url, timeout=30, limits=limits) as client:

            def ask(address: str, text: str) -> asyncio.Task[httpx.Response]:
                body, headers = {"texts": [text]}, {"X-Forwarded-For": address}
                return asyncio.create_task(client.post("/api/pieces", json=body, headers=headers))

            many = [ask("10.0.0.1", f"one {i}") for i in range(20)]
            for refused, done in enumerate(asyncio.as_completed(many), 1):
                answer = await done
                assert (answer.status_code, answer.json()["kind"]) == (429, "busy")
                assert answer.headers["Retry-After"]
                if refused == 4:
                    break
            await held.begun(2)
            assert len(held.texts) == 2, "two at a time, sixteen of an account"
            other = ask("10.0.0.2", "other")
            left = [task for task in many if not task.done()]
            for task in left:  # those in line and those at work alike
                task.cancel()
            await asyncio.wait(left)
            await held.begun()
            while "other" not in held.texts:
                assert len(held.texts) < 6, held.texts
                held.end(len(held.texts) - 1)
                await held.begun()
            held.end(held.texts.index("other"))
            assert (await other).json() == {"pieces": [["other"]]}
