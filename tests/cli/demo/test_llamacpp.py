"""llama.cpp as the process of its own that the demo starts, with a real model."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from playground.cli.demo.sources import find_model
from tests.gguf import gguf
from tests.hub import Hub, Repository
from tests.servers import ROOT, Server, environment

LLAMACPP = ["-m", "playground.cli.demo.llamacpp", "--threads", "1", "--port", "0"]


def refused(*arguments: str) -> str:
    """What it says when it does not start."""
    done = subprocess.run(
        [sys.executable, *LLAMACPP, *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    # llama.cpp writes from a thread of its own, perhaps behind it.
    said = [line for line in done.stderr.splitlines() if line.startswith("playground demo: ")]
    assert len(said) == 1, done.stderr
    return said[0].removeprefix("playground demo: ")


def test_it_serves_by_name_and_ends_at_once() -> None:
    with Server([*LLAMACPP, "--name", "A name"]) as server:
        assert "A name, Q4_1, 4 answers of 8192 tokens at a time" in server.output
        props = httpx.get(f"{server.url}/props").json()
        assert (props["total_slots"], props["model_alias"]) == (4, "A name")
        assert props["default_generation_settings"]["n_ctx"] == 8192
        assert httpx.get(f"{server.url}/slots").status_code == 501  # it shows what others ask
        assert "llamacpp:" in httpx.get(f"{server.url}/metrics").text
        answer = httpx.get(f"{server.url}/health", headers={"Origin": "https://evil.example"})
        assert not answer.headers.get("access-control-allow-origin")  # no web page may ask it
        assert server.terminate() == -signal.SIGTERM
    assert len(server.lines) == 1


def test_it_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, *{[*LLAMACPP, '--child']!r}], stdin=subprocess.PIPE)\n"
        "time.sleep(600)"
    )
    with Server(["-c", program]) as parent:
        assert httpx.get(f"{parent.url}/health").status_code == 200
        parent.kill()  # its output ends when the child's does, which has it too
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{parent.url}/health")


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused("--port", str(port))
    assert message.startswith(
        f"llama.cpp cannot listen on 127.0.0.1:{port}: Address already in use."
    )


def test_a_model_that_is_no_file_cut_or_foreign_is_said(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    assert f"{path} cannot be read" in refused("--model", str(path))
    path.write_bytes(b"PK")
    assert "is no GGUF file" in refused("--model", str(path))
    path.write_bytes(gguf()[:-1])
    assert "The file is cut" in refused("--model", str(path))
    path.write_bytes(gguf(architecture="foreign"))
    assert f"cannot load {path}, a model of the architecture foreign" in refused(
        "--model", str(path)
    )


def test_it_fetches_a_model_of_the_hub_by_itself(tmp_path: Path) -> None:
    """As in a container, where nothing else does it; its port says how far it is."""
    content = find_model(None).fetch(lambda *_: None, threading.Event()).read_bytes()
    name, half = "small-Q4_K_M.gguf", len(content) // 2
    repository = Repository({name: content}, stay_silent=True)
    repository.break_after[name] = half
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    with Hub({"org/small": repository}) as hub:
        env = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path),
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        arguments = [*LLAMACPP, "--model", "org/small", "--port", port]
        with Server(arguments, ready="^Downloading", env=env) as server:
            answer = httpx.get(f"http://127.0.0.1:{port}/health")
            assert answer.status_code == 503
            assert "small" in answer.json()["error"]["message"]
            server.wait_for("^llama.cpp listening on", timeout=60)
            assert "The Hub sent nothing for 5 s." in server.output
            models = httpx.get(f"http://127.0.0.1:{port}/v1/models").json()
            assert [each["id"] for each in models["data"]] == ["org/small"]
        assert hub.ranges(name) == [None, f"bytes={half}-"]
    # The Hub is gone.
    with Server([*LLAMACPP, "--model", "org/small"], env=env) as server:
        assert "Downloading" not in server.output
