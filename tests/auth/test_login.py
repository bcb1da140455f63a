"""Logging in, over HTTP, on the whole application."""

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from argon2 import PasswordHasher

from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from playground.limits.rate_limits import LOGIN_TRIES
from tests.application import Application
from tests.conversations import answer as answered
from tests.conversations import column, record

PASSWORDS = {
    "anna": "correct horse battery",
    "ben": "staple of ben's own",
    "dora": "never used with success",
    "emil": "a target of many",
}
# As if of a time when computers were slow: whoever logs in gets a hash of today, which here is one
# that costs as little, since this file logs in some two hundred times.
OLD = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TODAY = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
SESSION = "playground_session"
RECORD = record(column({"role": "user", "content": "Hi"}, answered()))
CHUNKED = "POST /livez HTTP/1.1\r\ntransfer-encoding: chunked\r\nhost: x\r\n\r\n0\r\n"
PROXY = "127.0.0.2"  # the address of the test's proxy; the test itself comes from 127.0.0.1


def start(folder: Path, **settings: Any) -> Application:
    """A playground with data of this test. Its engine is away."""
    return Application(ui=True, data_dir=folder, auth="users", **settings)


def add(folder: Path, **passwords: str) -> UsersFile:
    users = UsersFile(folder / "users")
    for name, password in passwords.items():
        users.put(name, Passwords(OLD).hashed(password), instead_of=users.hashes().get(name))
    return users


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("team")
    add(folder, **PASSWORDS)
    with patch("playground.auth.passwords.PasswordHasher", lambda: TODAY):
        yield folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """A playground behind a proxy that is trusted: the address that it names is the visitor's."""
    with start(folder, trusted_proxies=PROXY, public_url="https://playground.example") as server:
        yield server.url


@pytest.fixture(scope="module")
def replica(folder: Path, site: str) -> Iterator[str]:
    """Another playground with the same data, where links need a login and no proxy is trusted."""
    with start(folder, public_links=False) as server:
        yield server.url


def client(site: str, address: str = "192.0.2.1", **headers: str) -> httpx.Client:
    """A browser at this address, by way of the proxy."""
    return httpx.Client(
        base_url=site,
        transport=httpx.HTTPTransport(local_address=PROXY),
        headers={"x-forwarded-for": address, **headers},
    )


def enter(
    browser: httpx.Client, name: str = "anna", password: str | None = None, **more: str
) -> httpx.Response:
    password = PASSWORDS[name] if password is None else password
    return browser.post("/login", data={"name": name, "password": password, **more})


def inside(browser: httpx.Client) -> bool:
    return browser.get("/api/visitor").status_code == 200


def problem(answer: httpx.Response) -> str:
    found = re.search(r'role="alert">([^<]*)<', answer.text)
    return found.group(1) if found else ""


# Who is kept out

OPEN = {
    "/login",
    "/logout",
    "/favicon.ico",
    "/livez",
    "/readyz",
}
LINKS = {
    "/s/{token}",
    "/s/{token}/",  # which leads to the one without the slash
    "/d/{token}/",
    "/d/{token}",
    "/api/shares/{token}",
    "/api/demos/{token}",
    "/api/demos/{token}/stream",
    "/api/demos/{token}/render",
    "/api/stream/{number}/panes/{pane}",
}


def walk(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        below = getattr(getattr(route, "original_router", route), "routes", None)
        if below:
            yield from walk(below, prefix + getattr(route, "path", ""))
        elif hasattr(route, "path"):
            yield from ((each, prefix + route.path) for each in getattr(route, "methods", ["GET"]))


@pytest.fixture(scope="module")
def known(folder: Path) -> list[tuple[str, str]]:
    """Every method and path that the application has."""
    with start(folder) as running:
        found = sorted(set(walk(running.app.routes)))
    assert len(found) > 60
    assert {("POST", "/api/stream"), ("GET", "/config"), ("GET", "/")} <= set(found)
    return found


def refused(answer: httpx.Response) -> bool:
    if answer.status_code == 303:
        return httpx.URL(answer.headers["location"]).path == "/login"
    if answer.headers.get("content-type") != "application/json":
        return False
    # Gradio's own API, and what changes something elsewhere, is there for nobody.
    kinds = {401: "login", 404: "not_found", 405: "method"}
    if not answer.content:  # of HEAD
        return answer.status_code in kinds
    return bool(answer.json().get("kind") == kinds.get(answer.status_code, ""))


def test_every_route_is_refused_without_a_login(
    site: str, replica: str, known: list[tuple[str, str]]
) -> None:
    """None of them was named here, so that a new one cannot be forgotten."""
    extra = [("GET", "/ui"), ("GET", "/ui/"), ("GET", "/s"), ("GET", "/s/a/b"), ("GET", "/nowhere")]
    extra += [("GET", "//livez"), ("GET", "/livez/"), ("GET", "/login/"), ("PUT", "/api/stream")]
    extra += [("GET", "/ui/0/..%2f../api/engine"), ("GET", "/ui/0/lib/..%2f..%2f../api/engine")]
    with httpx.Client() as browser:
        for place, links in ((site, True), (replica, False)):
            reached = set()
            for method, template in known + extra:
                path = re.sub(r"\{[^}]*\}", "0", template)
                answer = browser.request(method, place + path)
                if not refused(answer):
                    reached.add(template)
            reached = {each for each in reached if not re.fullmatch(r"/ui/[^.]+[.]\w+", each)}
            assert reached <= (OPEN | LINKS if links else OPEN)


def test_what_is_open_is_open(site: str) -> None:
    with httpx.Client(base_url=site) as browser:
        for path in ("/login", "/livez", "/favicon.ico"):
            assert browser.get(path).status_code == 200, path
        assert browser.head("/login").status_code == 200
        for path in ("/s/nothing", "/d/nothing", "/api/shares/nothing", "/api/demos/nothing"):
            assert browser.get(path).status_code == 404, path
        style = re.search(r'href="(/ui/[^"]+)"', browser.get("/login").text)
        assert style is not None
        answer = browser.get(style.group(1))
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers, "it is kept by caches that many share"
        files = re.match(r"/ui/\w+", style.group(1))
        assert files is not None
        module = browser.get(f"{files.group()}/lib/api.js")
        assert re.match(r"text/javascript\b", module.headers["content-type"])


def test_links_need_the_login_when_they_are_not_public(replica: str) -> None:
    with httpx.Client(base_url=replica) as browser:
        assert browser.get("/s/nothing").headers["location"] == "/login?next=/s/nothing"
        assert browser.get("/api/shares/nothing").status_code == 401


def test_a_websocket_is_refused(site: str) -> None:
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in ("/", "/api/stream", "/gradio_api/queue/join"):
        assert refused(httpx.get(site + path, headers=headers)), "as HTTP: nothing speaks WebSocket"


# In and out


def test_in_and_out(site: str) -> None:
    with client(site) as browser:
        answer = browser.get("/?view=x")
        assert answer.headers["location"] == "/login?next=/%3Fview%3Dx"
        page = browser.get(answer.headers["location"])
        assert 'value="/?view=x"' in page.text
        assert not inside(browser)

        answer = enter(browser, " Anna ", PASSWORDS["anna"], next="/?view=x")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?view=x")
        given = {c.split("=")[0]: c for c in answer.headers.get_list("set-cookie")}
        session = given[SESSION]
        for word in ("HttpOnly", "SameSite=Lax", "Path=/"):
            assert word in session
        assert "Secure" not in session
        assert browser.get("/api/visitor").json()["name"] == "anna"
        assert "main.js" in browser.get("/").text
        assert "You are logged in" in browser.get("/login").text

        cookie = browser.cookies[SESSION]
        assert browser.get("/logout").headers["location"] == "/login"
        assert inside(browser), "a link logs nobody out"
        assert browser.post("/logout").headers["location"] == "/login"
        assert SESSION not in browser.cookies
        assert httpx.get(f"{site}/api/visitor", cookies={SESSION: cookie}).status_code == 401


def test_a_page_of_another_login_is_refused(site: str) -> None:
    with client(site) as browser:
        enter(browser)
        assert browser.get("/api/shares", headers={"x-opened-as": "anna"}).status_code == 200
        answer = browser.get("/api/shares", headers={"x-opened-as": "Zo%C3%AB"})
        assert (answer.status_code, answer.json()["kind"]) == (409, "other_login")
        assert "opened as Zoë, and you are logged in as anna now" in answer.json()["error"]
        assert browser.get("/", headers={"x-opened-as": "Zo%C3%AB"}).status_code == 200
        browser.post("/logout")
        answer = browser.get("/api/shares", headers={"x-opened-as": "anna"})
        assert (answer.status_code, answer.json()["kind"]) == (401, "login")


def test_a_login_holds_on_every_replica_and_outlives_a_restart(
    folder: Path, site: str, replica: str
) -> None:
    with start(folder) as first, httpx.Client(base_url=first.url) as browser:
        enter(browser)
        cookies = {SESSION: browser.cookies[SESSION]}
    for place in (site, replica):
        assert httpx.get(f"{place}/api/visitor", cookies=cookies).json()["name"] == "anna"
    with client(site) as browser:
        enter(browser)
        cookies = {SESSION: browser.cookies[SESSION]}
        browser.post("/logout")
    assert httpx.get(f"{replica}/api/visitor", cookies=cookies).status_code == 401


def test_an_old_hash_becomes_one_of_today(folder: Path, site: str) -> None:
    with client(site) as browser:
        enter(browser)
        assert inside(browser)
    users = UsersFile(folder / "users").hashes()
    assert not TODAY.check_needs_rehash(users["anna"])
    assert TODAY.check_needs_rehash(users["dora"])


def test_another_password_ends_all_logins_at_once(folder: Path, site: str, replica: str) -> None:
    users = add(folder, carl="the first password")
    with client(site, "192.0.2.2") as browser:
        enter(browser, "carl", "the first password")
        cookies = {SESSION: browser.cookies[SESSION]}
        assert inside(browser)
        add(folder, carl="another password")
        assert not inside(browser)
        assert httpx.get(f"{replica}/api/visitor", cookies=cookies).status_code == 401
        enter(browser, "carl", "another password")
        assert inside(browser)
        users.put("carl", None, instead_of=users.hashes()["carl"])
        assert not inside(browser)


@pytest.mark.parametrize("change", ["cut", "name", "nothing", "other"])
def test_a_session_that_was_made_up_is_none(site: str, change: str) -> None:
    with client(site) as browser:
        enter(browser, "ben")
        cookie = browser.cookies[SESSION]
    payload, rest = cookie.split(".", 1)
    made = {"cut": cookie[:-2], "name": f"{payload[::-1]}.{rest}", "nothing": "", "other": "x.y.z"}
    answer = httpx.get(f"{site}/api/visitor", cookies={SESSION: made[change]})
    assert answer.status_code == 401
    assert answer.json()["kind"] == "login"


def test_a_login_takes_over_no_session_that_was_there(site: str) -> None:
    with client(site) as browser:
        enter(browser, "ben")
        first = browser.cookies[SESSION]
        enter(browser, "ben")
        assert browser.cookies[SESSION] != first


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/s/abc?x=1", "/s/abc?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("\\/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("evil.example", "/"),
        ("", "/"),
    ],
)
def test_after_the_login_comes_a_page_of_this_server(site: str, asked: str, given: str) -> None:
    with client(site, "192.0.2.3") as browser:
        page = browser.get("/login", params={"next": asked})
        assert f'name="next" value="{given}"' in page.text
        assert enter(browser, next=asked).headers["location"] == given


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://sub.127.0.0.1"},
    ],
)
def test_a_form_of_another_site_logs_nobody_in_or_out(
    site: str, headers: Mapping[str, str]
) -> None:
    with client(site, "192.0.2.4") as browser:
        answer = browser.post(
            "/login", data={"name": "anna", "password": PASSWORDS["anna"]}, headers=headers
        )
        assert answer.status_code == 403
        assert "another site" in problem(answer)
        enter(browser)
        assert browser.post("/logout", headers=headers).status_code == 403
        assert inside(browser)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://playground.example"},  # where a proxy hands on another Host
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"origin": "https://team.example", "x-forwarded-host": "team.example"},
    ],
)
def test_a_form_of_its_own_is_taken(site: str, headers: Mapping[str, str]) -> None:
    with client(site, "192.0.2.4") as browser:
        fields = {"name": "anna", "password": PASSWORDS["anna"]}
        assert browser.post("/login", data=fields, headers=headers).status_code == 303


# Wrong passwords


def test_twenty_wrong_passwords_are_throttled(site: str) -> None:
    with client(site, "198.51.100.1") as browser:
        answers = [enter(browser, "dora", f"guess number {i}") for i in range(20)]
        codes = [answer.status_code for answer in answers]
        assert codes == [401] * LOGIN_TRIES + [429] * (20 - LOGIN_TRIES)
        last = answers[-1]
        assert 200 < int(last.headers["retry-after"]) <= 300
        assert problem(last) == "Too many tries to log in. Try again in 5 minutes."
        assert 'value="dora"' in last.text, "the name stays"
        assert enter(browser, "dora").status_code == 429, "nor does the right one help"


def test_who_was_there_before_is_not_locked_out_by_others(site: str) -> None:
    with client(site, "198.51.100.2") as home:
        enter(home, "emil")
        home.post("/logout")
        for i in range(LOGIN_TRIES + 1):
            with client(site, f"203.0.113.{i}") as other:
                last = enter(other, "emil", "a guess")
        assert last.status_code == 429, "one name from many addresses"
        with client(site, "198.51.100.3") as new:
            assert enter(new, "emil").status_code == 429
        assert enter(home, "emil", "a slip").status_code == 401
        assert enter(home, "emil").status_code == 303


def test_a_wrong_name_and_a_wrong_password_read_alike(site: str) -> None:
    with client(site, "198.51.100.4") as browser:
        known, unknown, odd = (
            enter(browser, name, "some password") for name in ("ben", "eve", "<b>eve")
        )
    words = "This name and this password do not belong together."
    for name, answer in (("ben", known), ("eve", unknown), ("&lt;b&gt;eve", odd)):
        assert answer.status_code == 401
        assert problem(answer) == words
        assert answer.text.replace(f'value="{name}"', "") == known.text.replace('value="ben"', "")
    names = [set(each.headers) - {"set-cookie"} for each in (known, unknown, odd)]
    assert names[0] == names[1] == names[2]


def test_a_form_that_is_too_large_is_no_login(site: str) -> None:
    with client(site, "198.51.100.5") as browser:
        assert enter(browser, "anna", "x" * 100_000).status_code == 401


@pytest.mark.parametrize("head", ["GET /livez HTTP/1.1\r\n", CHUNKED])
def test_headers_without_an_end_are_not_read_to_their_end(site: str, head: str) -> None:
    """Neither those of a request nor those behind its body."""
    url = httpx.URL(site)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(f"{head}host: {url.host}\r\nx: ".encode())
        with pytest.raises(ConnectionError):
            connection.sendall(b"x" * 64_000_000)
    assert httpx.get(f"{site}/livez", headers={"x": "x" * 60_000}).status_code == 200


@pytest.mark.parametrize("framing", ["content-length: {size}", "transfer-encoding: chunked"])
@pytest.mark.parametrize("request_line", ["POST /api/render", "GET /livez"])
def test_the_body_of_a_request_for_an_upgrade_is_no_request(
    site: str, request_line: str, framing: str
) -> None:
    """Behind a proxy, its answer would be another reader's."""
    url = httpx.URL(site)
    hidden = f"GET /livez HTTP/1.1\r\nhost: {url.host}\r\n\r\n"
    head = (
        f"{request_line} HTTP/1.1\r\nhost: {url.host}\r\nconnection: Upgrade\r\n"
        f"upgrade: h2c\r\n{framing.format(size=len(hidden))}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(head.encode())
        came = connection.recv(65_536)
        with suppress(ConnectionError):
            connection.sendall(hidden.encode())
            while part := connection.recv(65_536):
                came += part
    assert came.count(b"HTTP/1.1 ") == 1, came


def test_a_request_for_an_upgrade_is_told_why_its_body_is_not_read(site: str) -> None:
    headers = [("connection", "HTTP2-Settings"), ("connection", "Upgrade"), ("upgrade", "h2c")]
    answer = httpx.post(f"{site}/api/render", json={"text": "*a*"}, headers=headers)
    assert (answer.status_code, answer.json()["kind"]) == (400, "upgrade")
    answer = httpx.post(f"{site}/api/render", json={"text": "*a*"}, headers=headers[:2])
    assert refused(answer), "it asks for none, as by a proxy that always says it could"
    answer = httpx.get(f"{site}/livez", headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


# What a request says of itself


def test_headers_of_proxies_that_are_not_trusted_say_nothing(replica: str) -> None:
    """Each try names another address, and all of them count for the one that it came from."""
    with httpx.Client(base_url=replica) as browser:
        codes = []
        for i in range(LOGIN_TRIES + 1):
            browser.headers = httpx.Headers(
                {
                    "x-forwarded-for": f"192.0.2.{i}",
                    "x-forwarded-proto": "https",
                    "x-forwarded-host": "evil.example",
                    "x-forwarded-user": "anna",
                    "x-real-ip": f"192.0.2.{i}",
                }
            )
            codes.append(enter(browser, f"nobody{i}", "some password").status_code)
            assert not inside(browser)
        assert codes == [401] * LOGIN_TRIES + [429]
        page = browser.get("/login")
        assert "Secure" not in page.headers.get("set-cookie", "")
        assert "evil.example" not in page.text


def test_a_trusted_proxy_says_where_from_and_how(site: str) -> None:
    with client(site, "203.0.113.7, 198.51.100.77", **{"x-forwarded-proto": "https"}) as browser:
        answer = enter(browser)
    cookies = answer.headers.get_list("set-cookie")
    assert cookies
    assert all("; Secure" in cookie for cookie in cookies)
    answer = httpx.get(f"{site}/login", headers={"host": "playground.example"})
    assert "; Secure" in answer.headers["set-cookie"], "its public address is one of https"


def test_of_several_addresses_the_last_that_is_no_proxys_counts(site: str) -> None:
    """What stands before it may be made up, so that it changes nothing."""
    codes = []
    for i in range(LOGIN_TRIES + 1):
        with client(site, f"10.0.0.{i}, 198.51.100.66, {PROXY}") as browser:
            codes.append(enter(browser, f"nobody{i}", "some password").status_code)
    assert codes == [401] * LOGIN_TRIES + [429]


# What belongs to whom


def test_nobody_sees_or_withdraws_the_links_of_another(site: str) -> None:
    with client(site, "192.0.2.8") as anna, client(site, "192.0.2.9") as ben:
        enter(anna)
        enter(ben, "ben")
        made = anna.post("/api/shares", json={"record": RECORD})
        assert made.status_code == 201, made.text
        token = made.json()["token"]
        assert [each["token"] for each in anna.get("/api/shares").json()["shares"]] == [token]
        assert ben.get("/api/shares").json()["shares"] == []
        assert ben.delete(f"/api/shares/{token}").status_code == 404
        assert httpx.get(f"{site}/api/shares").status_code == 401
        assert httpx.get(f"{site}/api/shares/{token}").status_code == 200
        assert anna.delete(f"/api/shares/{token}").status_code == 204
