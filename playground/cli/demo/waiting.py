"""What answers on llama.cpp's port while its model is fetched: 503 with how far that is.

As llama.cpp itself answers while it loads, so that whoever asks sees an engine that is coming, and
no empty port.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from playground.cli.demo.progress import describe
from playground.engines.base import Progress


class Waiting:
    """Answers until the end of its block."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._words = words = [f"{name} is being fetched."]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                error = {"message": words[0], "type": "unavailable_error", "code": 503}
                body = json.dumps({"error": error}).encode()
                self.send_response(503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: health checks would fill the log."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __call__(self, reason: str, progress: Progress | None) -> None:
        """What a fetch reports is what is answered from now on."""
        self._words[0] = reason or (describe(progress) if progress else "")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
