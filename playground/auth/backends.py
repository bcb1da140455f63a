"""The two ways of logging in: a name and a password, or the word of a proxy."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio

from playground.auth.cookies import DEVICE, SESSION, cookie
from playground.auth.passwords import LONGEST, Passwords
from playground.auth.proxy_headers import RequestSource
from playground.auth.sessions import Ended, Session, Sessions
from playground.auth.users import Overtaken, UsersError, UsersFile, proper, users_file
from playground.domain.errors import Busy, Forbidden, PlaygroundError
from playground.domain.principal import pseudonyms
from playground.limits.rate_limits import LoginTries
from playground.limits.windows import Windows, own_windows
from playground.settings import Settings

_log: Final = logging.getLogger(__name__)


def login_from_settings(
    settings: Settings, ended: Ended, windows: Windows = own_windows
) -> "UserLogin | ProxyLogin | None":
    """What the settings ask for; None where everybody may come in.

    Args:
        ended: Where logouts are kept. The settings must have a secret where there are users.
        windows: Where tries are counted.
    """
    if settings.auth == "proxy":
        return ProxyLogin(settings.proxy_user_header)
    if settings.auth == "none":
        return None
    secret = settings.sealing_secret()
    assert secret is not None
    sessions = Sessions(secret, round(settings.session_hours * 3600), ended)
    pseudonym = pseudonyms(secret.encode())
    return UserLogin(users_file(settings), sessions, Passwords(), LoginTries(windows), pseudonym)


class WrongPassword(PlaygroundError):
    """The name or the password; which of the two is told to nobody."""

    kind = "password"


@dataclass(frozen=True, slots=True)
class Entry:
    """The cookies of somebody who has just logged in."""

    session: str
    device: str


class UserLogin:
    """Names and passwords from a file, and sessions that follow from them.

    Args:
        pseudonym: What the log calls an account, as in the access log.
    """

    def __init__(
        self,
        users: UsersFile,
        sessions: Sessions,
        passwords: Passwords,
        tries: LoginTries,
        pseudonym: Callable[[str], str],
    ) -> None:
        self.sessions = sessions
        self._users = users
        self._passwords = passwords
        self._tries = tries
        self._pseudonym = pseudonym

    async def name(self, source: RequestSource) -> str | None:
        """Who is logged in by the request's cookies; None for nobody."""
        session = await self.session(source.cookies)
        return None if session is None else session.name

    def words(self, source: RequestSource) -> str | None:
        """None: whoever is not logged in is led to the page for that."""
        return None

    def nobody(self) -> bool:
        """Whether there is no user at all yet."""
        return not self._users.hashes()

    async def session(self, cookies: str) -> Session | None:
        """The session that a request's cookies hold, if it is still one."""
        value = cookie(cookies, SESSION)
        return await self.sessions.find(value, self._users.hashes()) if value else None

    async def enter(self, name: str, password: str, address: str, cookies: str) -> Entry:
        """Log in.

        Raises:
            WrongPassword: The name and the password do not belong together.
            Busy: After too many tries.
        """
        known = proper(name)
        if known is None or len(password) > LONGEST:
            known, password = "", ""  # wrong in any case, and counted as a try like any other
        device = cookie(cookies, DEVICE)
        counted = await self._tries.count(known, address, self.sessions.device_id(device, known))
        hashes = self._users.hashes()
        try:
            right = await self._passwords.match(known, password, hashes)
        except Busy:  # nothing was tried
            await self._tries.take_back(counted)
            raise
        if not right:
            raise WrongPassword("This name and this password do not belong together.")
        await self._tries.take_back(counted)
        stored = await self._renew(known, password, hashes[known])
        return Entry(self.sessions.begin(known, stored), self.sessions.device(known))

    async def _renew(self, name: str, password: str, stored: str) -> str:
        """The hash as it stands in the file, made anew when its parameters are of yesterday."""
        try:
            new = await self._passwords.renewed(password, stored)
            if new is not None:
                put = self._users.put
                await anyio.to_thread.run_sync(lambda: put(name, new, instead_of=stored))
                return new
        except Overtaken:  # by another login of theirs, most likely
            hashes = self._users.hashes()
            if await self._passwords.match(name, password, hashes):
                return hashes[name]
        except (UsersError, Busy) as error:
            account = self._pseudonym(f"user:{name}")
            _log.warning("The hash of account %s keeps its old parameters: %s", account, error)
        return stored


class ProxyLogin:
    """The name that a trusted proxy gives with every request, in a header."""

    def __init__(self, header: str) -> None:
        self._header = header

    async def name(self, source: RequestSource) -> str | None:
        """The name in the proxy's header; None where there is none.

        Raises:
            Forbidden: The header came more than once, or holds no name.
        """
        if not source.user:
            return None
        if len(source.user) > 1:
            raise Forbidden(
                f"The header {self._header} came more than once. The proxy must remove it from "
                "what comes in before it sets it."
            )
        try:
            name = source.user[0].decode().strip()
        except UnicodeDecodeError:
            name = "\n"
        if len(name) > 128 or not name.isprintable():
            raise Forbidden(f"The header {self._header} holds no name.")
        return name or None

    def words(self, source: RequestSource) -> str | None:
        """What somebody reads whom the proxy did not name."""
        if not source.trusted:
            return (
                "This playground is entered through its proxy, which says who you are. This "
                f"request came from {source.address}, and PLAYGROUND_TRUSTED_PROXIES does not "
                "name that as a proxy."
            )
        return (
            f"The proxy did not say who you are: the header {self._header} is missing. Log in "
            "there, or see to it that the proxy sends this header "
            "(PLAYGROUND_PROXY_USER_HEADER)."
        )
