"""Passwords: argon2id in threads of its own, few at a time, the same work for every name."""

import base64
import secrets
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import anyio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from playground.domain.errors import Busy

SHORTEST: Final = 10
LONGEST: Final = 1024
# Each takes 64 MiB and four threads of the machine that also streams: a login waits for its turn.
_AT_ONCE: Final = 2
_WAITING: Final = 50
_T = TypeVar("_T")


class Passwords:
    """Hashes and compares passwords, few at a time.

    Args:
        hasher: argon2-cffi's, with its defaults (RFC 9106's low-memory profile).
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = anyio.CapacityLimiter(_AT_ONCE)
        self._asked = 0

    def hashed(self, password: str) -> str:
        """A new hash; takes some 50 ms and 64 MiB."""
        return self._hasher.hash(_plain(password))

    async def match(self, name: str, password: str, hashes: Mapping[str, str]) -> bool:
        """Whether it is the password of this user; for unknown ones, too, after the same work.

        Raises:
            Busy: When so many logins wait that one more is not taken.
        """
        stored = hashes.get(name)
        right = await self._in_turn(
            partial(self._verify, stored or stand_in(name, hashes, self._hasher), password)
        )
        return right and stored is not None

    async def renewed(self, password: str, stored: str) -> str | None:
        """A hash with today's parameters where the stored one has others.

        Raises:
            Busy: So many logins wait that one more is not taken.
        """
        if not self._hasher.check_needs_rehash(stored):
            return None
        return await self._in_turn(partial(self.hashed, password))

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _plain(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], _T]) -> _T:
        if self._asked >= _AT_ONCE + _WAITING:
            raise Busy("Too many people are logging in at this moment.", retry_after=10)
        self._asked += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._room)
        finally:
            self._asked -= 1


def stand_in(name: str, hashes: Mapping[str, str], hasher: PasswordHasher) -> str:
    """A hash of nothing for a name that nobody has, which takes as long to compare with.

    Its parameters are those of one of the users, always the same one for a name: where they differ
    among the users, unknown names differ alike.
    """
    known = list(hashes.values())
    if known:
        pattern = known[zlib.crc32(name.encode()) % len(known)]
    else:
        memory, rounds, lanes = hasher.memory_cost, hasher.time_cost, hasher.parallelism
        salt, value = bytes(hasher.salt_len), bytes(hasher.hash_len)
        pattern = f"$argon2id$v=19$m={memory},t={rounds},p={lanes}${_text(salt)}${_text(value)}"
    *head, salt_text, value_text = pattern.split("$")
    return "$".join(
        [*head, *(_text(secrets.token_bytes(_size(t))) for t in (salt_text, value_text))]
    )


def _size(text: str) -> int:
    return len(text) * 3 // 4


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _plain(password: str) -> bytes:
    """The same bytes for the same characters, however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
