"""The door on a real port, in front of an application that says whom it sees."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from playground.auth.backends import login_from_settings
from playground.auth.hosts import Hosts
from playground.auth.middleware import AuthMiddleware, principal_of
from playground.auth.proxy_headers import ProxyHeaders
from playground.auth.startup_checks import check_exposure
from playground.domain.errors import StoreError
from playground.domain.principal import ELSEWHERE, network_of
from playground.limits.rate_limits import Visitors
from playground.settings import SettingsError, load_settings

PROXY = "127.0.0.2"  # the address of the test's proxy; the test itself comes from 127.0.0.1


class Away:
    """A database that is not there."""

    async def end(self, session: str, expires: int) -> None:
        raise StoreError("It is away.")

    async def ended(self, session: str) -> bool:
        raise StoreError("It is away.")


async def seen(scope: Scope, receive: Receive, send: Send) -> None:
    who = principal_of(scope)
    request = Request(scope)
    content = {
        "name": who.name,
        "address": who.address,
        "owner": who.owner,
        "account": who.account,
        "scheme": scope["scheme"],
        "headers": sorted(request.headers),
        "cookies": request.headers.getlist("cookie"),
    }
    await JSONResponse(content)(scope, receive, send)


@asynccontextmanager
async def door(root_path: str = "", **settings: Any) -> AsyncIterator[str]:
    """Where the door listens that these settings make."""
    values = load_settings(**settings)
    hosts = Hosts(values)
    app = AuthMiddleware(
        seen,
        proxy_headers=ProxyHeaders(values.trusted_proxies, values.proxy_user_header, hosts),
        login=login_from_settings(values, Away()),
        visitors=Visitors(values.max_connections_per_address),
        links=values.public_links,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, proxy_headers=False, root_path=root_path
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110  (uvicorn offers no event)
            await asyncio.sleep(0.005)
        try:
            yield "http://127.0.0.1:{}".format(*listener.getsockname()[1:])
        finally:
            server.should_exit = True
            await running


async def ask(
    url: str, headers: Any = (), *, through: str | None = None, path: str = "/"
) -> httpx.Response:
    """A request from this machine, or through a proxy that has this address."""
    transport = httpx.AsyncHTTPTransport(local_address=through)
    async with httpx.AsyncClient(transport=transport) as browser:
        return await browser.get(url + path, headers=headers)


async def test_no_cookie_of_another_is_there_to_be_parsed() -> None:
    browser, escapes = "b" * 32, '"' + '\\"' * 20_000 + '"'
    own = f"playground_browser={browser}; playground_session=a.b-c_d"
    headers = [
        ("cookie", f'theirs="{escapes}"; playground_browser={browser};;;'),
        ("cookie", f"playground_session=a.b-c_d; playground_device={escapes}"),
        ("cookie", f"playground_session={'x' * 600}; access-token=1; playground_session"),
    ]
    async with door(auth="none") as url:
        who = (await ask(url, headers)).json()
        assert who["cookies"] == [own]
        assert who["owner"].startswith("browser:")
        assert (await ask(url, headers[2:])).json()["cookies"] == []


# A proxy that says who it is

PROXIED: Mapping[str, Any] = {
    "auth": "proxy",
    "trusted_proxies": f"{PROXY}, 10.0.0.0/8",
    "proxy_user_header": "Remote-User",
}


async def test_a_trusted_proxy_says_who_it_is() -> None:
    async with door(**PROXIED) as url:
        name = "Zoë Müller"
        answer = await ask(url, [(b"remote-user", name.encode())], through=PROXY)
        who = answer.json()
        assert (who["name"], who["owner"], who["account"]) == (name, *[f"user:{name}"] * 2)
        assert "set-cookie" not in answer.headers


async def test_the_header_is_worth_nothing_from_anywhere_else() -> None:
    async with door(**PROXIED) as url:
        for spoofed in ({}, {"x-forwarded-for": PROXY}, {"forwarded": f"for={PROXY}"}):
            headers = {"remote-user": "anna", **spoofed}
            answer = await ask(url, headers)
            assert answer.status_code == 401
            assert "PLAYGROUND_TRUSTED_PROXIES" in answer.text
            answer = await ask(url, headers, path="/api/visitor")
            assert (answer.status_code, answer.json()["kind"]) == (401, "login")
        answer = await ask(url, {"remote-user": "anna"}, path="/livez")
        assert answer.json()["name"] is None
        assert "remote-user" not in answer.json()["headers"], "nothing behind can believe it"


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ([], 401, "Remote-User"),
        ([("remote-user", "")], 401, "Remote-User"),
        ([("remote-user", "anna"), ("remote-user", "ben")], 403, "more than once"),
        ([("remote-user", "a" * 129)], 403, "holds no name"),
        ([(b"remote-user", b"\xff\xfe")], 403, "holds no name"),
    ],
)
async def test_a_proxy_that_says_it_badly_is_told_so(headers: Any, status: int, words: str) -> None:
    async with door(**PROXIED) as url:
        answer = await ask(url, headers, through=PROXY)
        assert answer.status_code == status
        assert words in answer.text
        answer = await ask(url, headers, through=PROXY, path="/api/visitor")
        assert answer.status_code == status
        assert words in answer.json()["error"]


# Where from

TRUSTING: Mapping[str, Any] = {"trusted_proxies": f"{PROXY},10.0.0.0/8,2001:db8::/32"}


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.1.1", "203.0.113.7"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("203.0.113.7:1234", "203.0.113.7"),
        ("[2001:db9::1]:1234, 2001:db8::5", "2001:db9::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("nonsense", PROXY),
        ("203.0.113.7, nonsense, 10.1.1.1", "10.1.1.1"),
        ("", PROXY),
    ],
)
async def test_the_last_address_that_is_no_proxys_is_the_visitors(
    forwarded: str, address: str
) -> None:
    async with door(**TRUSTING) as url:
        headers = [("x-forwarded-for", forwarded), ("x-forwarded-proto", "https")]
        who = (await ask(url, headers, through=PROXY)).json()
        assert who["address"] == address
        assert who["account"] == f"address:{network_of(address)}"
        assert who["scheme"] == "https"


async def test_all_addresses_of_one_ipv6_network_are_one_account() -> None:
    """Or whoever has one would have as many accounts as they like."""
    async with door(**TRUSTING) as url:
        accounts = []
        for address in (
            "2001:db9::1",
            "2001:db9::ffff:2",
            "fe80::1%a",
            "fe80::2%b",
            "2001:db9:1::",
        ):
            who = (await ask(url, {"x-forwarded-for": address}, through=PROXY)).json()
            accounts.append(who["account"])
        assert accounts[0] == accounts[1] == "address:2001:db9::/64"
        assert accounts[2] == accounts[3] == "address:fe80::/64"
        assert accounts[4] not in accounts[:4]


async def test_what_an_untrusted_proxy_on_this_machine_brings_is_not_from_here() -> None:
    async with door(public_url="https://playground.example") as url:
        who = (await ask(url)).json()
        assert (who["address"], who["scheme"]) == ("127.0.0.1", "http")
        headers = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
        who = (await ask(url, headers)).json()
        assert (who["address"], who["scheme"]) == (ELSEWHERE, "http")
        assert not [name for name in who["headers"] if name.startswith("x-forwarded")]
        who = (await ask(url, {"host": "playground.example"})).json()
        assert who["scheme"] == "https", "as its public address says"


async def test_a_websocket_is_closed_before_it_opens(tmp_path: Path) -> None:
    """Whatever speaks the protocol: without a login the application never sees it."""
    values = load_settings(auth="users", secret="a secret of 16 and more", data_dir=tmp_path)
    hosts = Hosts(values)
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    proxy_headers = ProxyHeaders((), None, hosts)
    guarded = AuthMiddleware(
        seen,
        proxy_headers=proxy_headers,
        login=login_from_settings(values, Away()),
        visitors=Visitors(8),
        links=True,
    )
    for path in ("/", "/login", "/api/stream"):
        scope: Scope = {"type": "websocket", "path": path, "headers": []}
        await guarded(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"] * 3


async def test_below_another_path_all_of_it_stays_below(tmp_path: Path) -> None:
    """The proxy takes the path away, the page's address has it."""
    users: Mapping[str, Any] = {"auth": "users", "secret": "a secret of 16 and more"}
    async with door("/team", **users, data_dir=tmp_path) as url:
        for path, to in (("/", "/team/login"), ("/x?y=1", "/team/login?next=/x%3Fy%3D1")):
            assert (await ask(url, path=path)).headers["location"] == to
        answer = await ask(url, path="/login")
        assert "; Path=/team;" in answer.headers["set-cookie"]
        assert (await ask(url, path="/api/visitor")).json()["kind"] == "login"


# What must not be open by accident


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "0.0.0.0", "published_host": "127.0.0.1"},
        {"host": "0.0.0.0", "open": True},
        {"host": "0.0.0.0", "auth": "users"},
        {"public_url": "http://localhost:8000"},
        {"tunnel": True, "auth": "users"},
        {"auth": "proxy", "trusted_proxies": "10.0.0.0/8"},
        {"auth": "proxy", "trusted_proxies": "10.1.2.0/24,fd00::/64", "host": "0.0.0.0"},
        {"auth": "users", "trusted_proxies": "10.0.0.0/8", "host": "0.0.0.0"},
    ],
)
def test_may_start(settings: dict[str, Any]) -> None:
    check_exposure(load_settings(**settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "0.0.0.0 could use the model"),
        ({"host": "::"}, "PLAYGROUND_AUTH=users"),
        ({"host": "192.0.2.1"}, "PLAYGROUND_OPEN=true"),
        ({"host": "gpu-box"}, "PLAYGROUND_HOST=127.0.0.1"),
        ({"published_host": "0.0.0.0"}, "PLAYGROUND_PUBLISHED_HOST"),
        ({"public_url": "https://playground.example"}, "https://playground.example"),
        ({"tunnel": True}, "leave the tunnel out"),
        ({"auth": "proxy"}, "PLAYGROUND_TRUSTED_PROXIES names no proxy"),
        ({"auth": "proxy", "trusted_proxies": "127.0.0.1,::/0"}, "holds every address"),
        (
            {"auth": "proxy", "trusted_proxies": "127.0.0.1,172.16.0.0/12", "host": "0.0.0.0"},
            "holds 172.16.0.0/12, and the page is published on 0.0.0.0",
        ),
        (
            {"auth": "proxy", "trusted_proxies": "fd00::/48", "published_host": "::"},
            "holds fd00::/48",
        ),
        ({"tunnel": True, "open": True, "root_path": "/x"}, "do not go together"),
    ],
)
def test_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_exposure(load_settings(**settings))
    assert words in str(caught.value)
