"""The gate of work beside answers: in turn, bounded, and left by who is cancelled."""

import asyncio

import pytest

from playground.domain.errors import Busy, ShuttingDown
from playground.limits.gate import Gate


class Workers:
    """Those who ask; each works until the test ends its work. begun: whose, in their order."""

    def __init__(self, gate: Gate) -> None:
        self.begun: list[str] = []
        self._gate = gate
        self._ends: list[asyncio.Event] = []

    async def ask(self, account: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._work(account))
        await asyncio.sleep(0)
        return task

    async def _work(self, account: str) -> None:
        async with self._gate.turn(account):
            self.begun.append(account)
            end = asyncio.Event()
            self._ends.append(end)
            await end.wait()

    async def end(self) -> None:
        """The work that began first ends, and the next one begins."""
        self._ends.pop(0).set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_another_account_waits_for_one_piece_of_work_and_not_for_all() -> None:
    workers = Workers(Gate(at_once=1))
    tasks = [await workers.ask("user:a") for _ in range(10)]
    tasks.append(await workers.ask("user:b"))
    for _ in range(11):
        await workers.end()
    await asyncio.gather(*tasks)
    assert workers.begun.index("user:b") == 1
    assert workers.begun.count("user:a") == 10


async def test_the_share_of_an_account_and_the_line_are_bounded() -> None:
    workers = Workers(Gate(at_once=1, limit_each=2, limit=3))
    tasks = [await workers.ask("user:a") for _ in range(2)]
    with pytest.raises(Busy, match="2 requests of this kind by this user"):
        await (await workers.ask("user:a"))
    tasks.append(await workers.ask("user:b"))
    with pytest.raises(Busy, match="The line of those who wait for this is full"):
        await (await workers.ask("user:c"))
    for _ in tasks:
        await workers.end()
    await asyncio.gather(*tasks)
    tasks = [await workers.ask("user:a")]
    await workers.end()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_leaves_the_line() -> None:
    workers = Workers(Gate(at_once=1, limit_each=2))
    first, second = await workers.ask("user:a"), await workers.ask("user:a")
    second.cancel()
    await asyncio.wait([second])
    third = await workers.ask("user:a")
    await workers.end()
    assert workers.begun == ["user:a", "user:a"]
    await workers.end()
    await asyncio.gather(first, third)


async def test_who_waits_at_the_end_is_told_and_who_works_may_end() -> None:
    gate = Gate(at_once=1)
    workers = Workers(gate)
    working, waiting = await workers.ask("user:a"), await workers.ask("user:b")
    gate.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        await (await workers.ask("user:c"))
    assert not working.done()
    await workers.end()
    await working
    assert workers.begun == ["user:a"]
