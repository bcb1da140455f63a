"""A day's tokens by themselves: when somebody is refused, in which words, and what a database that
is away is spared."""

import logging
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from playground.domain.errors import Spent, StoreError
from playground.limits import daily_tokens
from playground.limits.daily_tokens import DailyTokens
from playground.settings import load_settings
from playground.store.store import Store
from playground.store.usage import Usage
from playground.telemetry.usage import AnswerUsage

ADA = "user:ada"


class Counts(Usage):
    """A database that keeps what is counted in memory, and says what it was asked."""

    def __init__(self) -> None:
        super().__init__(Store.from_settings(load_settings()).database)  # which is never opened
        self.counts: dict[tuple[str, date], int] = {}
        self.asked = 0
        self.away = False

    async def used(self, account: str, day: date) -> int:
        self._ask()
        return self.counts.get((account, day), 0)

    async def add(self, account: str, day: date, tokens: int) -> None:
        self._ask()
        self.counts[account, day] = self.counts.get((account, day), 0) + tokens

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreError("It is away.")


class Clock:
    """What is used in place of the time; 10 s before a day's end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2026, 3, 31, 23, 59, 50, tzinfo=UTC)
        self.running = 5.0
        dates = SimpleNamespace(
            now=lambda zone: self.now.astimezone(zone), combine=datetime.combine, min=datetime.min
        )
        monkeypatch.setattr(daily_tokens, "datetime", dates)
        time = SimpleNamespace(monotonic=lambda: self.running)
        monkeypatch.setattr(daily_tokens, "time", time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def usage(prompt: int, generated: int) -> AnswerUsage:
    made = AnswerUsage()
    made.prompt_tokens, made.generated_tokens = prompt, generated
    return made


async def test_prompts_and_answers_count_and_the_last_token_may_be_used(clock: Clock) -> None:
    counts = Counts()
    day = DailyTokens(counts, 1000)
    await day.count(ADA, [usage(500, 400), usage(90, 9)])
    assert counts.counts == {(ADA, date(2026, 3, 31)): 999}
    await day.check(ADA)
    await day.count(ADA, [usage(0, 1)])
    with pytest.raises(Spent) as caught:
        await day.check(ADA)
    assert str(caught.value) == (
        "1,000 tokens were used today by this user, and this server gives one user 1,000 a day. "
        "The next day begins at 00:00 UTC, in 1 minute."
    )
    assert caught.value.retry_after == 10
    await day.check("user:ben")
    clock.now = clock.now.replace(month=4, day=1, hour=0)
    await day.check(ADA)


@pytest.mark.parametrize(
    ("hour", "minute", "second", "left", "words"),
    [
        (0, 0, 0, 86_400, "24 hours"),
        (0, 1, 0, 86_340, "23 hours 59 minutes"),
        (21, 58, 0, 7320, "2 hours 2 minutes"),
        (22, 59, 0, 3660, "1 hour 1 minute"),
        (22, 58, 59, 3661, "1 hour 2 minutes"),
        (23, 0, 0, 3600, "1 hour"),
        (23, 58, 59, 61, "2 minutes"),
    ],
)
async def test_the_rest_of_the_day_is_said_in_words(
    clock: Clock, hour: int, minute: int, second: int, left: int, words: str
) -> None:
    clock.now = clock.now.replace(hour=hour, minute=minute, second=second, microsecond=0)
    counts = Counts()
    counts.counts["address:192.0.2.1", date(2026, 3, 31)] = 9
    with pytest.raises(Spent, match=f"by this address, .* UTC, in {words}\\.$") as caught:
        await DailyTokens(counts, 9).check("address:192.0.2.1")
    assert caught.value.retry_after == left


async def test_a_part_of_a_second_is_waited_for(clock: Clock) -> None:
    clock.now = clock.now.replace(microsecond=500_000)
    counts = Counts()
    counts.counts[ADA, date(2026, 3, 31)] = 9
    with pytest.raises(Spent) as caught:
        await DailyTokens(counts, 9).check(ADA)
    assert caught.value.retry_after == 10


async def test_without_a_limit_and_without_tokens_nothing_is_asked() -> None:
    counts = Counts()
    await DailyTokens(counts, None).check(ADA)
    await DailyTokens(counts, None).count(ADA, [usage(1, 1)])
    await DailyTokens(counts, 1).count(ADA, [usage(0, 0)])
    await DailyTokens(counts, 1).count(ADA, [])
    assert counts.asked == 0


@pytest.mark.parametrize("how", ["check", "count"])
async def test_a_database_that_is_away_is_left_alone_for_half_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO, daily_tokens.__name__)
    counts = Counts()
    day = DailyTokens(counts, 1)
    counts.away = True

    async def ask() -> int:
        if how == "check":
            await day.check(ADA)
        else:
            await day.count(ADA, [usage(5, 5)])
        return counts.asked

    away = "The database is away: answers go on, and their tokens are not counted"
    back = "The database is back: tokens are counted again"
    assert await ask() == 1
    clock.running += 29.9
    await day.check(ADA)
    await day.count(ADA, [usage(5, 5)])
    assert await ask() == 1
    clock.running += 0.1
    assert await ask() == 2
    assert await ask() == 2
    assert caplog.messages == [away], "it is said once"
    counts.away = False
    clock.running += 30
    assert await ask() == 3
    assert await ask() == 4
    assert caplog.messages == [away, back]
    counts.away = True
    assert await ask() == 5
    assert caplog.messages == [away, back, away]
