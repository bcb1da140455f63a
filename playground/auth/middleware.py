"""Who may come in: the one check in front of the page, its files and the API."""

import re
from collections.abc import MutableSequence
from contextlib import ExitStack
from secrets import token_urlsafe
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.auth.cookies import BROWSER, cookie, set_cookie
from playground.auth.hosts import path_below_root
from playground.auth.proxy_headers import ProxyHeaders, RequestSource
from playground.auth.responses import refusal
from playground.domain.digest import digest
from playground.domain.errors import Busy, Forbidden, LoginRequired, OtherLogin
from playground.domain.principal import Principal, asking, network_of
from playground.limits.rate_limits import Visitors

# For whom a page was drawn, percent-encoded; every request that it makes of the API says so.
_OPENED_AS: Final = "X-Opened-As"
# As long as browsers keep any cookie.
_YEAR_S: Final = 400 * 86_400
_BROWSER: Final = re.compile(r"[\w-]{32}")
_LOGIN: Final = "/login"
_NOT_KEPT: Final = {"Cache-Control": "no-store"}

# What needs no login, by method, below the root path. A path that is not here is closed, so a new
# route is, too.
_FILES: Final = r"/ui/[0-9a-f]+/(?:[\w-]+/)*[\w-]+\.\w+|/favicon\.ico|/livez|/readyz"
_ALWAYS: Final = {"GET": rf"/login|/logout|{_FILES}", "POST": r"/login|/logout"}
_LINKS: Final = {
    "GET": r"/[sd]/[\w-]+/?|/api/shares/[\w-]+|/api/demos/[\w-]+",
    "POST": r"/api/demos/[\w-]+/(stream|render)",
    "DELETE": r"/api/stream/[\w-]+/panes/\d+",
}
# Where a browser is given the cookie that its links belong to: with what is drawn for it alone, and
# not with files.
_OWNING: Final = re.compile(r"/|/login|/api/.*|/[sd]/[\w-]+")


class Login(Protocol):
    """A way of logging in."""

    async def name(self, source: RequestSource) -> str | None:
        """Who sends a request; None when it is nobody who is logged in.

        Raises:
            Forbidden: What says who it is cannot be believed.
        """
        ...

    def words(self, source: RequestSource) -> str | None:
        """What nobody reads instead of a page; None leads to the page for logging in."""
        ...


class AuthMiddleware:
    """An ASGI middleware in front of the application.

    It lets in or refuses, and puts the principal into the request's state, where all others only
    read it.

    Args:
        login: None lets everybody in.
        visitors: Counts the requests under way of those whom a proxy brings.
        links: Whether shared links open without a login.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        proxy_headers: ProxyHeaders,
        login: Login | None,
        visitors: Visitors,
        links: bool,
    ) -> None:
        self._app = app
        self._proxy_headers = proxy_headers
        self._login = login
        self._visitors = visitors
        self._open = {
            method: re.compile(
                "|".join(each[method] for each in (_ALWAYS, _LINKS)[: 1 + links] if method in each)
            )
            for method in ("GET", "POST", "DELETE")
            if links or method in _ALWAYS
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its principal, or refuse it."""
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        source = self._proxy_headers.read(scope)
        with ExitStack() as under_way:
            if source.visitor:
                try:
                    under_way.enter_context(self._visitors.counted(source.address))
                except Busy as error:
                    scope["refusal"] = error.kind  # for the access log
                    await refusal(error)(scope, receive, send)
                    return
            await self._answer(source, scope, receive, send)

    async def _answer(
        self, source: RequestSource, scope: Scope, receive: Receive, send: Send
    ) -> None:
        path = path_below_root(scope)
        try:
            name = None if self._login is None else await self._login.name(source)
            refused = (
                self._stranger(self._login, source, scope, path)
                if name is None and self._login is not None and not self._is_open(scope, path)
                else None
            )
            if name is not None and path.startswith("/api/"):
                refused = _as_another(scope, name)
        except Forbidden as error:
            refused = refusal(error) if path.startswith("/api/") else _in_words(403, str(error))
        if refused is not None:
            await refused(scope, receive, send)
            return
        if name is not None:
            owner = account = f"user:{name}"
        else:
            account = f"address:{network_of(source.address)}"
            known = cookie(source.cookies, BROWSER)
            # It begins anew whenever the page is opened: whoever comes back keeps their links.
            given = path == "/" and scope["method"] == "GET"
            if known is None or _BROWSER.fullmatch(known) is None:
                known = token_urlsafe(24)
                given = _OWNING.fullmatch(path) is not None
            if given:
                send = _giving(set_cookie(scope, BROWSER, known, _YEAR_S), send)
            owner = f"browser:{digest(known)[:32]}"
        asking.set(account)
        scope.setdefault("state", {})["principal"] = Principal(name, owner, account, source.address)
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope, path: str) -> bool:
        method = scope["method"]
        paths = self._open.get("GET" if method == "HEAD" else method)
        return paths is not None and paths.fullmatch(path) is not None

    def _stranger(self, login: Login, source: RequestSource, scope: Scope, path: str) -> Response:
        words = login.words(source)
        if path.startswith("/api/") or scope["method"] not in ("GET", "HEAD"):
            return refusal(LoginRequired(words or "You are logged out. Log in again."))
        if words is not None:
            return _in_words(401, words)
        query = scope["query_string"].decode("latin-1")
        asked = f"{path}?{query}" if query else path
        after = "" if asked == "/" else f"?next={quote(asked, safe='/')}"
        root = scope.get("root_path", "")
        return RedirectResponse(f"{root}{_LOGIN}{after}", 303, _NOT_KEPT)


def _as_another(scope: Scope, name: str) -> Response | None:
    """Refuses what a page asks that was opened under another name.

    It would be done, and counted, in a name that its reader does not see.
    """
    opened = unquote(Headers(scope=scope).get(_OPENED_AS, ""))
    if opened in ("", name):
        return None
    return refusal(
        OtherLogin(
            f"This page was opened as {opened}, and you are logged in as {name} now. Reload the "
            f"page to go on as {name}; what is on it stays."
        )
    )


def _in_words(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, _NOT_KEPT)


def _giving(header: tuple[bytes, bytes], send: Send) -> Send:
    """A `send` whose answer also sets a cookie, and so is kept by no cache for others."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: MutableSequence[Any] = [*message.get("headers", ()), header]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sent


def principal_of(scope: Scope) -> Principal:
    """Who sends a request, as the middleware put it there; without one, an address alone."""
    known: Principal | None = scope.get("state", {}).get("principal")
    if known is not None:
        return known
    address = (scope.get("client") or ("", 0))[0]
    return Principal(None, f"address:{address}", f"address:{address}", address)
