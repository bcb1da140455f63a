"""Caddy and nginx from Debian's packages, with the configurations that come with the stack."""

import functools
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.composition import ROOT
from tests.postgres import required

SERVE = ROOT / "tgi/serve"


def program(name: str) -> str:
    """Where a program is; skips or fails the test where it is not installed."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        if required():
            pytest.fail(f"{name} is not installed, and the run requires it")
        pytest.skip(f"{name} is not installed: it was not tested")
    return path


def free_port() -> int:
    """A free port of 127.0.0.1, below those that the kernel gives to connections.

    One of theirs may be taken before the program that it is for listens there.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A program that listens on a port of 127.0.0.1; its address. What it says is in the folder."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@functools.cache
def request_buffers() -> str:
    """The directive that keeps a request until it is whole: renamed in Caddy 2.6.3."""
    told = subprocess.run([program("caddy"), "version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told.stdout)
    assert found, told.stdout
    old = tuple(map(int, found.groups())) < (2, 6, 3)
    return "buffer_requests" if old else "request_buffers 4MB"


@contextmanager
def caddy(folder: Path, upstreams: Sequence[str], *, file: str = "Caddyfile") -> Iterator[str]:
    """Caddy with one of our Caddyfiles as it is; all that differs comes by its variables."""
    port = free_port()
    env = {
        "SITE_ADDRESS": f"http://127.0.0.1:{port}",
        "LISTEN": f"127.0.0.1:{port}",
        "UPSTREAMS": " ".join(urlsplit(each).netloc for each in upstreams),
        "HEALTH_PORT": str(free_port()),
        "REQUEST_BUFFERS": request_buffers(),
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    command = [program("caddy"), "run", "--config", str(SERVE / file), "--adapter", "caddyfile"]
    with running(command, port, folder, env) as url:
        health = f"http://127.0.0.1:{env['HEALTH_PORT']}/"
        subprocess.run(["curl", "--fail", "--silent", health], check=True)
        yield url


def noticed(folder: Path, seen: int = 0) -> None:
    """Wait until Caddy's health check has seen that an upstream is gone.

    seen: bytes of its log that were there before.

    Newer ones need no waiting for: before 2.11.2 Caddy lost the body of a request that it sent to
    the next upstream after one that refused it.
    """
    deadline = time.monotonic() + 30
    while "health_checker" not in (log := (folder / "log").read_text()[seen:]):
        assert time.monotonic() < deadline, log
        time.sleep(0.05)


@contextmanager
def nginx(folder: Path, upstreams: Sequence[str], *, fast: bool = False) -> Iterator[str]:
    """nginx with our part of its configuration; where it listens and asks is rewritten.

    fast: whether a request must come within a second, instead of the times that are set.
    """
    port = free_port()
    ours = (SERVE / "nginx.conf").read_text()
    if fast:
        ours, count = re.subn(r"(client_(?:header|body)_timeout) \d+s;", r"\1 1s;", ours)
        assert count == 2
    server = re.search(r"^    server 127\.0\.0\.1:7860(.*;)$", ours, re.MULTILINE)
    assert server
    servers = [f"    server {urlsplit(each).netloc}{server[1]}" for each in upstreams]
    ours = ours.replace(server[0], "\n".join(servers))
    ours, count = re.subn(
        r"^    listen 80;$", f"    listen 127.0.0.1:{port};", ours, flags=re.MULTILINE
    )
    assert count == 1
    (folder / "playground.conf").write_text(ours)
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log stderr warn;\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + "events {}\nhttp {\n    access_log off;\n"
        + temporary
        + f"    include {folder}/playground.conf;\n}}\n"
    )
    command = [
        program("nginx"),
        "-p",
        str(folder),
        "-e",
        "stderr",
        "-c",
        str(folder / "nginx.conf"),
    ]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    with running(command, port, folder) as url:
        yield url


PROXIES: Mapping[str, Callable[[Path, Sequence[str]], AbstractContextManager[str]]] = {
    "caddy": caddy,
    "nginx": nginx,
}
