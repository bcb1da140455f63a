"""Who may come in: the one check in front of the page, its files and the API."""

import re
from collections.abc import MutableSequence
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.api.http import refusal
from playground.auth.arrivals import Arrival, Arrivals
from playground.auth.cookies import BROWSER, cookie, set_cookie
from playground.errors import Forbidden, LoginRequired, OtherLogin
from playground.visitor import Visitor, network_of

# For whom a page was drawn, percent-encoded; every request that it makes of the API says so.
_OPENED_AS: Final = "X-Opened-As"
# As long as browsers keep any cookie.
_YEAR_S: Final = 400 * 86_400
_BROWSER: Final = re.compile(r"[\w-]{32}")
_LOGIN: Final = "/login"
_NOT_KEPT: Final = {"Cache-Control": "no-store"}

# What needs no login, by method, below the root path. A path that is not here is closed, so a new
# route is, too.
_FILES: Final = r"/ui/[0-9a-f]+/[\w.-]+|/favicon\.ico|/livez|/readyz"
_ALWAYS: Final = {"GET": rf"/login|/logout|{_FILES}", "POST": r"/login|/logout"}
_LINKS: Final = {
    "GET": r"/[sd]/[\w-]+|/api/shares/[\w-]+|/api/demos/[\w-]+",
    "POST": r"/api/demos/[\w-]+/(stream|render)",
    "DELETE": r"/api/stream/[\w-]+/panes/\d+",
}
# Where a browser is given the cookie that its links belong to: with what is drawn for it alone, and
# not with files.
_OWNING: Final = re.compile(r"/|/login|/api/.*|/[sd]/[\w-]+")


class Login(Protocol):
    """A way of logging in."""

    async def name(self, arrival: Arrival) -> str | None:
        """Who sends a request; None when it is nobody who is logged in. Raises Forbidden."""
        ...

    def words(self, arrival: Arrival) -> str | None:
        """What nobody reads instead of a page; None leads to the page for logging in."""
        ...


class Door:
    """An ASGI middleware in front of the application. It lets in or refuses, and puts the visitor
    into the request's state, where all others only read it.

    login: None lets everybody in. links: whether shared links open without a login.
    """

    def __init__(
        self, app: ASGIApp, *, arrivals: Arrivals, login: Login | None, links: bool
    ) -> None:
        self._app = app
        self._arrivals = arrivals
        self._login = login
        self._open = {
            method: re.compile(
                "|".join(each[method] for each in (_ALWAYS, _LINKS)[: 1 + links] if method in each)
            )
            for method in ("GET", "POST", "DELETE")
            if links or method in _ALWAYS
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        arrival = self._arrivals.read(scope)
        path = _below_root(scope)
        try:
            name = None if self._login is None else await self._login.name(arrival)
            refused = (
                self._stranger(self._login, arrival, scope, path)
                if name is None and self._login is not None and not self._is_open(scope, path)
                else None
            )
            if name is not None and path.startswith("/api/"):
                refused = _as_another(scope, name)
        except Forbidden as error:
            refused = refusal(error) if path.startswith("/api/") else _in_words(403, str(error))
        if refused is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})  # the server answers 403
            else:
                await refused(scope, receive, send)
            return
        if name is not None:
            owner = account = f"user:{name}"
        else:
            account = f"address:{network_of(arrival.address)}"
            known = cookie(arrival.cookies, BROWSER)
            # It begins anew whenever the page is opened: whoever comes back keeps their links.
            given = path == "/" and scope.get("method") == "GET"
            if known is None or _BROWSER.fullmatch(known) is None:
                known = token_urlsafe(24)
                given = scope["type"] == "http" and _OWNING.fullmatch(path) is not None
            if given:
                send = _giving(set_cookie(scope, BROWSER, known, _YEAR_S), send)
            owner = f"browser:{sha256(known.encode()).hexdigest()[:32]}"
        visitor = Visitor(name, owner, account, arrival.address)
        scope.setdefault("state", {})["visitor"] = visitor
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope, path: str) -> bool:
        if scope["type"] != "http":
            return False
        method = scope["method"]
        paths = self._open.get("GET" if method == "HEAD" else method)
        return paths is not None and paths.fullmatch(path) is not None

    def _stranger(self, login: Login, arrival: Arrival, scope: Scope, path: str) -> Response:
        words = login.words(arrival)
        if path.startswith("/api/") or scope.get("method") not in ("GET", "HEAD"):
            return refusal(LoginRequired(words or "You are logged out. Log in again."))
        if words is not None:
            return _in_words(401, words)
        query = scope["query_string"].decode("latin-1")
        asked = f"{path}?{query}" if query else path
        after = "" if asked == "/" else f"?next={quote(asked, safe='/')}"
        root = scope.get("root_path", "")
        return RedirectResponse(f"{root}{_LOGIN}{after}", 303, _NOT_KEPT)


def _as_another(scope: Scope, name: str) -> Response | None:
    """Refuses what a page asks that was opened under another name: it would be done, and counted,
    in a name that its reader does not see."""
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


def _below_root(scope: Scope) -> str:
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


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
