"""The names by which this server may be asked, and what never reaches the application.

That is other sites' names for this host, and Gradio's own API.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.auth.responses import error_answer
from playground.settings import Settings

_READING = ("GET", "HEAD", "OPTIONS")
# Pages that work without a script; all else that changes something is a route of the API.
_FORMS = ("login", "logout")
_HOST: Final = re.compile(rb"(?:[\w.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?", re.ASCII)
# Of pages, where they bring none of their own.
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@dataclass(slots=True)
class Tunnel:
    """A temporary public address that leads here.

    Attributes:
        port: A socket of its own on loopback, by which nothing else comes in. So what comes from
            the public is told from what comes from this machine by no header, which could be
            written by anybody.
        url: None until it is open, and again when it is closed.
    """

    port: int
    url: str | None = None

    def brought(self, scope: Scope) -> bool:
        """Whether a request came in through it."""
        server = scope.get("server")
        return server is not None and server[1] == self.port


class Hosts:
    """What browsers may call this server, and by which of these names it is asked over https."""

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self._hosts = settings.known_hosts()
        self._public = settings.public_url
        self._tunnel = tunnel

    def knows(self, scope: Scope) -> bool:
        """Whether a request is for one of its names.

        A page of another site can have its own name point at 127.0.0.1 and would then be of the
        same origin (DNS rebinding); its requests carry that name.
        """
        if self.tunnelled(scope):
            assert self._tunnel is not None
            return self._tunnel.url is not None and host_of(scope) == _host(self._tunnel.url)
        return self._hosts is None or host_of(scope) in self._hosts

    def tunnelled(self, scope: Scope) -> bool:
        """Whether a request came in through the tunnel, and so not from this machine."""
        return self._tunnel is not None and self._tunnel.brought(scope)

    def secure(self, scope: Scope) -> bool:
        """Whether the address by which browsers ask for this name begins with https."""
        host = host_of(scope)
        urls = (self._public, self._tunnel and self._tunnel.url)
        return any(url and url.startswith("https:") and _host(url) == host for url in urls)


def host_of(scope: Scope) -> str:
    """The request's Host without its port, in lower case; an IPv6 address keeps its brackets."""
    for name, value in scope["headers"]:
        if name == b"host":
            return bare(value.decode("latin-1"))
    return ""


def path_below_root(scope: Scope) -> str:
    """The path that was asked for, without the root path of the settings."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def bare(netloc: str) -> str:
    """A host and its port without the port, in lower case."""
    host = netloc.lower()
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return host[:end] if end > 0 else host


def _host(url: str) -> str:
    return bare(urlsplit(url).netloc)


class HostMiddleware:
    """An ASGI middleware in front of everything.

    Gradio draws the page and does nothing more, so all that it offers under /gradio_api is not
    there: among it is an upload that any site could fill the disk with. What changes something is
    asked of the routes under /api alone. No other site may show the page in a frame of its own,
    where people would click what they do not see.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            send = _with_policy(send)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or any(_HOST.fullmatch(each) is None for each in hosts):
            return error_answer(400, "The header Host is no name of a server.", "host")
        if not self._hosts.knows(scope):
            return error_answer(
                421,
                f"This server is not known as {host_of(scope) or 'nothing'}. If that is its name, "
                "set PLAYGROUND_PUBLIC_URL to the address in the browser.",
                "host",
            )
        places = scope["path"].split("/")
        if "gradio_api" in places:
            return error_answer(404, "There is nothing here.", "not_found")
        if scope["method"] in _READING:
            return None
        if "api" not in places and places[-1] not in _FORMS:
            allow = {"Allow": ", ".join(_READING)}
            return error_answer(405, "This address is only read.", "method", headers=allow)
        if _loses_its_body(scope):
            return error_answer(
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
            headers = {name.lower(): value for name, value in message.get("headers", ())}
            if headers.get(b"content-type", b"").startswith(b"text/html"):
                more = [header for header in _HEADERS if header[0] not in headers]
                message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent
