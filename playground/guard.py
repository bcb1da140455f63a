"""What never reaches the application: other sites' names for this host, and Gradio's own API."""

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.names import Names, host_of

_READING = ("GET", "HEAD", "OPTIONS")
# Pages that work without a script; all else that changes something is a route of the API.
_FORMS = ("login", "logout")
# Of pages that bring none of their own, which is Gradio's.
_HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI middleware in front of everything.

    Gradio draws the page and does nothing more, so all that it offers under /gradio_api is not
    there: among it is an upload that any site could fill the disk with. What changes something is
    asked of the routes under /api alone. No other site may show the page in a frame of its own,
    where people would click what they do not see.
    """

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            send = _with_policy(send)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if not self._names.knows(scope):
            return _answer(
                421,
                f"This server is not known as {host_of(scope) or 'nothing'}. If that is its name, "
                "set PLAYGROUND_PUBLIC_URL to the address in the browser.",
                "host",
            )
        places = scope["path"].split("/")
        if "gradio_api" in places:
            return _answer(404, "Not Found", "not_found")
        if scope["method"] in _READING:
            return None
        if "api" not in places and places[-1] not in _FORMS:
            return _answer(405, "Method Not Allowed", "method")
        if _loses_its_body(scope):
            return _answer(
                400,
                "This server upgrades no connection, and the body of a request that asks for it "
                "is not read. Send it without the header Upgrade; Java's HttpClient does with "
                "version(HTTP_1_1).",
                "upgrade",
            )
        return None


def _loses_its_body(scope: Scope) -> bool:
    """Whether a request asks for an upgrade: the server's parser ends it at its head."""
    headers = Headers(scope=scope)
    options = {
        option.strip().lower()
        for value in headers.getlist("connection")
        for option in value.split(",")
    }
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return has_body and "upgrade" in options and "upgrade" in headers


def _with_policy(send: Send) -> Send:
    """A `send` whose answers, when they are pages, say what browsers may do with them."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", ()))
            page = headers.get(b"content-type", b"").startswith(b"text/html")
            if page and b"content-security-policy" not in headers:
                more = [header for header in _HEADERS if header[0] not in headers]
                message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


def _answer(status: int, error: str, kind: str) -> Response:
    body = orjson.dumps({"error": error, "kind": kind, "field": None})
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
