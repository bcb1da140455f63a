"""Sessions: a signed cookie that names the user, and holds while the user's password does."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from playground.domain.digest import digest
from playground.domain.errors import StoreError

_log: Final = logging.getLogger(__name__)
_SIGNING: Final = {"key_derivation": "hmac", "digest_method": sha256}
# For so long another replica's logout may go unnoticed, and an answer of the database is kept.
_FRESH_S: Final = 10.0
_REMEMBERED: Final = 20_000
# Characters of a cookie, some twice as many as the longest has: what was read is remembered, and
# whoever is not logged in must not choose how much that is.
_LONGEST: Final = 512
# The chat does not wait longer for a database that says nothing.
_PATIENCE_S: Final = 1.0


class Ended(Protocol):
    """Where sessions are kept that were ended before their time, for all replicas."""

    async def end(self, session: str, expires: int) -> None:
        """Keep that a session is over; `expires` is in seconds since 1970."""

    async def ended(self, session: str) -> bool:
        """Whether it was ended before its time."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that a cookie holds.

    Attributes:
        id: Random.
        name: The user's.
        password: A digest of the hash that it began with.
        began: Seconds since 1970.
    """

    id: str
    name: str
    password: str
    began: float


class Sessions:
    """Makes sessions, reads them from cookies, and ends them.

    Args:
        secret: Shared by all replicas.
        lasts_s: Seconds from the login on, however much it is used.
        ended: Where sessions are kept that were ended before their time.
    """

    def __init__(self, secret: str, lasts_s: int, ended: Ended) -> None:
        self.lasts_s = lasts_s
        self._signed = URLSafeTimedSerializer(secret, "session 1", signer_kwargs=_SIGNING)
        self._devices = URLSafeSerializer(secret, "device 1", signer_kwargs=_SIGNING)
        self._ended = ended
        self._known: dict[str, tuple[bool, float]] = {}  # by id: whether ended, and until when
        self._room = _REMEMBERED
        self._read = lru_cache(maxsize=4096)(self._unsigned)

    def begin(self, name: str, stored: str) -> str:
        """A new session's cookie, for a user with this hash."""
        return self._signed.dumps([secrets.token_urlsafe(16), name, digest(stored)[:32]])

    async def find(self, cookie: str, hashes: Mapping[str, str]) -> Session | None:
        """The session of a cookie; None when it is over, or was never one."""
        session = self._read(cookie) if len(cookie) <= _LONGEST else None
        if session is None or time.time() > session.began + self.lasts_s:
            return None
        stored = hashes.get(session.name)
        if stored is None or session.password != digest(stored)[:32]:
            return None
        return None if await self._is_ended(session.id) else session

    async def end(self, session: Session) -> None:
        """End a session here and now, and on all replicas when the database can be reached."""
        self._remember(session.id, True, float(self.lasts_s))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._ended.end(session.id, int(session.began) + self.lasts_s)
        except (StoreError, TimeoutError):
            _log.warning("A logout could not be told to the other replicas.")

    def device(self, name: str) -> str:
        """A cookie for a browser in which this user has logged in."""
        return self._devices.dumps([secrets.token_urlsafe(16), name])

    def device_id(self, cookie: str | None, name: str) -> str | None:
        """Which browser it is, when this user has logged in there before."""
        try:
            device, owner = self._devices.loads(cookie or "")
        except (BadData, ValueError):
            return None
        return str(device) if owner == name else None

    def _unsigned(self, cookie: str) -> Session | None:
        try:
            (session, name, password), at = self._signed.loads(cookie, return_timestamp=True)
        except (BadData, ValueError):
            return None
        began: datetime = at.astimezone(UTC)
        return Session(session, name, password, began.timestamp())

    async def _is_ended(self, session: str) -> bool:
        """While the database is away, the signature alone decides: the chat goes on."""
        ended, until = self._known.get(session, (False, 0.0))
        if ended or time.monotonic() < until:
            return ended
        try:
            async with asyncio.timeout(_PATIENCE_S):
                ended = await self._ended.ended(session)
        except (StoreError, TimeoutError):
            ended = False
        if self._known.get(session, (False, 0.0))[0]:
            return True  # by a logout that came meanwhile
        self._remember(session, ended, float(self.lasts_s) if ended else _FRESH_S)
        return ended

    def _remember(self, session: str, ended: bool, for_s: float) -> None:
        if len(self._known) >= self._room:
            now = time.monotonic()
            self._known = {each: it for each, it in self._known.items() if it[0] and it[1] > now}
            # Room for as many again: those that stay are not gone through for each new one.
            self._room = max(_REMEMBERED, 2 * len(self._known))
        self._known[session] = (ended, time.monotonic() + for_s)
