"""A small Hugging Face Hub on a real port: enough of its API to fetch the files of a repository."""

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """files: content by path. gated: files are refused, the list of them is not.

    break_after: how many bytes of a file are sent before the connection breaks, by path; with
    `stay_broken` every later request for it fails as well, and with `stay_silent` it does not
    break but nothing more comes.
    damage: graphs and models arrive with their last byte changed.
    token: without it the repository is not there for anybody.
    sizes: what is said of a file's size, by path, where that is not its own.
    lies: what is said of each file (rfilename, size, sha256) and of the commit (sha) that is false.
    etag: a file's, in the place of its hash.
    statuses: what a request for a file's content is answered with, by path.
    redirected: files come from another host, as the Hub's do.
    """

    files: Mapping[str, bytes]
    gated: bool = False
    break_after: dict[str, int] = field(default_factory=dict)
    stay_broken: bool = False
    damage: bool = False
    stay_silent: bool = False
    token: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    lies: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    redirected: bool = False


class Hub:
    """Serves repositories.

    requests: method, path and Range header of what came in. tokens: what came in as its token, by
    host. port: 0 takes a free one.
    """

    def __init__(self, repositories: Mapping[str, Repository], port: int = 0) -> None:
        self.repositories = repositories
        self.tokens: list[tuple[str, str | None]] = []
        self._closing = threading.Event()
        self.requests: list[tuple[str, str, str | None]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub._answer(self)

            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        if self.closed:
            return
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fetched(self) -> set[str]:
        """The files whose content was asked for."""
        return {
            path.split("/resolve/", 1)[1].split("/", 1)[1]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        }

    def ranges(self, name: str) -> list[str | None]:
        """The Range headers of the requests for a file's content, in order."""
        return [
            span for method, path, span in self.requests if method == "GET" and path.endswith(name)
        ]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, span = handler.path, handler.headers.get("Range")
        self.requests.append((handler.command, path, span))
        token = handler.headers.get("Authorization")
        self.tokens.append((handler.headers["Host"], token))
        if found := re.fullmatch(r"/api/models/([^/?]+/[^/?]+)(/revision/.+)?(\?.*)?", path):
            return self._list(handler, found[1])
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            return self._file(handler, found[1], found[2], span)
        return _send(handler, 404, b"")

    def _list(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        repository = self.repositories.get(name)
        if repository is None:
            return _send(handler, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if repository.token is not None and token != repository.token:
            return _send(handler, 401, b"{}", {"X-Error-Code": "RepoNotFound"})
        siblings, lies = [], repository.lies
        for file, content in repository.files.items():
            length = lies.get("size", repository.sizes.get(file, len(content)))
            sha256 = lies.get("sha256", _sha256(content))
            large = {"size": length, "sha256": sha256, "pointerSize": 134}
            path = lies.get("rfilename", file)
            siblings.append({"rfilename": path, "size": length, "lfs": large})
        sha = lies.get("sha", SHA)
        about = {"_id": "1", "id": name, "sha": sha, "siblings": siblings, "private": False}
        body = json.dumps(about).encode()
        return _send(handler, 200, body, {"Content-Type": "application/json"})

    def _file(
        self, handler: BaseHTTPRequestHandler, name: str, path: str, span: str | None
    ) -> None:
        repository = self.repositories[name]
        if repository.gated:
            return _send(handler, 403, b"", {"X-Error-Code": "GatedRepo"})
        if handler.command == "GET" and path in repository.statuses:
            return _send(handler, repository.statuses[path], b"")
        if handler.command == "GET" and repository.redirected and "127.0.0.1" in _host(handler):
            there = f"http://localhost:{self.port}{handler.path}"
            return _send(handler, 302, b"", {"Location": there})
        content = repository.files[path]
        headers = {
            "ETag": f'"{repository.etag or _sha256(content)}"',
            "X-Repo-Commit": SHA,
            "Accept-Ranges": "bytes",
        }
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if handler.command == "GET" and path in repository.break_after:
            sent = repository.break_after[path]
            if start >= sent:
                return _send(handler, 503, b"")
            if not repository.stay_broken:
                del repository.break_after[path]
            _head(handler, 206 if start else 200, {**headers, "Content-Length": str(len(content))})
            handler.wfile.write(content[start:sent])
            handler.wfile.flush()
            if repository.stay_silent:
                self._closing.wait()
            handler.close_connection = True
            return None
        if repository.damage and path.endswith((".onnx", ".gguf")):
            content = content[:-1] + bytes([content[-1] ^ 1])
        return _send(handler, 206 if start else 200, content[start:], headers)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _host(handler: BaseHTTPRequestHandler) -> str:
    return str(handler.headers["Host"])


def _head(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
) -> None:
    _head(handler, status, {**(headers or {}), "Content-Length": str(len(body))})
    if handler.command != "HEAD":
        handler.wfile.write(body)
