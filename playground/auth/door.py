"""Who may come in: the one check in front of the page, its files and the API."""

import re
from collections.abc import MutableSequence
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final, Protocol
from urllib.parse import quote

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.api.http import refusal
from playground.auth.arrivals import Arrival, Arrivals
from playground.auth.cookies import BROWSER, cookie, set_cookie
from playground.errors import LoginRequired
from playground.visitor import Visitor

# As long as browsers keep any cookie.
_YEAR_S: Final = 400 * 86_400
_BROWSER: Final = re.compile(r"[\w-]{32}")
_LOGIN: Final = "/login"

# What needs no login, by method, below the root path. A path that is not here is closed, so a new
# route is, too.
_FILES: Final = r"/ui/[0-9a-f]+/[\w.-]+|/favicon\.ico|/livez|/readyz"
_ALWAYS: Final = {"GET": rf"/login|/logout|{_FILES}", "POST": r"/login|/logout"}
_LINKS: Final = {
    "GET": r"/[sd]/[\w-]+|/api/shares/[\w-]+(/rendered)?|/api/demos/[\w-]+",
    "POST": r"/api/demos/[\w-]+/(stream|render)",
    "DELETE": r"/api/stream/[\w-]+/panes/\d+",
}
_WITHOUT_OWNER: Final = re.compile(_FILES)


class Refused(Exception):
    """A request that cannot be let in anywhere, with its answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Login(Protocol):
    """A way of logging in."""

    async def name(self, arrival: Arrival) -> str | None:
        """Who sends a request; None when it is nobody who is logged in. Raises Refused."""
        ...

    def stranger(self, login: str) -> Response:
        """The answer to a page's request by nobody; `login` is the address of the login page."""
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
        try:
            name = None if self._login is None else await self._login.name(arrival)
        except Refused as refused:
            await _refuse(refused.response, scope, receive, send)
            return
        path = _below_root(scope)
        if name is None and self._login is not None and not self._is_open(scope, path):
            await _refuse(self._stranger(scope, path), scope, receive, send)
            return
        if name is not None:
            owner = account = f"user:{name}"
        else:
            account = f"address:{arrival.address}"
            known = cookie(arrival.cookies, BROWSER)
            if known is None or _BROWSER.fullmatch(known) is None:
                known = token_urlsafe(24)
                if scope["type"] == "http" and _WITHOUT_OWNER.fullmatch(path) is None:
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

    def _stranger(self, scope: Scope, path: str) -> Response:
        if path.startswith("/api/") or scope.get("method") not in ("GET", "HEAD"):
            return refusal(LoginRequired("You are logged out. Log in again, and repeat this."))
        asked = path + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
        after = "" if asked == "/" else f"?next={quote(asked, safe='/')}"
        assert self._login is not None
        return self._login.stranger(f"{scope.get('root_path', '')}{_LOGIN}{after}")


def to_login(login: str) -> Response:
    """The way to the login page."""
    return RedirectResponse(login, 303, {"Cache-Control": "no-store"})


def in_words(status: int, text: str) -> Response:
    """A refusal for people, where no page can help."""
    return PlainTextResponse(text, status, {"Cache-Control": "no-store"})


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # the server answers 403
    else:
        await response(scope, receive, send)


def _below_root(scope: Scope) -> str:
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _giving(header: tuple[bytes, bytes], send: Send) -> Send:
    """A `send` whose answer also sets a cookie."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: MutableSequence[Any] = [*message.get("headers", ()), header]
            message = {**message, "headers": headers}
        await send(message)

    return sent
