"""What state an engine is in: asked at most once a second, however many want to know."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from playground.domain.errors import EngineError
from playground.engines.base import EngineInfo, EngineState
from tgi.errors import UnknownHost

# How long a state holds before it is asked for again.
_FRESH_S: Final = 1.0
# Many an engine opens its port when the weights are loaded, and its first start downloads 14 GB (15
# minutes at 125 Mbit/s): so long a refused connection may mean that it is loading, or a wrong
# address.
LOADING_S: Final = 900.0
PROBE_S: Final = 5.0

_log = logging.getLogger(__name__)

_DOUBTFUL: Final = ("offline", "loading", "incomplete")


class Readiness:
    """One engine's state.

    Args:
        url: Of the engine, for people.
        ask: What a ready engine says of itself; raises the EngineError that says why it is not.
        changed: Called where the model is another one, or may be.
        starting: In a sentence, why an engine may refuse connections whose address is right.
        probe_timeout: Seconds within which a server that is there says so.
        loading_for: Seconds for which a server that was never ready and refuses connections may be
            loading; afterwards it is offline.
    """

    def __init__(
        self,
        url: str,
        ask: Callable[[], Awaitable[EngineInfo]],
        changed: Callable[[], None],
        *,
        starting: str,
        probe_timeout: float = PROBE_S,
        loading_for: float = LOADING_S,
    ) -> None:
        self._url = url
        self._ask = ask
        self._changed = changed
        self._starting = starting
        self._probe_timeout = probe_timeout
        self._loading_for = loading_for
        self._state = EngineState("offline", time.time(), "The engine was not asked yet.")
        self._began = time.monotonic()
        self._asked = -_FRESH_S
        self._was_ready = False
        self._probing: asyncio.Task[None] | None = None

    @property
    def info(self) -> EngineInfo | None:
        """What the engine said last, while it was ready."""
        return self._state.info

    async def state(self) -> EngineState:
        """The state, at most a second old. Callers at the same time share one question."""
        if self._probing is None and time.monotonic() - self._asked >= _FRESH_S:
            self._probing = asyncio.create_task(self._probe())
        if self._probing is not None:
            # Neither does one that leaves end the question, nor its end those that wait for it.
            await asyncio.wait([self._probing])
        return self._state

    def doubt(self, error: EngineError) -> EngineError:
        """The same error; where it may mean another state, the next question is asked anew."""
        if error.kind in _DOUBTFUL:
            self._asked = -_FRESH_S
        return error

    def close(self) -> None:
        """Ask no more."""
        if self._probing is not None:
            self._probing.cancel()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(self._probe_timeout):
                info = await self._ask()
        except EngineError as error:
            self._set(*self._away(error))
        except TimeoutError:
            self._set(
                "offline",
                f"{self._url} does not answer within {self._probe_timeout:g} s: it is overloaded, "
                "or something else listens there.",
            )
        except Exception:
            # Whoever asks for the state shows it, and has no other answer.
            _log.exception("What an engine says of itself was not understood")
            self._set(
                "offline",
                f"What answers at {self._url} says of itself what the playground does not "
                "understand; the playground's log has more. The page notices when it changes.",
            )
        else:
            self._was_ready = True
            self._set("ready", "", info)
        finally:
            self._asked = time.monotonic()
            self._probing = None

    def _away(self, error: EngineError) -> tuple[Literal["loading", "offline"], str]:
        """The state that an error means, and the reason."""
        if error.kind == "loading":
            return "loading", str(error)
        if isinstance(error.__cause__, UnknownHost):
            return "offline", f"{error} The page notices when it answers."
        waited = time.monotonic() - self._began
        if error.kind == "offline" and not self._was_ready and waited < self._loading_for:
            return "loading", f"{error} If the address is right, {self._starting}"
        return "offline", f"{error} The page notices when it answers again."

    def _set(
        self,
        state: Literal["ready", "loading", "offline"],
        reason: str,
        info: EngineInfo | None = None,
    ) -> None:
        if info is None or self._state.info is None or info.model_id != self._state.info.model_id:
            self._changed()
        since = self._state.since if state == self._state.state else time.time()
        self._state = EngineState(state, since, reason, info)
