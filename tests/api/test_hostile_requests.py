"""Every route, asked by one who means no good: malformed bodies, paths to files, other origins."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.application import Application

MALFORMED = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b"null",
    b"{}{}",
    b'{"messages": NaN}',
    b'{"messages": 1e999}',
    b"{'messages': []}",
    b'{"a":' * 2_000,
    b"[" * 100_000,
    b'{"text": "\\ud800"}',
    b"\xff\xfe{\x00}\x00",
    b'\xef\xbb\xbf{"text": "x"}',
    b'{"text": "x", "text": 3, "\\u0000": 1}',
]


@pytest.fixture(scope="module")
def site() -> Iterator[Application]:
    with Application(ui=True) as application:
        yield application


def test_malformed_json_is_refused_by_every_route_that_takes_a_body(site: Application) -> None:
    """In words, with a status that says whose fault it is, and nothing is left over by it."""
    document = httpx.get(f"{site.url}/api/openapi.json", timeout=60).json()
    routes = [
        (method.upper(), path.format_map({"token": "t", "number": "n", "pane": "0"}))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]
    assert len(routes) > 12
    with httpx.Client(base_url=site.url, timeout=60) as client:
        for method, path in routes:
            for body in MALFORMED:
                for content_type in ("application/json", "application/json; charset=utf-16"):
                    answered = client.request(
                        method, path, content=body, headers={"content-type": content_type}
                    )
                    # 404: of a demo that is not there.
                    assert answered.status_code in (400, 404, 413, 415, 422, 429), (path, body)
                    assert answered.json()["error"]
        assert client.get("/api/shares").json() == {"shares": []}
        assert client.get("/api/demos").json() == {"demos": []}
    assert site.app.state.admission.writing == 0


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/ui/../../../../../etc/passwd",
        "/ui/{version}/../../page.py",
        "/ui/{version}/%2e%2e/%2e%2e/page.py",
        "/ui/{version}/..%2f..%2fpage.py",
        "/ui/{version}/..%5c..%5cpage.py",
        "/ui/{version}//etc/passwd",
        "/ui/{version}/main.js%00.css",
        "/ui/{version}/",
        "/static/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd",
        "/theme.css/../../etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:9/",
        "/proxy=http://127.0.0.1:9/",
        "/gradio_api/stream/x/y/z/playlist.m3u8",
        "/gradio_api/upload",
        "/gradio_api/component_server",
        "/custom_component/x/component/../../../etc/passwd",
        "/svelte/..%2f..%2f..%2fetc/passwd",
        "http://127.0.0.1:9/proxied",
        "//127.0.0.1:9/api/presets",
        "/%",
        "/\x80",
    ],
)
def test_no_path_leads_to_a_file_or_another_server(site: Application, path: str) -> None:
    """As it is written: clients would tidy such paths before they send them."""
    page = httpx.get(f"{site.url}/", timeout=60).text
    version = page.partition("/ui/")[2].partition("/")[0]
    address = urlsplit(site.url)
    for method in ("GET", "POST"):
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        connection.putrequest(method, "/", skip_accept_encoding=True)
        first = f"{method} {path.format(version=version)} HTTP/1.1".encode("latin-1")
        connection._buffer[0] = first  # type: ignore[attr-defined]
        connection.putheader("content-length", "0")
        connection.endheaders()
        answered = connection.getresponse()
        body = answered.read()
        connection.close()
        assert answered.status in (307, 400, 403, 404, 405), body[:200]
        assert b"root:" not in body
        assert b"import " not in body


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"]
)
def test_no_other_origin_may_read_an_answer(site: Application, origin: str) -> None:
    asking = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    for path in ("/api/stream", "/api/shares", "/api/presets/import", "/", "/login"):
        for method in ("OPTIONS", "GET", "POST"):
            answered = httpx.request(method, site.url + path, headers=asking, timeout=60)
            told = {name for name in answered.headers if name.startswith("access-control-allow-")}
            assert told <= {"access-control-allow-methods", "access-control-allow-headers"}
            assert method != "OPTIONS" or not answered.is_success
    # What a form of another site can send is no JSON.
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"origin": origin, "content-type": content_type}
        answered = httpx.post(f"{site.url}/api/shares", content=b"{}", headers=headers, timeout=60)
        assert answered.status_code == 415
