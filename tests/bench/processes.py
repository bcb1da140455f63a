"""The programs that are measured, each a process of its own, and what Linux says of them."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.clients import Load, Outcome
from tests.servers import ROOT, Server

_MEMORY_EVERY_S = 0.25


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, all threads, to the nanosecond."""
    # The clock of another process, as clock_getcpuclockid(3) of glibc makes it; Python's `time`
    # has the call for threads only.
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@dataclass(frozen=True, slots=True)
class Used:
    """What a process used while it was watched. cpu in seconds, peak in MB."""

    cpu: float
    peak: float


class Watch:
    """Watches a process for the time of a ``with``; `used` says afterwards what it took."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._peak = 0.0
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._cpu = cpu(self._pid)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self.used = Used(cpu(self._pid) - self._cpu, self._peak)

    def _sample(self) -> None:
        while True:
            self._peak = max(self._peak, memory(self._pid))
            if self._over.wait(_MEMORY_EVERY_S):
                return


def upstream() -> Server:
    """The paced TGI."""
    return Server(["-m", "tests.bench.upstream"])


def product(url: str) -> Server:
    """The playground as `playground serve` runs it, in front of a TGI."""
    arguments = ["-m", "playground", "serve", "--port", "0", "--tgi-url", url]
    # All readers come from one address.
    env = {
        "PLAYGROUND_MAX_STREAMS": "400",
        "PLAYGROUND_MAX_STREAMS_PER_USER": "400",
        "PLAYGROUND_MAX_CONNECTIONS_PER_ADDRESS": "2000",
    }
    return Server(arguments, ready="Playground: http", env=env)


def naive(url: str, tokens: int) -> Server:
    """The chat of the documentation in front of a TGI."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return Server(
        ["-m", "tests.bench.naive", str(port), url, str(tokens)],
        ready=r"Running on .*http",
        env={"GRADIO_ANALYTICS_ENABLED": "False"},
    )


def read(load: Load) -> Outcome:
    """Read a load in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.clients", json.dumps(asdict(load))]
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=load.deadline + 30
    )
    return Outcome(**json.loads(done.stdout))


def naive_functions(url: str) -> tuple[int, int]:
    """Which functions of a ChatInterface take the text and answer it, by Gradio's numbers."""
    with urllib.request.urlopen(f"{url}/config") as answer:
        functions = json.load(answer)["dependencies"]
    number = {each["api_name"]: each["id"] for each in reversed(functions)}
    return number["_clear_and_save_textbox"], number["_submit_fn"]
