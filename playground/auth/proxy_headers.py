"""Where a request comes from. What a proxy says of it counts when the proxy is trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.types import Scope

from playground.auth.cookies import own_cookies
from playground.auth.hosts import Hosts, bare
from playground.domain.principal import ELSEWHERE
from playground.settings import is_loopback

Network = IPv4Network | IPv6Network

_FORWARDED: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
    }
)


@dataclass(frozen=True, slots=True)
class RequestSource:
    """One request's way here.

    Attributes:
        address: Of the browser, as far as it is known; ELSEWHERE as a principal's.
        trusted: Whether the peer is a trusted proxy.
        visitor: Whether it is a trusted proxy that says the address, and of somebody else.
        user: The values of its header for the name.
        cookies: Those of the header that may have been set here.
        host: The name that was asked for, without a port.
    """

    address: str
    trusted: bool
    visitor: bool
    user: Sequence[bytes]
    cookies: str
    host: str


class ProxyHeaders:
    """Reads the headers of requests once, and takes out of them what must not be believed."""

    def __init__(self, proxies: Sequence[Network], user_header: str | None, hosts: Hosts) -> None:
        self._user = user_header and user_header.lower().encode()
        self._hosts = hosts
        self._distrusted = _FORWARDED | ({self._user} if self._user else set())

        @lru_cache(maxsize=4096)
        def trusted(address: str) -> bool:
            known = _parsed(address)
            return known is not None and any(known in network for network in proxies)

        self._trusted = trusted

    def read(self, scope: Scope) -> RequestSource:
        """Where a request comes from.

        The scheme in the scope becomes the browser's. Headers of an untrusted peer that say where
        from or for whom it asks are taken out, so that nothing behind can believe them, and so are
        cookies of others, so that nothing parses them.
        """
        cookies, host, forwarded, users = [], "", False, []
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookies.append(value.decode("latin-1"))
            elif name == b"host":
                host = bare(value.decode("latin-1"))
            elif name in self._distrusted:
                forwarded = True
                if name == self._user:
                    users.append(value)
        own = own_cookies("; ".join(cookies))
        if cookies:
            rest = [header for header in scope["headers"] if header[0] != b"cookie"]
            scope["headers"] = [*rest, (b"cookie", own.encode())] if own else rest
        tunnelled = self._hosts.tunnelled(scope)
        peer = (scope.get("client") or ("", 0))[0]
        trusted = not tunnelled and self._trusted(peer)
        address = ELSEWHERE if tunnelled else str(_parsed(peer) or peer)
        secure = self._hosts.secure(scope)
        if forwarded and trusted:
            address, secure = self._forwarded(scope, address, secure)
        elif forwarded:
            if is_loopback(address):
                address = ELSEWHERE
            scope["headers"] = [
                header for header in scope["headers"] if header[0] not in self._distrusted
            ]
        if secure:
            scope["scheme"] = "https"
        return RequestSource(
            address=address,
            trusted=trusted,
            visitor=trusted and not self._trusted(address),
            user=users if trusted else (),
            cookies=own,
            host=host,
        )

    def _forwarded(self, scope: Scope, address: str, secure: bool) -> tuple[str, bool]:
        """The address and whether it was https, by the word of a trusted proxy.

        Each proxy adds its peer at the end. So the last address that is no trusted proxy's is the
        one that was seen; what stands before it may be made up.
        """
        hops = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                hops += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                secure = value.split(b",")[0].strip().lower() == b"https"
        for hop in reversed(hops):
            seen = _parsed(_without_port(hop.strip()))
            if seen is None:
                break
            address = str(seen)
            if not self._trusted(address):
                break
        return address, secure


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
