"""A Valkey of the tests' own, from Debian's package, or its Redis where it has no Valkey yet."""

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Final

import pytest
import redis

from tests.postgres import required

_PROGRAM: Final = shutil.which("valkey-server") or shutil.which("redis-server")


class Valkey:
    """A server on a free port, in a folder of its own; nothing outlives its end.

    options: of its command line, such as ``("--maxmemory", "1")``.
    """

    def __init__(self, *options: str) -> None:
        assert _PROGRAM is not None
        self._folder = tempfile.TemporaryDirectory(prefix="playground-valkey-")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._command = [_PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        self._command += ["--dir", self._folder.name, *options]
        self.client = redis.Redis(port=self.port, decode_responses=True)
        self.start()

    def start(self) -> None:
        """Start it, with nothing in it."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        while True:
            assert self._process.poll() is None, "the server did not start"
            try:
                self.client.ping()
                return
            except redis.ConnectionError:
                continue  # not yet

    def stop(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def silent(self) -> None:
        """It holds its connections and says nothing more, until it is `woken`."""
        self._process.send_signal(signal.SIGSTOP)

    def woken(self) -> None:
        """It goes on."""
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it, and leave nothing of it."""
        self.client.close()
        self.stop()
        self._folder.cleanup()


def _there() -> None:
    if _PROGRAM is None:
        if required():
            pytest.fail("Neither Valkey nor Redis is installed, and the run requires one")
        pytest.skip("Neither Valkey nor Redis is installed: counting together was not tested")


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A running server of the test's own; skips or fails it where none is installed."""
    _there()
    running = Valkey()
    yield running
    running.remove()
