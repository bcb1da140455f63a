"""Who asks: what shares, usage and limits are counted on."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

ELSEWHERE: Final = "elsewhere"
# The account of the request that is being answered, for what is remembered of each: otherwise one
# would learn by the speed of an answer what another has asked.
asking: Final = ContextVar("asking", default="")


@dataclass(frozen=True, slots=True)
class Principal:
    """One request's sender.

    Attributes:
        name: The login; None where nobody logs in.
        owner: Whose shares these are: ``user:<name>``, or ``browser:<digest>`` of a random cookie.
        account: Whose streams and tokens are counted: ``user:<name>``, or ``address:<ip>``, of IPv6
            the network (`network_of`).
        address: Where the request comes from, past the proxies that are trusted: an IP address, or
            ELSEWHERE. What comes through the public tunnel, or a proxy on this machine that is not
            trusted, has the address of this machine and yet is not from here.
    """

    name: str | None
    owner: str
    account: str
    address: str


def network_of(address: str) -> str:
    """What one household or machine has, and is counted as one.

    That is an IPv4 address, and of IPv6 the network of /64, in which anybody has addresses without
    number. ELSEWHERE stays as it is.
    """
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(ip_network((int(known), 64), strict=False))
    return address


def pseudonyms(secret: bytes) -> Callable[[str], str]:
    """What accounts are called in the log: digests under a key made of the secret.

    So one person's lines can be put together, and nobody is named.
    """
    key = blake2b(secret).digest()
    return lambda account: blake2b(account.encode(), key=key, digest_size=6).hexdigest()


def kind_of(account: str) -> str:
    """Whether an account is a "user" or an "address", in a word for people."""
    return "user" if account.startswith("user:") else "address"
