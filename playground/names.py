"""The names by which this server is asked, and its way to the public."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from playground.settings import Settings


@dataclass(slots=True)
class Tunnel:
    """A temporary public address that leads here.

    port: a socket of its own on loopback, by which nothing else comes in. So what comes from the
        public is told from what comes from this machine by no header, which could be written by
        anybody.
    url: None until it is open, and again when it is closed.
    """

    port: int
    url: str | None = None

    def brought(self, scope: Scope) -> bool:
        """Whether a request came in through it."""
        server = scope.get("server")
        return server is not None and server[1] == self.port


class Names:
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


def bare(netloc: str) -> str:
    """A host and its port without the port, in lower case."""
    host = netloc.lower()
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return host[:end] if end > 0 else host


def _host(url: str) -> str:
    return bare(urlsplit(url).netloc)
