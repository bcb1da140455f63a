"""The line and the places by themselves: who is let in when, and what is kept of who has left."""

import asyncio
import gc
import math
import weakref
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from playground.domain.errors import Busy, InvalidRequest, NotFound, ShuttingDown
from playground.domain.messages import Failed
from playground.domain.principal import Principal
from playground.generation.comparison import Stop
from playground.limits.admission import Admission, Ticket
from playground.settings import load_settings
from tests.generation.test_batching import now, run


def asker(name: str) -> Principal:
    return Principal(name, f"user:{name}", f"user:{name}", "192.0.2.1")


def enter(admission: Admission, name: str = "ada", panes: int = 1) -> Ticket:
    return admission.enter(asker(name), [Stop() for _ in range(panes)])


def narrow(limit: int = 1, each: int = 9, queue: int = 9) -> Admission:
    return Admission(limit=limit, limit_each=each, queue_limit=queue)


class Clock:
    """The queue's clock, turned by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        time = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("playground.limits.admission.time", time)


async def test_it_is_as_wide_as_the_settings_say() -> None:
    admission = Admission.from_settings(
        load_settings(max_streams=3, max_streams_per_user=2, max_waiting=5)
    )
    assert (admission.limit, admission.limit_each, admission.queue_limit) == (3, 2, 5)


async def test_it_is_no_wider_than_the_engine() -> None:
    admission = narrow(limit=3)
    admission.fit(2)
    one, two, three = [enter(admission, name) for name in ("ada", "bob", "eve")]
    assert [each.place for each in (one, two, three)] == [0, 0, 1]
    admission.fit(9)
    assert (three.place, admission.limit) == (0, 3), "nor wider than its own limit"


async def test_panes_that_the_engine_writes_one_after_the_other_are_let_in_together() -> None:
    admission = narrow(limit=4)
    admission.fit(1)
    four, one = enter(admission, panes=4), enter(admission, "bob")
    assert (four.place, one.place, admission.writing) == (0, 1, 4)
    again = enter(admission, "eve", panes=4)
    admission.leave(four)
    assert (one.place, again.place) == (0, 1)
    admission.leave(one)
    assert (again.place, admission.writing) == (0, 4)


async def test_there_is_room_up_to_the_last_place_and_it_comes_back() -> None:
    admission = narrow(limit=3)
    one, two = enter(admission), enter(admission, panes=2)
    assert (one.place, two.place, admission.writing, admission.waiting) == (0, 0, 3, 0)
    third = enter(admission)
    assert (third.place, admission.writing, admission.waiting) == (1, 3, 1)
    admission.leave(two)
    assert (third.place, admission.writing, admission.waiting) == (0, 2, 0)
    admission.leave(third)
    admission.leave(one)
    assert (admission.writing, admission.waiting) == (0, 0)


async def test_ids_are_long_and_never_the_same() -> None:
    admission = narrow(limit=2)
    numbers = {enter(admission).number for _ in range(2)}
    assert len(numbers) == 2
    assert all(len(bytes.fromhex(number)) == 16 for number in numbers)


async def test_who_needs_less_room_waits_behind_who_came_before() -> None:
    admission = narrow(limit=3)
    running = enter(admission, panes=2)
    large, small = enter(admission, "ben", 3), enter(admission, "cleo")
    assert (large.place, small.place) == (1, 2)
    admission.leave(running)
    assert (large.place, small.place) == (0, 1)
    admission.leave(large)
    assert small.place == 0


async def test_who_leaves_the_line_lets_those_behind_move_up() -> None:
    admission = narrow(limit=2)
    running = enter(admission)
    large, small = enter(admission, "ben", 2), enter(admission, "cleo")
    assert small.place == 2
    admission.leave(large)
    assert (small.place, admission.writing, admission.waiting) == (0, 2, 0)
    admission.leave(running)
    admission.leave(small)


async def test_an_accounts_second_stands_behind_the_first_of_all_others() -> None:
    admission = narrow()
    running = enter(admission, "zoe")
    order = ("ada", "ada", "ben", "ada", "ben")
    ada_1, ada_2, ben_1, ada_3, ben_2 = (enter(admission, name) for name in order)
    line = [ada_1, ben_1, ada_2, ben_2, ada_3]
    assert [each.place for each in line] == [1, 2, 3, 4, 5]
    admission.leave(running)
    for each in line:
        assert each.place == 0
        admission.leave(each)


async def test_who_comes_late_passes_nobody_whose_turn_has_come() -> None:
    """The line goes round: Ada's third has waited through two rounds, and is before Ben's first."""
    admission = narrow()
    running = enter(admission, "zoe")
    ada = [enter(admission) for _ in range(3)]
    for over in (running, ada[0]):
        admission.leave(over)
    assert [each.place for each in ada] == [0, 0, 1]
    ben = enter(admission, "ben")
    assert (ada[2].place, ben.place) == (1, 2)
    cleo = enter(admission, "cleo")
    assert cleo.place == 3
    assert enter(admission).place == 4


class Account(str):
    """One that can be watched."""


async def test_nothing_is_kept_of_an_account_that_has_left() -> None:
    admission = narrow()

    def visit() -> weakref.ref[Account]:
        account = Account("user:" + "eve")
        who = Principal("eve", "user:eve", account, "192.0.2.1")
        first, second = admission.enter(who, [Stop()]), admission.enter(who, [Stop()])
        admission.leave(second)
        admission.leave(first)
        return weakref.ref(account)

    kept = visit()
    gc.collect()
    assert kept() is None


async def test_an_account_has_its_number_and_gets_it_back() -> None:
    admission = narrow(limit=2, each=3)
    tickets = [enter(admission), enter(admission), enter(admission)]
    with pytest.raises(Busy, match=r"takes 3 answers at a time for one user.* has 3 already"):
        enter(admission)
    assert enter(admission, "ben").place == 2
    admission.leave(tickets[2])
    again = enter(admission)
    admission.leave(tickets[0])
    with pytest.raises(Busy):
        enter(admission, panes=2)
    admission.leave(again)
    enter(admission, panes=2)


async def test_a_pane_that_is_stopped_in_line_counts_no_more() -> None:
    admission = narrow(limit=2, each=3)
    running = enter(admission, "ben", 2)
    waiting = enter(admission, panes=3 - 1)
    with pytest.raises(Busy):
        enter(admission, panes=2)
    admission.stop(waiting.number, 0, asker("ada"))
    admission.stop(waiting.number, 0, asker("ada"))
    assert [stop.asked for stop in waiting.stops] == [True, False]
    beside = enter(admission, panes=2)
    admission.leave(running)
    assert (waiting.place, beside.place, admission.writing) == (0, 1, 1)
    admission.leave(waiting)
    assert (beside.place, admission.writing) == (0, 2)


async def test_a_pane_that_is_stopped_makes_room_at_once() -> None:
    admission = narrow(limit=3, each=3)
    running = enter(admission, "ben")
    waiting, behind = enter(admission, panes=3), enter(admission, "cleo")
    assert (waiting.place, behind.place) == (1, 2)
    admission.stop(waiting.number, 2, asker("ada"))
    assert (waiting.place, behind.place, admission.writing) == (0, 1, 3)
    admission.leave(running)
    assert behind.place == 0


async def test_a_stop_of_what_is_written_gives_no_place_back_before_its_end() -> None:
    admission = narrow(limit=2)
    ticket = enter(admission, panes=2)
    admission.stop(ticket.number, 1, asker("ada"))
    assert [stop.asked for stop in ticket.stops] == [False, True]
    assert admission.writing == 2
    with pytest.raises(NotFound):
        admission.stop(ticket.number, 2, asker("ada"))
    with pytest.raises(NotFound):
        admission.stop(ticket.number, -1, asker("ada"))
    admission.leave(ticket)
    with pytest.raises(NotFound) as caught:
        admission.stop(ticket.number, 0, asker("ada"))
    assert str(caught.value) == "This server is writing no such answer; it may have ended already."
    assert admission.writing == 0


async def test_more_panes_than_there_are_places_are_refused() -> None:
    for admission in (narrow(limit=2, each=9), narrow(limit=9, each=2)):
        with pytest.raises(InvalidRequest, match=r"writes 2 answers .* 3 side by side") as caught:
            enter(admission, panes=3)
        assert caught.value.field == "panes"
        assert enter(admission, panes=2).place == 0


async def test_a_full_line_says_when_to_come_again() -> None:
    """By 15 s an answer, as long as none has ended: all that waits, and oneself."""
    admission = narrow(limit=2, queue=2)
    enter(admission, "ben", 2)
    enter(admission, "ben", 2)
    enter(admission, "cleo")
    with pytest.raises(Busy, match="writes 2 answers at a time, and the line behind") as caught:
        enter(admission)
    assert caught.value.retry_after == math.ceil(15 * (2 + 1 + 1) / 2)
    assert f"Try again in {caught.value.retry_after} seconds." in str(caught.value)


async def test_without_a_line_all_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, admission = Clock(monkeypatch), narrow(queue=0)
    ticket = enter(admission)
    with pytest.raises(Busy, match=r"and all are under way\. Try again in 15 seconds") as caught:
        enter(admission, "ben")
    assert caught.value.retry_after == 15
    for _ in range(60):  # answers that take no time
        admission.leave(ticket)
        ticket = enter(admission)
    with pytest.raises(Busy, match=r"Try again in 1 second\.") as caught:
        enter(admission, "ben")
    assert caught.value.retry_after == 1
    for _ in range(60):  # and such as take an hour
        clock.now += 3600
        admission.leave(ticket)
        ticket = enter(admission)
    with pytest.raises(Busy) as caught:
        enter(admission, "ben")
    assert caught.value.retry_after == 120


async def test_an_accounts_own_answers_say_when_there_is_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The latest answer weighs a tenth; the wait in line is no part of it."""
    clock, admission = Clock(monkeypatch), narrow(limit=1, each=2)
    first, second = enter(admission), enter(admission)
    clock.now += 5
    admission.leave(first)
    assert second.waited_s == 5
    assert first.waited_s == 0
    clock.now += 5
    admission.leave(second)
    usual = 15 + (5 - 15) / 10
    usual += (5 - usual) / 10
    enter(admission)
    enter(admission)
    with pytest.raises(Busy) as caught:
        enter(admission)
    assert caught.value.retry_after == math.ceil(usual / 2)


# Who waits is told.


def test_a_place_is_told_at_once_on_every_change_and_in_silence() -> None:
    async def main() -> list[tuple[float, int | None]]:
        admission = narrow(limit=2)
        running, before, ticket = (
            enter(admission, panes=2),
            enter(admission, "ben"),
            enter(admission, "cleo", 2),
        )
        loop = asyncio.get_running_loop()
        loop.call_later(25, admission.leave, before)
        loop.call_later(26, admission.stop, ticket.number, 0, asker("cleo"))
        loop.call_later(40, admission.leave, running)
        async with aclosing(ticket.waits(10)) as places:
            return [(now(), place) async for place in places]

    assert run(main) == [(0, 2), (10, None), (20, None), (25, 1), (26, 1), (36, None)]


async def test_who_is_let_in_at_once_does_not_wait() -> None:
    ticket = enter(narrow())
    assert [place async for place in ticket.waits(10)] == []


async def test_what_is_cut_off_hears_the_words_wherever_it_stands() -> None:
    admission, words = narrow(), Failed("closed", "Closed.", False)
    running, waiting, other = (
        enter(admission, "ada"),
        enter(admission, "ben"),
        enter(admission, "cleo"),
    )
    for number in (running.number, waiting.number, "unknown"):
        admission.cut_off(number, words)
    assert [each.stops[0].asked for each in (running, waiting, other)] == [True, True, False]
    assert running.stops[0].ending == waiting.stops[0].ending == words
    async with aclosing(waiting.waits(10)) as places:
        assert await anext(places) == 1


# The end.


async def test_nothing_is_let_in_while_it_stops() -> None:
    admission = narrow()
    running, waiting = enter(admission), enter(admission, "ben")
    draining = asyncio.create_task(admission.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown, match="begins no more answers"):
        enter(admission, "cleo")
    assert not running.stops[0].asked
    admission.leave(running)
    assert (waiting.place, admission.writing) == (1, 0), "there is room, and it is too late"
    assert waiting.stops[0].ending.kind == "shutdown"
    assert "was not begun" in waiting.stops[0].ending.message
    assert waiting.stops[0].ending.retryable
    assert not draining.done()
    admission.leave(waiting)
    await asyncio.wait_for(draining, 5)


def drained(*, running: float, waiting: float) -> tuple[float, list[Failed | None]]:
    """When a server is empty that has 30 s for it, and the words that its two answers were ended
    with: one that is being written, and one in line. They end after so long."""

    async def main() -> tuple[float, list[Failed | None]]:
        admission = narrow()
        tickets = [enter(admission, "ada"), enter(admission, "ben")]
        for ticket, after in zip(tickets, (running, waiting), strict=True):
            asyncio.get_running_loop().call_later(after, admission.leave, ticket)
        await admission.drain(30)
        stops = [ticket.stops[0] for ticket in tickets]
        return now(), [stop.ending if stop.asked else None for stop in stops]

    return run(main)


def test_what_is_being_written_may_end_within_the_grace() -> None:
    at, (written, waited) = drained(running=12, waiting=0)
    assert (at, written) == (12, None)
    assert waited is not None
    assert "was not begun" in waited.message


def test_what_does_not_end_is_cut_off_and_has_time_for_its_last_words() -> None:
    at, (ending, _) = drained(running=31, waiting=0)
    assert at == 31
    assert ending is not None
    assert (ending.kind, ending.retryable) == ("shutdown", True)
    assert "is not complete" in ending.message
    assert drained(running=99, waiting=0)[0] == 32


def test_the_line_is_waited_for_as_well() -> None:
    assert drained(running=0, waiting=3)[0] == 3
