"""How often somebody may do what others could be harmed by, on a clock that is turned by hand."""

import time

import pytest

from playground.domain.errors import Busy, NotFound
from playground.limits.rate_limits import (
    LINKS_AN_HOUR,
    LOGIN_TRIES,
    MISSES_A_MINUTE,
    LinkGuesses,
    LoginTries,
    NewLinks,
)
from playground.limits.windows import OwnWindow


class Clock:
    """The time of these counters: the monotonic one, for they have no other."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr("playground.limits.windows.time", turned)
    return turned


def refused(caught: pytest.ExceptionInfo[Busy]) -> int:
    assert caught.value.retry_after >= 1
    return caught.value.retry_after


async def test_so_many_links_are_made_in_any_hour(clock: Clock) -> None:
    links = NewLinks()
    await links.take("user:ada")
    clock.now += 600
    for _ in range(LINKS_AN_HOUR - 1):
        await links.take("user:ada")
    with pytest.raises(Busy) as caught:
        await links.take("user:ada")
    assert "60 links in an hour is as many as one user makes here" in str(caught.value)
    assert str(caught.value).endswith("Try again in 50 minutes.")
    assert refused(caught) == 3000
    await links.take("user:ben")
    clock.now += 59
    with pytest.raises(Busy, match=r"Try again in 50 minutes\.$"):
        await links.take("user:ada")
    clock.now += 1
    with pytest.raises(Busy, match=r"Try again in 49 minutes\.$"):
        await links.take("user:ada")
    clock.now += 2939
    with pytest.raises(Busy) as caught:
        await links.take("user:ada")
    assert str(caught.value).endswith("Try again in 1 minute.")
    assert refused(caught) == 1
    clock.now += 1.5
    await links.take("user:ada")
    with pytest.raises(Busy):
        await links.take("user:ada")


async def miss(guesses: LinkGuesses, address: str) -> None:
    with pytest.raises(NotFound):
        async with guesses.counted(address):
            raise NotFound("There is no such link.")


async def test_so_many_links_lead_nowhere_in_any_minute(clock: Clock) -> None:
    guesses = LinkGuesses()
    for _ in range(3 * MISSES_A_MINUTE):
        async with guesses.counted("2001:db8::1"):
            pass  # one that is right
    for host in range(MISSES_A_MINUTE):
        await miss(guesses, f"2001:db8::{host:x}")
    with pytest.raises(Busy, match="links that lead nowhere") as caught:
        async with guesses.counted("2001:db8::ffff"):
            raise AssertionError("nothing is opened")
    assert refused(caught) == 60
    async with guesses.counted("2001:db8:0:1::1"):
        pass
    clock.now += 59.5
    with pytest.raises(Busy) as caught:
        async with guesses.counted("2001:db8::1"):
            pass
    assert refused(caught) == 1
    clock.now += 1
    async with guesses.counted("2001:db8::1"):
        pass


async def test_only_what_is_not_there_is_a_miss(clock: Clock) -> None:
    guesses = LinkGuesses()
    for _ in range(2 * MISSES_A_MINUTE):
        with pytest.raises(Busy):
            async with guesses.counted("192.0.2.1"):
                raise Busy("Too many.")
    async with guesses.counted("192.0.2.1"):
        pass


class Tries:
    """One who tries to log in."""

    def __init__(self) -> None:
        self.counted = LoginTries()

    async def fail(self, name: str, address: str, device: str | None = None) -> None:
        await self.counted.count(name, address, device)

    async def enter(self, name: str, address: str, device: str | None = None) -> None:
        await self.counted.take_back(await self.counted.count(name, address, device))

    async def refuses(self, name: str, address: str, device: str | None = None) -> bool:
        try:
            await self.enter(name, address, device)
        except Busy:
            return True
        return False


async def test_one_machine_cannot_try_many_names(clock: Clock) -> None:
    tries = Tries()
    for i in range(LOGIN_TRIES):
        assert not await tries.refuses("ada", "2001:db8::1")
        await tries.fail(f"name-{i}", f"2001:db8::{i}")
    with pytest.raises(Busy) as caught:
        await tries.enter("ada", "2001:db8::1")
    assert str(caught.value) == "Too many tries to log in."
    assert 1 <= refused(caught) <= 300
    assert not await tries.refuses("ada", "2001:db8:0:1::1")


async def test_many_machines_cannot_try_one_name(clock: Clock) -> None:
    tries = Tries()
    for i in range(LOGIN_TRIES):
        assert not await tries.refuses("ada", "192.0.2.99")
        await tries.fail("ada", f"192.0.2.{i}")
    assert await tries.refuses("ada", "192.0.2.99")
    assert not await tries.refuses("ben", "192.0.2.99")
    clock.now += 301
    assert not await tries.refuses("ada", "192.0.2.99")


async def test_a_refusal_is_no_try_on_the_other_counter(clock: Clock) -> None:
    tries = Tries()
    for i in range(LOGIN_TRIES):
        await tries.fail("ada", f"192.0.2.{i}")
    for _ in range(LOGIN_TRIES):
        assert await tries.refuses("ada", "192.0.2.99")
    assert not await tries.refuses("ben", "192.0.2.99")


async def test_a_browser_that_is_known_has_a_counter_of_its_own(clock: Clock) -> None:
    tries = Tries()
    for i in range(LOGIN_TRIES):
        await tries.fail("ada", f"192.0.2.{i}")
        await tries.fail(f"name-{i}", "192.0.2.99")
    assert not await tries.refuses("ada", "192.0.2.99", "a laptop")
    for _ in range(LOGIN_TRIES):
        await tries.fail("ada", "192.0.2.99", "a laptop")
    assert await tries.refuses("ada", "192.0.2.99", "a laptop")
    assert not await tries.refuses("ada", "192.0.2.99", "a phone")


async def test_an_office_that_logs_in_is_not_kept_out(clock: Clock) -> None:
    tries = Tries()
    for i in range(5 * LOGIN_TRIES):
        assert not await tries.refuses(f"name-{i}", "192.0.2.1")


async def test_nothing_is_taken_back_of_a_window_that_is_over(clock: Clock) -> None:
    """Or whoever waits with a login in hand would have more tries than others."""
    tries = Tries()
    keys = await tries.counted.count("ada", "192.0.2.1", None)
    clock.now += 301
    await tries.counted.take_back(keys)
    for _ in range(LOGIN_TRIES):
        await tries.fail("ada", "192.0.2.1")
    assert await tries.refuses("ada", "192.0.2.1")


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_a_clock_that_jumps_neither_lengthens_nor_shortens_a_wait(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    tries, guesses, links = LoginTries(), LinkGuesses(), NewLinks()
    for _ in range(LOGIN_TRIES):
        await tries.count("ada", "192.0.2.1", None)
    for _ in range(MISSES_A_MINUTE):
        await miss(guesses, "192.0.2.1")
    for _ in range(LINKS_AN_HOUR):
        await links.take("user:ada")
    day = time.time()
    monkeypatch.setattr("time.time", lambda: day + jump)
    with pytest.raises(Busy) as caught:
        await tries.count("ada", "192.0.2.1", None)
    assert refused(caught) == 300
    with pytest.raises(Busy) as caught:
        async with guesses.counted("192.0.2.1"):
            pass
    assert refused(caught) == 60
    with pytest.raises(Busy) as caught:
        await links.take("user:ada")
    assert refused(caught) == 3600
    clock.now += 3600
    await tries.count("ada", "192.0.2.1", None)
    async with guesses.counted("192.0.2.1"):
        pass
    await links.take("user:ada")


async def test_what_is_over_is_forgotten(clock: Clock) -> None:
    window = OwnWindow(3, 60, moving=True)
    for key in range(5000):
        clock.now += 1
        await window.hit(str(key))
    assert len(window._hits) <= 1024
