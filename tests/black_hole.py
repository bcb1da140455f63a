"""A way to a server that can swallow everything, as that of a computer that sleeps."""

import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class BlackHole:
    """Hands bytes on between its own address and a server's until it is told to keep them.

    url: its own, without a slash at the end. passing: cleared, it keeps what comes from the server.
    """

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.passing = threading.Event()
        self.passing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                reader, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [reader, server]
            threading.Thread(target=self._hand_on, args=(reader, server), daemon=True).start()
            threading.Thread(
                target=self._hand_on, args=(server, reader, self.passing), daemon=True
            ).start()

    def _hand_on(
        self, source: socket.socket, sink: socket.socket, passing: threading.Event | None = None
    ) -> None:
        try:
            while data := source.recv(65536):
                if passing is not None:
                    passing.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.passing.set()
        for each in self._open:
            each.close()
