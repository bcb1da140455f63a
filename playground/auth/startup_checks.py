"""What must not be open to strangers by accident: checked before anything listens."""

from typing import Final
from urllib.parse import urlsplit

from playground.settings import Settings, SettingsError, is_loopback

_TUNNEL: Final = "the tunnel's public address"
# Proxies are few, and stand together: by the version of IP, the widest network that is theirs.
_WIDEST: Final = {4: 24, 6: 64}
_CLOSED: Final = (
    "let only this machine in (PLAYGROUND_HOST=127.0.0.1; in compose BIND=127.0.0.1, and where "
    "another container is published there PLAYGROUND_PUBLISHED_HOST=127.0.0.1)"
)


def check_exposure(settings: Settings) -> None:
    """Refuse settings with which strangers could use the page or be believed.

    Raises:
        SettingsError: With the ways out.
    """
    if settings.auth == "none" and not settings.open:
        seen = _seen_from_afar(settings)
        if seen is not None:
            raise SettingsError(
                f"Without a login, everybody who reaches {seen} could use the model. Do one of "
                "three things: set PLAYGROUND_AUTH=users and add somebody (playground users add "
                "NAME), or PLAYGROUND_AUTH=proxy behind a proxy that knows who asks; "
                f"{_CLOSED if seen != _TUNNEL else 'leave the tunnel out'}; or say "
                "PLAYGROUND_OPEN=true (--open) if everybody may."
            )
    if settings.tunnel and settings.root_path:
        raise SettingsError(
            "PLAYGROUND_TUNNEL and PLAYGROUND_ROOT_PATH do not go together: the public address "
            "leads to the page itself, below no path. Unset one of them."
        )
    networks = settings.trusted_proxies
    if settings.auth == "proxy":
        if not networks:
            raise SettingsError(
                "PLAYGROUND_AUTH is 'proxy', and PLAYGROUND_TRUSTED_PROXIES names no proxy: it "
                "must be the address of the proxy that says who asks, such as 127.0.0.1."
            )
        if any(network.prefixlen == 0 for network in networks):
            raise SettingsError(
                "PLAYGROUND_TRUSTED_PROXIES holds every address, so everybody could say who they "
                "are; with PLAYGROUND_AUTH=proxy it must name the proxy alone."
            )
        wide = [each for each in networks if each.prefixlen < _WIDEST[each.version]]
        if wide and not is_loopback(settings.seen_host()):
            raise SettingsError(
                f"PLAYGROUND_TRUSTED_PROXIES holds {wide[0]}, and the page is published on "
                f"{settings.seen_host()}: whoever comes from an address in there could say who "
                "they are, and a container's port shows outsiders with one of Docker's own. With "
                "PLAYGROUND_AUTH=proxy, name the proxy's address or a network of at most /24 (of "
                "IPv6 /64); or publish the page to the proxy alone (PLAYGROUND_HOST=127.0.0.1, or "
                "BIND=127.0.0.1 with compose)."
            )


def _seen_from_afar(settings: Settings) -> str | None:
    """An address by which others than this machine reach the page."""
    if not is_loopback(settings.seen_host()):
        return settings.seen_host()
    host = urlsplit(settings.public_url or "").hostname
    if host is not None and not is_loopback(host):
        return settings.public_url
    return _TUNNEL if settings.tunnel else None
