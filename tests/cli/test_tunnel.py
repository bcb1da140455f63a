"""The public tunnel: how it fails here, and how it opens with stand-ins for Gradio's servers and
program on loopback. That Gradio's own give an address can only be seen where the network is.
"""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.auth.hosts import Tunnel
from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from playground.cli.main import main
from playground.cli.tunnel import PublicAddress
from playground.ui.gradio import networking, tunneling
from tests.servers import Server

HOST = "stand-in.tunnel.example"
CERTIFICATE = "the certificate of a stand-in"
NO_NETWORK = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")

# Stands for Gradio's program: its public end is a port of this machine, which it writes beside
# itself with its process and its arguments.
RELAY = f"""#!{sys.executable}
import json, os, socket, sys, threading
at = sys.argv.index
target = (sys.argv[at("-i") + 1], int(sys.argv[at("-l") + 1]))
public = socket.create_server(("127.0.0.1", 0))

def copy(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)

certificate = None
if "--tls_trusted_ca_file" in sys.argv:
    with open(sys.argv[at("--tls_trusted_ca_file") + 1]) as file:
        certificate = file.read()
with open(__file__ + ".json.new", "w") as file:
    port, pid = public.getsockname()[1], os.getpid()
    server = sys.argv[at("--server_addr") + 1]
    json.dump({{"port": port, "pid": pid, "server": server, "certificate": certificate}}, file)
os.replace(__file__ + ".json.new", __file__ + ".json")
print("2026/01/01 00:00:00 [I] [client/control.go] start proxy success: https://{HOST}", flush=True)
while True:
    visitor, _ = public.accept()
    inner = socket.create_connection(target)
    for pair in ((visitor, inner), (inner, visitor)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


def program(folder: Path, text: str) -> Path:
    """An executable where Gradio looks for its own when HF_HOME is this folder."""
    path = folder / "gradio" / "frpc" / str(tunneling.BINARY_FILENAME)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o700)
    return path


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serve(folder: Path, *arguments: str, **env: str) -> Server:
    return Server(
        ["-m", "playground", "serve", "--port", "0", "--tgi-url", "http://127.0.0.1:9", *arguments],
        ready="^Playground: http",
        env={**NO_NETWORK, "HF_HOME": str(folder), **env},
    )


# The command line


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_needs_a_login_or_a_word(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--port", "0", "--tunnel"]) == 2
    said = capsys.readouterr().err
    assert "the tunnel's public address" in said
    for way in ("PLAYGROUND_AUTH=users", "leave the tunnel out", "--open"):
        assert way in said


def test_without_a_network_the_page_goes_on_and_says_why(tmp_path: Path) -> None:
    with serve(tmp_path, "--tunnel", "--open") as server:
        said = server.wait_for("^No public address: ")
        assert "cannot be fetched from cdn-media.huggingface.co (" in said
        assert "Check the network" in said
        assert httpx.get(f"{server.url}/", timeout=60).status_code == 200
        assert "Traceback" not in server.output
        assert server.terminate() == 0


def test_what_comes_through_the_tunnel_is_the_public(tmp_path: Path) -> None:
    relay = program(tmp_path, RELAY)
    data = tmp_path / "data"
    UsersFile(data / "users").put("anna", Passwords().hashed("a password"), instead_of=None)
    settings = {
        "PLAYGROUND_AUTH": "users",
        "PLAYGROUND_TUNNEL": "true",
        "PLAYGROUND_DATA_DIR": str(data),
        "PLAYGROUND_TRUSTED_PROXIES": "127.0.0.1",
        "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:7000",
    }
    with serve(tmp_path, **settings) as server:
        server.wait_for(f"^Public address: https://{HOST}/ ")
        about = json.loads(relay.with_name(f"{relay.name}.json").read_text())
        assert (about["server"], about["certificate"]) == ("127.0.0.1:7000", None)
        with httpx.Client(base_url=f"http://127.0.0.1:{about['port']}", timeout=60) as far:
            assert far.get("/livez").status_code == 421, "its name alone leads here"
            far.headers["host"] = HOST
            far.headers["x-forwarded-for"] = "127.0.0.1"
            assert far.get("/").headers["location"] == "/login"
            answer = far.get("/metrics")
            assert answer.status_code != 200, "not for the public, wherever it seems to be from"
            fields = {"name": "anna", "password": "a password"}
            cookies = far.post("/login", data=fields).headers.get_list("set-cookie")
            session = next(each for each in cookies if each.startswith("playground_session"))
            assert "; Secure" in session
            far.headers["cookie"] = session.partition(";")[0]
            assert "main.js" in far.get("/").text
            for i in range(10):
                answer = far.post(
                    "/login",
                    data={"name": f"nobody{i}", "password": "x"},
                    headers={"x-forwarded-for": f"192.0.2.{i}"},
                )
                assert answer.status_code == 401
            answer = far.post("/login", data=fields, headers={"x-forwarded-for": "192.0.2.99"})
            assert answer.status_code == 429, "what the public says of its address is not believed"
        near = httpx.get(f"{server.url}/metrics")
        assert near.status_code == 200
        assert httpx.get(f"{server.url}/livez", headers={"host": HOST}).status_code in (200, 421)
        assert httpx.get(f"{server.url}/", headers={"host": HOST}).status_code == 421
        assert server.terminate() == 0
        until(lambda: gone(about["pid"]))


# Gradio's servers, by stand-ins


class Lines(list[str]):
    """What was said, and a wait for it."""

    def wait_for(self, start: str) -> str:
        until(lambda: any(line.startswith(start) for line in list(self)))
        return next(line for line in self if line.startswith(start))


@contextmanager
def standing_in(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """Gradio's servers: the answers by their paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


LENT = [{"host": "127.0.0.1", "port": 7000, "root_ca": CERTIFICATE}]


@contextmanager
def asked(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *,
    text: str = RELAY,
    checksum: str | None = None,
    lent: tuple[int, bytes] = (200, json.dumps(LENT).encode()),
    fetched: bool = False,
) -> Iterator[tuple[Lines, Tunnel, PublicAddress]]:
    """A tunnel that is being opened. text: the program, which lies there when it was fetched."""
    binary = text.encode()
    path = program(folder, text) if fetched else folder / "frpc"
    with standing_in({"/frpc": (200, binary), "/lend": lent}) as url:
        monkeypatch.setattr(tunneling, "BINARY_PATH", str(path))
        monkeypatch.setattr(tunneling, "BINARY_URL", f"{url}/frpc")
        sums = {f"{url}/frpc": checksum or hashlib.sha256(binary).hexdigest()}
        monkeypatch.setattr(tunneling, "CHECKSUMS", sums)
        monkeypatch.setattr(networking, "GRADIO_API_SERVER", f"{url}/lend")
        monkeypatch.setattr(networking, "GRADIO_SHARE_SERVER_ADDRESS", None)
        said, tunnel = Lines(), Tunnel(9)
        address = PublicAddress(tunnel, said.append, deadline_s=1.0)
        address.open()
        try:
            yield said, tunnel, address
        finally:
            address.close()


def test_the_program_is_fetched_checked_and_asks_for_an_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with asked(monkeypatch, tmp_path) as (said, tunnel, address):
        said.wait_for(f"Public address: https://{HOST}/ ")
        assert tunnel.url == f"https://{HOST}"
        about = json.loads((tmp_path / "frpc.json").read_text())
        assert (about["server"], about["certificate"]) == ("127.0.0.1:7000", CERTIFICATE)
        address.close()
        assert gone(about["pid"])
        until(lambda: tunnel.url is None)
        assert sorted(os.listdir(tmp_path)) == ["frpc", "frpc.json"]
    assert not any(line.startswith("No public address") for line in said), "it was ended by us"


def test_a_program_that_ends_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with asked(monkeypatch, tmp_path) as (said, tunnel, _):
        said.wait_for("Public address: https")
        os.kill(json.loads((tmp_path / "frpc.json").read_text())["pid"], 9)
        assert "its program ended" in said.wait_for("No public address")
        assert tunnel.url is None


def test_a_program_with_another_checksum_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with asked(monkeypatch, tmp_path, checksum="0" * 64) as (said, *_):
        assert "another checksum" in said.wait_for("No public address")
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("lent", "words"),
    [
        ((503, b""), "it answers 503"),
        ((200, b"<html>"), "cannot be used (JSONDecodeError)"),
        ((200, b"[]"), "cannot be used (IndexError)"),
    ],
)
def test_a_server_that_lends_none_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lent: tuple[int, bytes], words: str
) -> None:
    with asked(monkeypatch, tmp_path, lent=lent) as (said, *_):
        assert words in said.wait_for("No public address")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\necho dial: login to server failed: EOF; exec sleep 60", "server failed: EOF"),
        ("#!/bin/sh\necho i/o timeout >&2; exit 1", "gave up and said: i/o timeout"),
        ("#!/bin/sh\nexec sleep 60", "named none within 1 s"),
        ("#!/nowhere", "cannot be run (No such file or directory)"),
    ],
)
def test_a_program_that_fails_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str
) -> None:
    with asked(monkeypatch, tmp_path, text=text, fetched=True) as (said, tunnel, _):
        assert words in said.wait_for("No public address")
        assert tunnel.url is None
