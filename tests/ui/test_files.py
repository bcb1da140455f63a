"""The browser's files over HTTP: compressed, and kept for good."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from playground.ui.files import Files, coding_of
from playground.ui.page import STATIC, static_version
from tests.application import Application

FILE = "styles/page.css"


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """Where the files lie."""
    with Application() as application:
        yield f"{application.url}/ui/{static_version()}"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, BR;q=0.1", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.000,gzip ; q=0.5", "gzip"),
        ("identity", ""),
        ("", ""),
        ("deflate", ""),
    ],
)
def test_a_file_comes_in_the_shortest_coding_that_is_taken(
    files: str, accepted: str, coding: str
) -> None:
    answer = httpx.get(f"{files}/{FILE}", headers={"accept-encoding": accepted})
    assert coding_of(accepted) == coding
    assert answer.headers.get("content-encoding", "") == coding
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == (STATIC / FILE).read_bytes()
    sent, whole = int(answer.headers["content-length"]), len(answer.content)
    assert sent < whole / 3 if coding else sent == whole


def test_what_is_no_text_or_very_long_comes_as_it_is(tmp_path: Path) -> None:
    """Of a file that is not there nothing is kept, either."""
    (tmp_path / "long.js").write_bytes(b"a" * 1_000_001)
    (tmp_path / "image.png").write_bytes(b"a" * 100)
    client = TestClient(Files(tmp_path), headers={"accept-encoding": "br"})
    for name in ("long.js", "image.png"):
        assert "content-encoding" not in client.get(name).headers
        assert "immutable" in client.get(name).headers["cache-control"]
    with pytest.raises(Exception, match="404"):
        client.get("nothing.js")


def test_a_file_that_somebody_has_is_not_sent_again(files: str) -> None:
    first = httpx.get(f"{files}/{FILE}")
    since = {"if-modified-since": first.headers["last-modified"]}
    assert httpx.get(f"{files}/{FILE}", headers=since).status_code == 304
    head = httpx.head(f"{files}/{FILE}")
    assert head.status_code == 200
    assert head.headers["content-length"] == first.headers["content-length"]
    assert not head.content
