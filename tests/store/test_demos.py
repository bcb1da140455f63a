"""A demo's budget in a real database: nothing can spend more, and nothing is lost for good."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from sqlalchemy import func, select, update

from playground.domain.errors import Busy, NotFound
from playground.domain.presets import load_presets
from playground.domain.validation import check
from playground.settings import load_settings
from playground.sharing.demo import TermsBody, UsedUp
from playground.store.demos import HOLD_S, DemoLink, Reservation
from playground.store.store import Store
from playground.store.tables import demos, reservations

Connect = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture
def connect(database: dict[str, str]) -> Connect:
    """Opens one more store on the same database."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        store = Store.from_settings(load_settings(**database))
        try:
            yield store
        finally:
            await store.aclose()

    return opened


async def link(store: Store, budget: int = 1000, owner: str = "user:ada") -> DemoLink:
    body = {"title": "Try it", "panes": [{"preset": "min-p"}], "budget_tokens": budget}
    return await store.demos.create(owner, check(TermsBody, body).terms(load_presets()))


async def account(store: Store, token: str) -> tuple[int, int]:
    """What is spent and what is held."""
    [found] = [each for each in await store.demos.all() if each.token == token]
    return found.spent, found.held


async def test_a_link_is_found_until_it_is_off_over_or_gone(connect: Connect) -> None:
    async with connect() as store:
        made = await link(store)
        assert await store.demos.get(made.token) == made
        assert await store.demos.working([made.token, "other"]) == {made.token}
        off = await store.demos.enable(made.token, False)
        assert not off.enabled
        refused = []
        for token in (made.token, "never-was"):
            with pytest.raises(NotFound) as caught:
                await store.demos.get(token)
            refused.append(str(caught.value))
        await store.demos.enable(made.token, True)
        async with store.database.begin() as connection:
            await connection.execute(update(demos).values(expires=made.created))
        for call in (store.demos.get(made.token), store.demos.reserve(made.token, 10, 1)):
            with pytest.raises(NotFound) as caught:
                await call
            refused.append(str(caught.value))
        assert await store.demos.working([made.token]) == set()
        await store.demos.delete(made.token)
        with pytest.raises(NotFound) as caught:
            await store.demos.get(made.token)
        assert {*refused, str(caught.value)} == {str(caught.value)}


async def test_a_link_ends_with_what_the_server_keeps(database: dict[str, str]) -> None:
    store = Store.from_settings(load_settings(**database, retention_days=2))
    try:
        made = await link(store)
        assert made.expires == made.created + 2 * 86_400
        assert await store.demos.get(made.token) == made
    finally:
        await store.aclose()


async def test_only_the_owner_sees_and_changes_a_link(connect: Connect) -> None:
    async with connect() as store:
        made, other = await link(store), await link(store, owner="user:bob")
        assert [each.token for each in await store.demos.all("user:ada")] == [made.token]
        assert {each.token for each in await store.demos.all()} == {made.token, other.token}
        with pytest.raises(NotFound):
            await store.demos.enable(made.token, False, owner="user:bob")
        with pytest.raises(NotFound):
            await store.demos.delete(made.token, owner="user:bob")
        assert (await store.demos.get(made.token)).enabled


async def test_what_is_left_is_granted_and_what_is_not_taken_comes_back(connect: Connect) -> None:
    async with connect() as store:
        token = (await link(store, 1000)).token
        first = await store.demos.reserve(token, 900, 16)
        rest = await store.demos.reserve(token, 900, 16)
        assert (first.tokens, rest.tokens) == (900, 100)
        with pytest.raises(Busy):  # others hold it, and may give some of it back
            await store.demos.reserve(token, 900, 16)
        await store.demos.settle(first, 300)
        assert await account(store, token) == (300, 100)
        last = await store.demos.reserve(token, 900, 16)
        assert last.tokens == 600
        await store.demos.settle(rest, 100)
        await store.demos.settle(last, 590)
        assert await account(store, token) == (990, 0)
        with pytest.raises(UsedUp, match="used up"):
            await store.demos.reserve(token, 900, 16)


@pytest.mark.parametrize(("used", "spent"), [(-5000, 0), (5000, 300)])
async def test_an_answer_takes_no_more_than_it_reserved_and_gives_nothing(
    connect: Connect, used: int, spent: int
) -> None:
    async with connect() as store:
        token = (await link(store, 1000)).token
        await store.demos.settle(await store.demos.reserve(token, 300, 16), used)
        assert await account(store, token) == (spent, 0)


async def test_two_replicas_cannot_take_the_same_tokens(connect: Connect) -> None:
    async with connect() as one, connect() as other:
        token = (await link(one, 1000)).token

        async def visit(store: Store) -> Reservation | None:
            try:
                return await store.demos.reserve(token, 90, 16)
            except Busy:
                return None

        found = await asyncio.gather(*(visit(store) for store in [one, other] * 15))
        granted = [each.tokens for each in found if each]
        assert 1000 - 16 < sum(granted) <= 1000
        assert await account(other, token) == (0, sum(granted))


@pytest.mark.parametrize(
    "off", [-HOLD_S - 2, 86_400], ids=["long ago", "by a clock set back since"]
)
async def test_what_a_killed_process_held_comes_back(connect: Connect, off: int) -> None:
    async with connect() as store:
        token = (await link(store, 1000)).token
        lost = await store.demos.reserve(token, 950, 16)
        fresh = await store.demos.reserve(token, 50, 16)
        async with store.database.begin() as connection:
            await connection.execute(
                update(reservations)
                .where(reservations.c.id == lost.id)
                .values(at=reservations.c.at + off)
            )
        again = await store.demos.reserve(token, 800, 16)
        assert again.tokens == 800
        assert await account(store, token) == (0, 850)
        await store.demos.settle(lost, 40)  # it was not dead after all: what it took is counted
        await store.demos.settle(fresh, 50)
        await store.demos.settle(again, 0)
        assert await account(store, token) == (90, 0)


async def held_rows(store: Store) -> int:
    async with store.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(reservations)) or 0


async def test_reservations_go_with_their_link(connect: Connect) -> None:
    """Those of a process that was killed have nobody to settle them."""
    async with connect() as store:
        first, second, third = [(await link(store)).token for _ in range(3)]
        for token in (first, second, second, third):
            await store.demos.reserve(token, 100, 16)
        assert await held_rows(store) == 4
        await store.demos.delete(first)
        assert await held_rows(store) == 3
        async with store.database.begin() as connection:
            await connection.execute(update(demos).where(demos.c.token == second).values(expires=1))
        await store.sweep()
        assert await held_rows(store) == 1
        assert await account(store, third) == (0, 100)


async def test_a_link_that_is_deleted_settles_into_nothing(connect: Connect) -> None:
    async with connect() as store:
        token = (await link(store)).token
        held = await store.demos.reserve(token, 100, 16)
        await store.demos.delete(token)
        await store.demos.settle(held, 20)
        assert await store.demos.all() == []
