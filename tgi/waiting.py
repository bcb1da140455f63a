"""Waiting many times for what comes soon, and not for ever."""

import asyncio


class Wait:
    """One task waits for something again and again, each time for so long.

    asyncio.timeout around a future or an event does the same. This has one timer for all of the
    waits, which comes due again at most once in a wait's time, so that a wait costs half as much.

    Attributes:
        waits: Whether it does.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.waits = False
        self._future: asyncio.Future[bool] | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, seconds: float | None) -> bool:
        """Whether it was ended by `end` within that time; ``None`` is for ever."""
        self._future = self._loop.create_future()
        if seconds is not None:
            self._due = self._loop.time() + seconds
            if self._timer is not None and self._timer.when() > self._due:
                self.close()
            if self._timer is None:
                self._timer = self._loop.call_at(self._due, self._look)
        else:
            self.close()
        self.waits = True
        try:
            return await self._future
        finally:
            self.waits = False
            self._future = None

    def end(self) -> None:
        """What is waited for is there."""
        if self._future is not None and not self._future.done():
            self._future.set_result(True)

    def close(self) -> None:
        """Let go of the timer: nobody waits for long."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._future is None or self._future.done():
            return
        if self._loop.time() >= self._due:
            self._future.set_result(False)
        else:
            self._timer = self._loop.call_at(self._due, self._look)
