"""What one account may use in a day, counted in the database that all replicas share."""

import logging
import math
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from playground.domain.amounts import amount
from playground.domain.errors import Spent, StoreError
from playground.domain.principal import kind_of
from playground.store.usage import Usage
from playground.telemetry.usage import AnswerUsage

# A database that does not answer is left alone for so long, so that nobody waits for it each time.
_AWAY_S: Final = 30.0

_log = logging.getLogger(__name__)


class DailyTokens:
    """The tokens of a day, by account.

    They are looked at before an answer and counted after it, so an account can exceed its limit by
    what it has under way at that moment. While the database is away nothing is counted or refused.

    Args:
        usage: What accounts have used.
        most: Limit of tokens of prompts and answers in a day (UTC); ``None`` counts nothing.
    """

    def __init__(self, usage: Usage, most: int | None) -> None:
        self._usage = usage
        self._most = most
        self._away = False
        self._again = 0.0

    async def check(self, account: str) -> None:
        """Refuse an account that has used what it may today.

        Raises:
            Spent: With the seconds until the next day begins.
        """
        if self._most is None or not self._asks():
            return
        now = datetime.now(UTC)
        try:
            used = await self._usage.used(account, now.date())
        except StoreError:
            self._failed()
            return
        self._works()
        if used >= self._most:
            left = math.ceil((_midnight(now) - now).total_seconds())
            who = kind_of(account)
            raise Spent(
                f"{used:,} tokens were used today by this {who}, and this server gives one {who} "
                f"{self._most:,} a day. The next day begins at 00:00 UTC, "
                f"in {_words(left)}.",
                retry_after=left,
            )

    async def count(self, account: str, usages: Sequence[AnswerUsage]) -> None:
        """Count what answers have used, also those that did not end by themselves."""
        tokens = sum(usage.prompt_tokens + usage.generated_tokens for usage in usages)
        if self._most is None or not tokens or not self._asks():
            return
        try:
            await self._usage.add(account, _today(), tokens)
        except StoreError:
            self._failed()
        else:
            self._works()

    def _asks(self) -> bool:
        return time.monotonic() >= self._again

    def _failed(self) -> None:
        self._again = time.monotonic() + _AWAY_S
        if not self._away:
            self._away = True
            _log.warning("The database is away: answers go on, and their tokens are not counted")

    def _works(self) -> None:
        if self._away:
            self._away = False
            _log.warning("The database is back: tokens are counted again")


def _today() -> date:
    return datetime.now(UTC).date()


def _midnight(now: datetime) -> datetime:
    """The end of the day."""
    return datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)


def _words(seconds: int) -> str:
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    parts = [(hours, "hour"), (minutes, "minute")]
    return " ".join(amount(number, unit) for number, unit in parts if number)
