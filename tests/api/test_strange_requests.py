"""Requests that no browser sends: answered with a status, and no fault of the page's own."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.application import Application
from tests.stock import until


@pytest.fixture(scope="module")
def page() -> Iterator[Application]:
    with Application(ui=True) as application:
        yield application


@pytest.fixture(scope="module")
def closed() -> Iterator[Application]:
    with Application(auth="users") as application:
        yield application


@pytest.mark.parametrize(
    "path",
    [
        "/openapi.json",
        "/pwa_icon/192",
        "/pwa_icon",
        "/manifest.json",
        "/monitoring",
        "/monitoring/summary",
        "/robots.txt",
        "/login/",
        "/config/",
        "/gradio_api/deep_link",
        "/gradio_api/queue/status",
        "/nothing",
    ],
)
def test_what_the_page_does_not_need_of_gradio_is_not_there(page: Application, path: str) -> None:
    assert httpx.get(page.url + path).status_code in (404, 307)
    for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
        assert httpx.request(method, page.url + path).status_code in (404, 405, 307)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("GET", "/gradio_api/info"), ("GET", "/api/no"), ("POST", "/nothing")],
)
def test_what_is_not_there_is_said_in_a_sentence(page: Application, method: str, path: str) -> None:
    answered = httpx.request(method, page.url + path)
    assert answered.status_code in (404, 405)
    assert answered.json()["error"].endswith(".")


@pytest.mark.parametrize("origin", ["http://[", "http://]:1", "[", "null", "http://", "\xff"])
def test_an_origin_that_is_none_is_another_sites(closed: Application, origin: str) -> None:
    headers = [(b"origin", origin.encode("latin-1"))]
    answered = httpx.post(f"{closed.url}/login", data={"name": "a"}, headers=headers)
    assert answered.status_code == 403


@pytest.mark.parametrize("form", [b"&" * 50, b"a=1&" * 17, b"name=%ff%00", b"\xff", b"a" * 9_000])
def test_a_form_that_is_none_logs_nobody_in(closed: Application, form: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert httpx.post(f"{closed.url}/login", content=form, headers=headers).status_code == 401


@pytest.mark.parametrize("host", ["[", "a b", "a/b", "http://x", "x@y", "[::1", "x:y", "\xff"])
def test_a_host_that_is_none_is_refused(page: Application, host: str) -> None:
    for path in ("/", "/api/visitor", "/login", "/metrics"):
        headers = [(b"host", host.encode("latin-1"))]
        assert httpx.get(page.url + path, headers=headers).status_code in (400, 404)


async def test_leaving_in_mid_body_is_no_fault(
    page: Application, caplog: pytest.LogCaptureFixture
) -> None:
    def internal() -> list[str]:
        lines = httpx.get(f"{page.url}/metrics").text.splitlines()
        return [each for each in lines if "internal" in each or 'status="500"' in each]

    def left() -> float:
        lines = httpx.get(f"{page.url}/metrics").text.splitlines()
        return sum(float(each.split()[-1]) for each in lines if 'status="499"' in each)

    before = internal()
    address = (urlsplit(page.url).hostname, urlsplit(page.url).port)
    with caplog.at_level(logging.WARNING):
        for path in ("/api/stream", "/api/tokenize", "/api/shares", "/api/demos"):
            with socket.create_connection(address) as leaving:
                head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99\r\n"
                leaving.sendall(f"{head}content-type: application/json\r\n\r\n{{".encode())

        async def all_left() -> bool:
            return await asyncio.to_thread(left) == 4

        await until(all_left)
    assert internal() == before
    assert not caplog.records
