"""The project's own programs as real processes on real ports."""

import atexit
import functools
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent
URL = re.compile(r"https?://[\w.\-]+:\d+")


class Server:
    """A running ``python -m …`` that has said where it listens.

    arguments: what follows ``python``, such as ``["-m", "tests.stand_in", "--port", "0"]``.
    ready: a regular expression; the first line of output that it is found in ends the wait.
    url: the first address in that line, "" when it names none.
    group: whether it is the first of a process group of its own, as in a terminal.
    Output of both streams is kept in ``lines``; it is part of the message when the start fails.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        ready: str = r"listening on http",
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        timeout: float = 60.0,
        group: bool = False,
    ) -> None:
        self.lines: list[str] = []
        self.url = ""
        self._ready = re.compile(ready)
        self._changed = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=cwd,
            env={**environment(), **(env or {})},
            process_group=0 if group else None,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            line = self.wait_for(self._ready.pattern, timeout)
        except BaseException:
            self.kill()
            raise
        if found := URL.search(line):
            self.url = found.group()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """All that the process has written so far, both streams."""
        with self._changed:
            return "\n".join(self.lines)

    def wait_for(self, pattern: str, timeout: float = 30.0) -> str:
        """The first line of output that the pattern is found in, past lines included.

        Raises AssertionError with the whole output when the process ends or the time is up first.
        """
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if re.search(pattern, line):
                        return line
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = "the process ended" if self._closed else f"{timeout:g} s passed"
                    text = "\n".join(self.lines)
                    raise AssertionError(f"{why} without a line like {pattern!r}:\n{text}")
                self._changed.wait(left)

    def signal(self, number: int) -> None:
        """Send a signal and do not wait."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end and give the exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def terminate(self, timeout: float = 30.0) -> int:
        """SIGTERM, wait, give the exit code; SIGKILL when it does not obey in time."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()


def environment() -> dict[str, str]:
    """The environment that the project's programs are tested in: each has data of its own."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PLAYGROUND_DATA_DIR": data_dir()}


def data_dir() -> str:
    """A folder for a playground's data, not there yet, and gone when the tests are over."""
    return str(Path(_data().name) / secrets.token_hex(8))


@functools.cache
def _data() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="playground-data-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder


def stand_in(*arguments: str, env: Mapping[str, str] | None = None) -> Server:
    """A server of our own with the stand-in, on a free port, warm; stock TGI without options."""
    return Server(["-m", "tests.stand_in", "--port", "0", *arguments], env=env)
