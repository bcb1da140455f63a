"""One large file over HTTP: it goes on at the byte where it broke off, and its hash is checked.

`hf_hub_download` does neither: it writes to a file with a name of its own at each call, which it
removes when it fails, and compares no hash. So huggingface_hub gives the address and the token
here, and httpx the bytes.
"""

import hashlib
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from huggingface_hub import constants, hf_hub_url
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

from playground.cli.demo.errors import DownloadBroken, ModelError
from playground.cli.demo.model import Report
from playground.domain.amounts import size as in_words
from playground.engines.base import Progress

_LONGEST_PAUSE_S: Final = 60.0
_REPORTED_EVERY_S: Final = 0.5
# Seconds over which the rate is taken.
_WINDOW_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, as the Hub describes it.

    Attributes:
        revision: The commit.
        size: In bytes.
    """

    repository: str
    revision: str
    name: str
    size: int
    sha256: str

    def arrived(self, folder: Path) -> int:
        """How many bytes of it are in a folder of the cache."""
        for path in (folder / self.sha256, self.part(folder)):
            if path.exists():
                return path.stat().st_size
        return 0

    def part(self, folder: Path) -> Path:
        """Where it is while it is not whole."""
        return folder / f"{self.sha256}.part"


class _Meter:
    """How far a download is, and how fast it comes."""

    def __init__(self, file: HubFile, done: int) -> None:
        self._what = f"Downloading {file.name}"
        self._total = file.size
        self._marks = [(time.monotonic(), done)]

    def due(self) -> bool:
        return time.monotonic() - self._marks[-1][0] >= _REPORTED_EVERY_S

    def progress(self, done: int) -> Progress:
        now = time.monotonic()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > _WINDOW_S:
            self._marks.pop(0)
        began, before = self._marks[0]
        rate = (done - before) / (now - began) if now > began else 0.0
        left = (self._total - done) / rate if rate else None
        return Progress(self._what, done, self._total, rate, left)


def download(file: HubFile, folder: Path, report: Report, stopped: threading.Event) -> None:
    """Fetch a file into a folder under its hash, going on where an earlier attempt ended.

    What may pass is waited for, for as long as it takes: a connection that breaks, a Hub that is
    away, slow or overloaded.

    Raises:
        DownloadBroken: It was stopped.
        ModelError: The Hub does not give it, or gave another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, part = folder / file.sha256, file.part(folder)
    failures, pause = 0, 0.0
    while not whole.exists():
        if stopped.wait(pause):
            raise DownloadBroken(f"Fetching {file.name} was stopped; what is here is kept.")
        before = file.arrived(folder)
        try:
            with WeakFileLock(folder / f"{file.sha256}.lock", timeout=1):
                if not whole.exists():
                    _go_on(file, part, report, stopped)
                    if stopped.is_set():
                        continue
                    report(f"Checking {file.name} by its hash.", None)
                    _check(file, part)
                    part.replace(whole)
        except TimeoutError:
            why = f"Another program is fetching {file.name}."
        except DownloadBroken as broken:
            why = str(broken)
        except OSError as error:
            raise ModelError(
                f"{file.name} cannot be written to {folder}: {error.strerror}. Make room or give "
                "the right to write there, or set HF_HOME to another folder, and start again."
            ) from error
        else:
            return
        failures = 1 if file.arrived(folder) > before else failures + 1
        pause = min(_LONGEST_PAUSE_S, 2.0 ** (failures - 1))
        done = file.arrived(folder)
        report(
            f"{why} {in_words(done)} of {in_words(file.size)} are here; it goes on from there in "
            f"{pause:.0f} s.",
            Progress(f"Downloading {file.name}", done, file.size),
        )


def _go_on(file: HubFile, part: Path, report: Report, stopped: threading.Event) -> None:
    """Fetch what is missing of a file."""
    if (arrived := part.stat().st_size if part.exists() else 0) >= file.size:
        return
    url = hf_hub_url(file.repository, file.name, revision=file.revision)
    headers = {**build_hf_headers(), "accept-encoding": "identity"}
    if arrived:
        headers["range"] = f"bytes={arrived}-"
    patience = constants.HF_HUB_DOWNLOAD_TIMEOUT
    try:
        # A redirect to another host is followed without the token.
        with (
            httpx.Client(follow_redirects=True, timeout=patience) as client,
            client.stream("GET", url, headers=headers) as response,
            part.open("ab") as out,
        ):
            if not _goes_on(file, response, arrived):
                out.truncate(0)
            if response.status_code == 416:
                raise DownloadBroken(
                    f"The Hub says that {file.name} ends before the {in_words(arrived)} that were "
                    "here (416); it is fetched anew."
                )
            done = out.seek(0, os.SEEK_END)
            meter = _Meter(file, done)
            report("", meter.progress(done))
            for piece in response.iter_raw():
                out.write(piece)
                done += len(piece)
                if meter.due():
                    report("", meter.progress(done))
                if stopped.is_set():
                    return
                if done > file.size:  # another file, as its hash will show
                    break
            report("", meter.progress(done))
    except httpx.TimeoutException as error:
        raise DownloadBroken(f"The Hub sent nothing for {patience:g} s.") from error
    except httpx.HTTPError as error:
        raise DownloadBroken(f"The connection to the Hub broke ({error}).") from error
    if done < file.size:
        raise DownloadBroken("The Hub ended the connection too early.")


def _goes_on(file: HubFile, response: httpx.Response, arrived: int) -> bool:
    """Whether an answer goes on behind what has arrived; else it begins anew.

    Raises:
        DownloadBroken: The Hub may give it later.
        ModelError: It does not.
    """
    status = response.status_code
    if status == 206:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("content-range", ""))
        if said is None or (int(said[1]), int(said[2])) != (arrived, file.size):
            raise ModelError(
                f"The Hub sent another part of {file.name} than was asked for. Start again; if "
                "that does not help, a proxy on the way does not know Range."
            )
        return True
    if status == 200 or (status == 416 and arrived):
        return False
    if status in (408, 429) or status >= 500:
        raise DownloadBroken(f"The Hub answered {status}.")
    raise ModelError(refusal(status, file.repository))


def refusal(status: int, repository: str) -> str:
    """What the Hub's refusal means, and what to do."""
    if status in (401, 403):
        return (
            f"The Hub does not give {repository} to this account ({status}): there is no such "
            "repository, it is private, or its terms must be accepted first. Check the name, open "
            f"{constants.ENDPOINT}/{repository} in a browser, then set HF_TOKEN to a token of an "
            "account that may read it."
        )
    if status == 404:
        return (
            f"There is no {repository} on the Hub (404), or a file of it has gone. Check the name "
            f"at {constants.ENDPOINT}/{repository}."
        )
    return (
        f"The Hub answered {status} for {repository}. Try again in some minutes, or give a GGUF "
        "file that is here."
    )


def _check(file: HubFile, part: Path) -> None:
    with part.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != file.sha256:
        part.unlink()
        raise ModelError(
            f"{file.name} of {file.repository} is not what the Hub announced: its SHA-256 is "
            f"{digest}, not {file.sha256}. The file was removed. Start again to fetch it anew; if "
            "that does not help, something between here and the Hub changes it."
        )
