"""Who may read the metrics: judged by the peer alone, and never through anything in between."""

from ipaddress import ip_network
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from playground.api.access_log import AccessLog
from playground.auth.hosts import Hosts, Tunnel
from playground.limits.admission import Admission
from playground.settings import load_settings
from playground.telemetry.metrics import Metrics

PORT, TUNNEL = 7860, 7861
OWN = {"host": f"localhost:{PORT}"}


async def status(
    *,
    client: str = "127.0.0.1",
    port: int = PORT,
    method: str = "GET",
    path: str = "/metrics",
    headers: dict[str, str] | None = None,
) -> int:
    """Of a request's answer; 404 is what stands behind."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def states() -> dict[str, str]:
        return {"default": "ready"}

    async def answers() -> bool:
        return True

    settings = load_settings()
    log = AccessLog(
        behind,
        metrics=Metrics(Admission.from_settings(settings), states, answers),
        scrapers=[ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")],
        hosts=Hosts(settings, Tunnel(TUNNEL, "https://some.tunnel.example")),
        key=b"a key",
    )
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    given = OWN if headers is None else headers
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": (client, 50_000),
        "server": ("127.0.0.1", port),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    await log(scope, receive, send)
    found: int = sent[0]["status"]
    return found


@pytest.mark.parametrize(
    "asked",
    [{}, {"method": "HEAD"}, {"client": "10.1.2.3", "headers": {"host": "playground:7860"}}],
)
async def test_those_who_are_named_may(asked: dict[str, Any]) -> None:
    assert await status(**asked) == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"port": TUNNEL, "headers": {"host": "some.tunnel.example"}},
        {"client": "10.1.2.3", "port": TUNNEL, "headers": {"host": "some.tunnel.example"}},
        {"client": "192.0.2.1"},
        {"client": "somewhere"},
        {"method": "POST"},
        {"path": "/metrics/"},
        {"headers": {"host": "another.site.example"}},
        *(
            {"headers": {**OWN, name: "for=192.0.2.1"}}
            for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")
        ),
    ],
)
async def test_all_others_find_nothing_there(asked: dict[str, Any]) -> None:
    assert await status(**asked) == 404
