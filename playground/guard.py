"""What never reaches the application: other sites' names for this host, and Gradio's own API."""

from collections.abc import Collection

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Guard:
    """An ASGI middleware in front of everything.

    hosts: the names by which this server may be asked, without ports; ``None`` for any. A page of
        another site can have its own name point at 127.0.0.1 and would then be of the same origin
        (DNS rebinding); its requests carry that name.

    Gradio draws the page and does nothing more, so all that it offers under /gradio_api is not
    there: among it is an upload that any site could fill the disk with. What changes something is
    asked of the routes under /api alone.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if self._hosts is not None and (host := _host(scope)) not in self._hosts:
            return _answer(
                421,
                f"This server is not known as {host or 'nothing'}. If that is its name, set "
                "PLAYGROUND_PUBLIC_URL to the address in the browser.",
                "host",
            )
        places = scope["path"].split("/")
        if "gradio_api" in places:
            return _answer(404, "Not Found", "not_found")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and "api" not in places:
            return _answer(405, "Method Not Allowed", "method")
        return None


def _host(scope: Scope) -> str:
    """The request's Host without its port, in lower case; an IPv6 address keeps its brackets."""
    for name, value in scope["headers"]:
        if name == b"host":
            host: str = value.decode("latin-1").lower()
            end = host.find("]") + 1 if host.startswith("[") else host.find(":")
            return host[:end] if end > 0 else host
    return ""


def _answer(status: int, error: str, kind: str) -> Response:
    body = orjson.dumps({"error": error, "kind": kind, "field": None})
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
