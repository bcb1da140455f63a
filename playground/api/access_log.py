"""Every request: its id, its line in the log, its share of the metrics; and who may read these."""

import logging
import re
import time
from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.auth.hosts import Hosts, path_below_root
from playground.auth.responses import error_answer
from playground.domain.principal import Principal, pseudonyms
from playground.telemetry.logging import request_id, request_words
from playground.telemetry.metrics import CONTENT_TYPE, Metrics

_ID: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)
_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What asks so often that its lines would bury the others.
_FILES: Final = ("/ui", "/assets", "/static")
_QUIET: Final = frozenset({*_FILES, "/livez", "/readyz", "/metrics", "/api/engine"})
# A status that no answer has: the reader left before there was one.
_LEFT: Final = 499

# What is refused before a route is found.
_KINDS: Final = {401: "login", 404: "not_found", 405: "method", 421: "host", 500: "internal"}

_log = logging.getLogger(__name__)


class AccessLog:
    """An ASGI middleware in front of everything.

    A request may bring its id as X-Request-Id. A route that refuses leaves the error's kind in
    ``scope["refusal"]``, a stream its figures in ``scope["figures"]``. An exception that no route
    caught ends here: it is logged once, and answered with its request's id.

    Args:
        scrapers: Who may read /metrics. They are judged by the peer alone; what a proxy or the
            tunnel passes on is for somebody else and never allowed, and so is, from this machine
            itself, a request for a name that is not one of ours. For all others /metrics does not
            exist.
        key: What accounts are digested with for the log, so that one person's lines can be put
            together and nobody is named.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        scrapers: Collection[IPv4Network | IPv6Network],
        hosts: Hosts,
        key: bytes,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._scrapers = scrapers
        self._hosts = hosts
        self._pseudonym = pseudonyms(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and say afterwards what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = _number(scope["headers"])
        request_id.set(number)
        path = path_below_root(scope)  # now: what is mounted takes its own part of it away
        begun, status, written = time.monotonic(), 0, 0

        async def sent(message: Message) -> None:
            nonlocal status, written
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", number.encode())]
                message = {**message, "headers": headers}
            else:
                written += len(message.get("body", b""))
            await send(message)

        try:
            if self._may_scrape(scope, path):
                scope["route"] = _METRICS
                answer = Response(await self._metrics.text(), media_type=CONTENT_TYPE)
                answer.headers["Cache-Control"] = "no-store"
                await answer(scope, receive, sent)
            else:
                await self._app(scope, receive, sent)
        except ClientDisconnect:
            pass  # its sender left before its body was whole
        except Exception:
            _log.exception("A request failed for a reason of the playground's own")
            if not status:
                await _failed()(scope, receive, sent)
        finally:
            route = _template(scope, path)
            self._write(scope, route, status or _LEFT, time.monotonic() - begun, written)

    def _may_scrape(self, scope: Scope, path: str) -> bool:
        if path != "/metrics" or scope["method"] not in ("GET", "HEAD"):
            return False
        try:
            peer = ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        return (
            any(peer in network for network in self._scrapers)
            and not self._hosts.tunnelled(scope)
            and not any(name in _FORWARDED for name, _ in scope["headers"])
            and (not peer.is_loopback or self._hosts.knows(scope))
        )

    def _write(self, scope: Scope, route: str, status: int, seconds: float, written: int) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        refusal = scope.get("refusal") or _KINDS.get(status)
        if refusal:
            self._metrics.refused(refusal)
        self._metrics.requested(method, route, status, seconds)
        quiet = route in _QUIET or "." in route  # files
        level = logging.DEBUG if quiet and status < 500 else logging.INFO
        if not _log.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "bytes": written,
            **scope.get("figures", {}),
        }
        if refusal:
            fields["kind"] = refusal
        asker: Principal | None = scope.get("state", {}).get("principal")
        if asker is not None:
            fields["account"] = self._pseudonym(asker.account)
        _log.log(level, "request", extra={"fields": fields})


class _Named:
    """What stands in the place of a route."""

    def __init__(self, path: str) -> None:
        self.path = path


_METRICS: Final = _Named("/metrics")


def _template(scope: Scope, path: str) -> str:
    """The route's own path, with names in the place of values; no path that was asked for."""
    for folder in _FILES:
        if path.startswith(f"{folder}/"):
            return folder
    template: str = getattr(scope.get("route"), "path", "none")
    return "none" if template.endswith(":path}") else template  # which takes what nothing else does


def _number(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The id that the request brought, if it is one, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(text := value.decode("latin-1")):
            return text
    return uuid4().hex


def _failed() -> Response:
    error = f"The playground itself failed at this; its log says how{request_words()}."
    return error_answer(500, error, "internal")
