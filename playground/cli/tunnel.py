"""A temporary public address by Gradio's tunnel: a program of theirs beside the page.

It is fetched once, from where Gradio keeps it, and asks one of their servers for an address. All of
this happens beside the page, which waits for none of it and goes on without it.
"""

import hashlib
import os
import re
import secrets
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import httpx

from playground.auth.hosts import Tunnel
from playground.ui.gradio import networking, tunneling

_TIMEOUT: Final = httpx.Timeout(10.0)
# What the program says when it is through; the address is what follows.
_OPEN: Final = re.compile(r"start proxy success: (https?://\S+)")
_REFUSED: Final = "login to server failed"


class TunnelError(Exception):
    """Why there is no public address, and what can be done about it."""


class PublicAddress:
    """A temporary public address, opened and watched beside the page.

    Args:
        tunnel: Where the address is told, and the port that it leads to.
        say: Called with a line for whoever started this, when it is open, and when it could not be
            opened or broke.
        deadline_s: Seconds from the start of the program until its address is known.
    """

    def __init__(
        self, tunnel: Tunnel, say: Callable[[str], None], *, deadline_s: float = 30.0
    ) -> None:
        self._tunnel = tunnel
        self._say = say
        self._deadline_s = deadline_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def open(self) -> None:
        """Begin to open it, without waiting for it."""
        self._say("Public address: asking for one; the page does not wait for it.")
        threading.Thread(target=self._run, daemon=True, name="tunnel").start()

    def close(self) -> None:
        """End it, if it was opened."""
        self._closing.set()
        with self._lock:
            process = self._process
        if process is not None:
            _end(process)

    def _run(self) -> None:
        with TemporaryDirectory(prefix="playground-tunnel-", ignore_cleanup_errors=True) as folder:
            try:
                self._tunnel.url = self._opened(Path(folder))
                self._say(
                    f"Public address: {self._tunnel.url}/ (for at most a week, and while this runs)"
                )
                assert self._process is not None
                code = self._process.wait()
                why = f"its program ended with status {code}. Start the playground again"
            except TunnelError as error:
                why = str(error)
            self._tunnel.url = None
            if not self._closing.is_set():
                self._say(f"No public address: {why}. Here the page goes on as it is.")

    def _opened(self, folder: Path) -> str:
        """The address, when the program has one. Raises TunnelError."""
        program = _program()
        server, certificate = _server(folder)
        command = [str(program), "http", "-n", secrets.token_urlsafe(32)]
        command += ["-i", "127.0.0.1", "-l", str(self._tunnel.port), "--uc", "--ue"]
        command += ["--sd", "random", "--server_addr", server, "--disable_log_color"]
        if certificate is not None:
            command += ["--tls_enable", "--tls_trusted_ca_file", str(certificate)]
        with self._lock:
            if self._closing.is_set():
                raise TunnelError("the playground is ending")
            try:
                self._process = process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
                )
            except OSError as error:
                raise TunnelError(
                    f"{program} cannot be run ({error.strerror}). Delete it, and it is fetched "
                    "again; HF_HOME names another place for it"
                ) from error
        return _address(process, self._deadline_s)


def _program() -> Path:
    """Gradio's program, fetched and checked when it is not there yet. Raises TunnelError."""
    path = Path(tunneling.BINARY_PATH)
    if path.exists():
        return path
    url = tunneling.BINARY_URL
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        answer = httpx.get(url, timeout=_TIMEOUT, follow_redirects=True)
        answer.raise_for_status()
        found = hashlib.sha256(answer.content).hexdigest()
        if found != tunneling.CHECKSUMS.get(url):
            raise TunnelError(
                f"what {urlsplit(url).hostname} gives for the tunnel's program has another "
                "checksum than Gradio knows, so it was not kept. Try again, from another network"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(answer.content)
        draft.chmod(0o700)
        os.replace(draft, path)
    except httpx.HTTPError as error:
        raise TunnelError(
            f"the tunnel's program cannot be fetched from {urlsplit(url).hostname} "
            f"({_cause(error)}). Check the network, or put it at {path}"
        ) from error
    except OSError as error:
        raise TunnelError(
            f"the tunnel's program cannot be kept in {path.parent} ({error.strerror}). Set HF_HOME "
            "to a folder that can be written to"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def _server(folder: Path) -> tuple[str, Path | None]:
    """The server that lends the address, and its certificate. Raises TunnelError.

    GRADIO_SHARE_SERVER_ADDRESS names one of your own.
    """
    if networking.GRADIO_SHARE_SERVER_ADDRESS:
        return networking.GRADIO_SHARE_SERVER_ADDRESS, None
    asked = networking.GRADIO_API_SERVER
    try:
        answer = httpx.get(asked, timeout=_TIMEOUT, follow_redirects=True)
        answer.raise_for_status()
        given = answer.json()[0]
        certificate = folder / "certificate.pem"
        certificate.write_text(given["root_ca"])
        return f"{given['host']}:{int(given['port'])}", certificate
    except httpx.HTTPError as error:
        raise TunnelError(
            f"Gradio's server {urlsplit(asked).hostname} does not lend one ({_cause(error)}). "
            "Check the network, or try again later"
        ) from error
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise TunnelError(
            f"what Gradio's server {urlsplit(asked).hostname} answers cannot be used "
            f"({type(error).__name__}). Try again later"
        ) from error


def _address(process: "subprocess.Popen[bytes]", deadline_s: float) -> str:
    """The address that the program names; what it writes later is read and dropped."""
    found: list[str] = []
    known = threading.Event()
    said: deque[str] = deque(maxlen=3)

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").strip()
                said.append(text)
                if match := _OPEN.search(text):
                    found.append(match.group(1).rstrip("/"))
                    known.set()
                elif _REFUSED in text:
                    known.set()
        known.set()

    threading.Thread(target=read, daemon=True, name="tunnel's words").start()
    begun = time.monotonic()
    known.wait(deadline_s)
    if found:
        return found[0]
    _end(process)
    late = time.monotonic() - begun >= deadline_s
    why = f"its program named none within {deadline_s:g} s" if late else "its program gave up"
    words = f" and said: {said[-1]}" if said else ""
    raise TunnelError(f"{why}{words}. Check that this network lets it out, or try again later")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cause(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    return str(error) or type(error).__name__
