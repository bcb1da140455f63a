"""What a terminal and a log are told of a download."""

import io

import pytest

from playground.cli.demo.progress import Teller
from playground.engines.base import Progress

STEPS = [
    Progress("Downloading a.gguf", done, 4_370_000_000, 11_200_000, (4_370_000_000 - done) / 11.2e6)
    for done in (0, 1_200_000_000, 1_200_001_000, 4_370_000_000)
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(monkeypatch: pytest.MonkeyPatch, out: io.StringIO) -> str:
    monkeypatch.setattr("sys.stdout", out)
    teller = Teller(print)
    for step in STEPS:
        teller("", step)
    teller("Checking a.gguf by its hash.", None)
    return out.getvalue()


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    *lines, check, last = told(monkeypatch, Terminal()).split("\n")
    [line] = lines
    assert line.count("\r") == len(STEPS)
    assert (
        "\rDownloading a.gguf: 1.2 GB of 4.37 GB (27 %), 11.2 MB/s, 4 min 43 s left\x1b[K" in line
    )
    assert (check, last) == ("Checking a.gguf by its hash.", "")


def test_a_name_cannot_write_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", out := Terminal())
    Teller(print)("", Progress("Downloading \x1b[2J\x9b31ma.gguf", 1, 2))
    assert "Downloading \ufffd[2J\ufffd31ma.gguf: 1" in out.getvalue()


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, io.StringIO()).splitlines()
    assert len(lines) == 3  # what comes within half a minute is left out, but for the last
    assert lines[0].startswith("Downloading a.gguf: 0 bytes of 4.37 GB (0 %)")
    assert lines[1].startswith("Downloading a.gguf: 4.37 GB of 4.37 GB (100 %)")
    assert lines[2] == "Checking a.gguf by its hash."
