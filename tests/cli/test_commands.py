"""The command line, run as people run it."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.commands import playground
from tests.servers import ROOT, environment, stand_in


def process(
    *arguments: str, program: str = "playground", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=ROOT,
        env={**environment(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def test_help_names_every_command() -> None:
    done = process("--help")
    assert done.returncode == 0
    for word in ("serve", "demo", "check", "PLAYGROUND_ENGINE_URL", ".env.example"):
        assert word in done.stdout
    assert playground("serve", "--help").returncode == 0


def test_without_a_command_the_usage_is_shown() -> None:
    done = playground()
    assert done.returncode == 2
    assert "usage: playground" in done.stderr


def test_check_describes_a_ready_engine(stand_in_url: str) -> None:
    done = process("check", "--engine-url", stand_in_url)
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout
    for word in ("model", "context", "temperature", "min_p", "native"):
        assert word in done.stdout


def test_check_says_what_stock_tgi_does_not_apply() -> None:
    with stand_in() as stock:
        on = playground("check", "--engine-url", stock.url)
        off = playground("check", "--engine-url", stock.url, env={"PLAYGROUND_EMULATION": "false"})
    lacking = ["frequency_penalty", "presence_penalty", "min_p"]
    for word, done in (("emulated", on), ("unsupported", off)):
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [name for name, *how in lines if how[:1] == [word]] == lacking


def test_check_of_an_absent_engine_fails_with_the_reason(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    done = playground("check", "--engine-url", url)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{url}: offline. ")
    assert "connection refused" in done.stdout.lower()
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLAYGROUND_PORT", "many"),
        ("PLAYGROUND_ENGINE_URL", "gpu-box"),
        ("PLAYGROUND_MAX_STREAMS", "0"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    done = playground("serve", env={name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert value in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_name_that_no_setting_has_is_told(tmp_path: Path, free_port: int, place: str) -> None:
    given = {"PLAYGROUND_MAX_STREAM": "3", "PLAYGROUND_VERSION": "1", "PLAYGROUND_TESTS_X": "1"}
    if place == ".env":
        lines = "".join(f"{name}={value}\n" for name, value in given.items())
        (tmp_path / ".env").write_text(f"{lines}OTHER=1\n")
        given = {}
    url = f"http://127.0.0.1:{free_port}"
    done = playground("check", "--engine-url", url, env=given, cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "PLAYGROUND_MAX_STREAM is no setting (is it PLAYGROUND_MAX_STREAMS?)" in line
    assert "VERSION" not in line
    assert "TESTS" not in line


def test_a_busy_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = process("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "Choose another port" in done.stderr
    assert "Traceback" not in done.stderr


def test_presets_that_cannot_be_read_are_named() -> None:
    missing = {"PLAYGROUND_PRESETS_FILE": "/nowhere.toml"}
    done = process("serve", "--port", "0", program="tests.pageless", env=missing)
    assert done.returncode == 2
    assert "/nowhere.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_loads_none_of_the_libraries_behind_the_commands() -> None:
    program = "import sys; from playground.cli.main import main\ntry: main(['--help'])\n"
    program += "except SystemExit: print([n for n in sys.modules if n in sys.argv[1:]])"
    libraries = ["pydantic", "fastapi", "gradio", "httpx", "sqlalchemy", "uvicorn", "numpy"]
    done = subprocess.run(
        [sys.executable, "-c", program, *libraries], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
