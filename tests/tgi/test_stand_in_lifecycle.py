"""The stand-in as a process: starting, limits, leaving readers, stopping."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests import servers

# So hot that every token is as likely as any other: what is drawn depends on the seed alone, and
# with this one the end token is not drawn in 2,000 tokens, whatever the model.
ENDLESS = {"temperature": 1e6, "seed": 27, "details": True}


def body(**parameters: Any) -> dict[str, Any]:
    return {"inputs": "Once", "parameters": {**ENDLESS, **parameters}}


def wait_until(what: str, condition: Callable[[], bool], deadline: float = 20.0) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(0.01)


def metric(http: httpx.Client, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def data(lines: Iterator[str]) -> Iterator[Any]:
    return (json.loads(line[5:]) for line in lines if line.startswith("data:"))


# ---- limits ----


@pytest.fixture(scope="module")
def narrow() -> Iterator[httpx.Client]:
    """A server that takes two requests, writes one at a time and ends at 1,000 tokens."""
    options = ["--max-concurrent-requests", "2", "--max-batch-size", "1"]
    with (
        servers.stand_in(*options, "--max-total-tokens", "1000") as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        yield http


def test_an_answer_ends_at_the_limit_of_all_tokens(narrow: httpx.Client) -> None:
    assert narrow.get("/info").json()["max_total_tokens"] == 1000
    assert narrow.get("/info").json()["max_input_tokens"] == 999
    details = narrow.post("/generate", json=body()).json()["details"]
    assert details["finish_reason"] == "length"
    assert len(details["tokens"]) == details["generated_tokens"]
    inputs = narrow.post("/tokenize", json={"inputs": "Once"}).json()
    assert len(inputs) + details["generated_tokens"] == 1000


def test_too_many_requests_are_refused_and_places_come_free(narrow: httpx.Client) -> None:
    overloaded = {"error": "Model is overloaded", "error_type": "overloaded"}
    with (
        narrow.stream("POST", "/generate_stream", json=body()) as first,
        narrow.stream("POST", "/generate_stream", json=body()) as second,
    ):
        events = data(first.iter_lines())
        assert next(events)["index"] == 1  # the first is being written, the second waits
        refused = narrow.post("/generate", json=body(max_new_tokens=1))
        assert (refused.status_code, refused.json()) == (429, overloaded)
        with narrow.stream("POST", "/generate_stream", json=body()) as third:
            assert third.status_code == 200
            assert list(data(third.iter_lines())) == [overloaded]
        assert second.status_code == 200
    # Both readers have left: their places come free without anything having been written to its end
    wait_until(
        "a place is free",
        lambda: narrow.post("/generate", json=body(max_new_tokens=1)).status_code == 200,
    )


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_a_reader_that_leaves_ends_the_writing(narrow: httpx.Client, path: str) -> None:
    dropped = 'tgi_request_failure{err="dropped"}'
    steps = 'tgi_batch_inference_count{method="decode"}'
    before = metric(narrow, dropped), metric(narrow, steps), metric(narrow, "tgi_request_success")
    content = json.dumps(body()).encode()
    with socket.create_connection((narrow.base_url.host, narrow.base_url.port or 80)) as reader:
        reader.sendall(
            b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (path.encode(), len(content), content)
        )
        wait_until("writing began", lambda: metric(narrow, steps) > before[1])
    wait_until("the job was dropped", lambda: metric(narrow, dropped) == before[0] + 1)
    wait_until("nothing is written", lambda: metric(narrow, "tgi_batch_current_size") == 0)
    assert metric(narrow, steps) - before[1] < 1000  # the whole answer has more
    assert metric(narrow, "tgi_request_success") == before[2]


def test_answers_wait_for_memory() -> None:
    options = ["--cache-mib", "20", "--tokens-per-second", "100"]  # room for two
    with (
        servers.stand_in(*options) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        http.stream("POST", "/generate_stream", json=body(max_new_tokens=1900)),
        http.stream("POST", "/generate_stream", json=body(max_new_tokens=1900)),
        http.stream("POST", "/generate_stream", json=body(max_new_tokens=1900)),
    ):
        wait_until("two are written", lambda: metric(http, "tgi_batch_current_size") == 2)
        wait_until("one waits", lambda: metric(http, "tgi_queue_size") == 1)


# ---- pace and silence ----


def test_silence_is_filled_with_comments_and_the_pace_is_kept() -> None:
    code = (
        "from tests.stand_in import __main__, streaming\n"
        "streaming.KEEP_ALIVE = 0.1\n"
        "__main__.main(['--port', '0', '--tokens-per-second', '2'])\n"
    )
    with servers.Server(["-c", code]) as server:
        begun = time.monotonic()
        content = body(max_new_tokens=3)
        response = httpx.post(f"{server.url}/generate_stream", json=content, timeout=30)
        assert time.monotonic() - begun > 0.5  # the second and third token each wait half a second
        parts = [part.split(":")[0] for part in response.text.split("\n\n")]
        assert parts.count("data") == 3
        # A comment, and what follows the last event; a busy machine may be late for the others.
        assert parts.count("") >= 2
        assert parts[-2:] == ["data", ""]


# ---- stopping ----


def test_a_running_answer_may_end_after_sigterm() -> None:
    with servers.stand_in("--grace", "60") as server:
        with httpx.stream(
            "POST", f"{server.url}/generate_stream", json=body(max_new_tokens=1000), timeout=60
        ) as response:
            events = data(response.iter_lines())
            next(events)
            server.signal(signal.SIGTERM)
            wait_until("new connections are refused", lambda: not accepts(server.url))
            *_, last = events
        assert last["details"]["finish_reason"] == "length"
        assert last["details"]["generated_tokens"] == 1000
        assert server.wait() == 0


def test_after_the_grace_an_answer_ends_as_an_error() -> None:
    with servers.stand_in("--grace", "0.05", "--max-batch-size", "1") as server:
        url = f"{server.url}/generate_stream"
        with (
            httpx.stream("POST", url, json=body(), timeout=60) as running,
            httpx.stream("POST", url, json=body(), timeout=60) as waiting,
        ):
            events = data(running.iter_lines())
            next(events)
            server.signal(signal.SIGTERM)
            *_, last = events
            assert list(data(waiting.iter_lines())) == [last]
        assert last["error_type"] == "generation"
        assert "shutting down" in last["error"]
        assert server.wait() == 0


def test_an_idle_server_stops_with_0_though_a_connection_is_open() -> None:
    with servers.stand_in() as server, httpx.Client(base_url=server.url) as http:
        assert http.get("/health").status_code == 200
        assert server.terminate() == 0
        assert "Traceback" not in server.output


def accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


# ---- not starting ----


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.stand_in", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=servers.ROOT,
        check=False,
    )


def test_a_taken_port_is_told(stand_in_url: str) -> None:
    port = stand_in_url.rsplit(":", 1)[1]
    result = run("--port", port)
    assert result.returncode == 2
    assert result.stderr.startswith(f"tests.stand_in: Cannot listen on 127.0.0.1:{port}")
    assert "--port" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "Cannot listen on 127.0.0.1:99999"),
        (["--max-total-tokens", "10", "--max-input-tokens", "10"], "must be less than"),
        (["--max-batch-size", "0"], "must be at least 1"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], message: str) -> None:
    result = run("--port", "0", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_help_tells_the_options() -> None:
    result = run("--help")
    assert result.returncode == 0
    for option in ("--port", "--host", "--grace", "--all-samplers", "--max-batch-size"):
        assert option in result.stdout


async def test_a_long_text_does_not_hold_up_the_others(stand_in_url: str) -> None:
    """While 900,000 characters become tokens, which takes seconds, the server answers."""
    text = "hello world " * 75_000
    async with httpx.AsyncClient(base_url=stand_in_url, timeout=60) as http:
        asked = asyncio.create_task(http.post("/tokenize", json={"inputs": text}))
        answered = 0
        while not asked.done():
            assert (await http.get("/health")).status_code == 200
            answered += 1
        assert (await asked).status_code == 200
    assert answered > 20


@pytest.mark.parametrize("option", ["--tokens-per-second", "--grace"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "fast"])
def test_a_pace_that_is_none_is_refused(option: str, value: str) -> None:
    command = [sys.executable, "-m", "tests.stand_in", "--port", "0", option, value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert option in done.stderr
