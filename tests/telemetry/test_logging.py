"""What the server writes of itself: lines, ids and metrics, and that nobody's words are in them."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from tests.conversations import answer, column, record
from tests.faults import Peer, Script, error_event, event
from tests.postgres import Cluster
from tests.servers import ROOT, Server
from tests.stock import INFO, calls, tgi, tokens, until

HI: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}

# What must appear nowhere.
PROMPT = "canary-prompt-5d41"
SYSTEM = "canary-system-402a"
ANSWER = "canary-answer-bc4b"
KEY = "canary-key-2a76"
SECRET = "canary-secret-b971-9d911017"
DATABASE = "canary-database-c592"
PASSWORD = "canary password ae2b"
WRONG = "canary wrong password 7c8d"
HEADER = "canary-header-98e3"
PATH = "canary-path-d4a1"
CANARY = re.compile("canary", re.IGNORECASE)


# The program, one of whose routes fails as none should, with what an engine says in its words.
CRASHING = """
import sys
from playground.api import engine
from playground.cli.main import main

label = engine.model_label

def crash(info):
    if "crash" in info.raw:
        raise ValueError(info.raw["crash"])
    return label(info)

engine.model_label = crash
sys.exit(main())
"""


@contextlib.asynccontextmanager
async def running(script: Script, info: Mapping[str, Any], **env: str) -> AsyncIterator[Any]:
    """A playground as a process in front of a scripted engine: it, its address, and the engine."""
    async with tgi(script, info=info) as engine:
        arguments = ["-c", CRASHING, "serve", "--port", "0", "--engine-url", engine.url]
        server = await asyncio.to_thread(
            lambda: Server(arguments, ready="Playground: http", env=env)
        )
        try:
            yield server, server.url, engine
        finally:
            await asyncio.to_thread(server.kill)


# Lines, as a program that has everything go wrong writes them.

PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
from playground.telemetry import logging as log_lines

async def main():
    log_lines.watch_loop()
    async def lost(text):
        raise ValueError(text)
    task = asyncio.create_task(lost("canary in a task"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(int, "canary in a callback")
    await asyncio.sleep(0.01)

def fail(text):
    try:
        {}["canary as a key"]
    except KeyError as error:
        raise OSError(28, "canary in a message", "/canary/as/a/path") from error

class Clumsy:
    def __del__(self):
        raise ValueError("canary in a clean-up")

log_lines.configure(sys.argv[1], "debug")
ours, theirs = logging.getLogger("playground.some"), logging.getLogger("sqlalchemy.engine")
log_lines.request_id.set("abc-1")
ours.debug("A line\\nof two", extra={"fields": {"n": 3}})
theirs.info("SELECT 'canary of a library'")
try:
    fail("canary as an argument")
except OSError:
    ours.exception("It failed")
try:
    raise ExceptionGroup("canary of a group", [ValueError("canary inside"), TypeError()])
except ExceptionGroup:
    theirs.exception("A group failed")
warnings.warn("something is old")
Clumsy()
thread = threading.Thread(target=fail, args=["canary of a thread"])
thread.start()
thread.join()
asyncio.run(main())
fail("canary at the end")
"""


def written(form: str) -> list[str]:
    """The program's lines, all of them on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert not [line for line in done.stderr.splitlines() if said(line)]
    return done.stderr.splitlines()


def said(line: str) -> bool:
    """Whether a line has a canary in it that is no line of the program's own code."""
    return bool(CANARY.search(line)) and not line.lstrip().startswith(("raise", "fail", "{}"))


def test_everything_that_goes_wrong_is_a_json_line_without_values() -> None:
    lines = [json.loads(line) for line in written("json")]
    messages = [line["message"].partition("\n")[0] for line in lines]
    assert messages[0] == "A line"
    first = lines[0]
    assert (first["level"], first["request_id"], first["n"]) == ("debug", "abc-1", 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])
    types = {
        line["message"]: [each["type"] for each in line.get("exceptions", [])] for line in lines
    }
    assert types["It failed"] == types["A thread failed"] == ["OSError ENOSPC", "KeyError"]
    assert types["The program failed"] == ["OSError ENOSPC", "KeyError"]
    assert types["A group failed"] == ["ExceptionGroup", "ValueError", "TypeError"]
    assert types["A clean-up failed"] == ["ValueError"]
    assert [line["message"] for line in lines].count("The event loop caught a failure") == 2
    assert any("something is old" in message for message in types)
    assert not any("SELECT" in message for message in types)
    failed = next(line for line in lines if line["message"] == "It failed")
    assert "in fail" in failed["exceptions"][0]["places"]


def test_a_text_line_is_one_line_and_its_exception_stands_below() -> None:
    lines = written("text")
    assert re.fullmatch(r"[\d-]{10} [\d:]{8} DEBUG A line\\nof two request_id=abc-1 n=3", lines[0])
    at = next(i for i, line in enumerate(lines) if line.endswith("It failed request_id=abc-1"))
    assert lines[at + 1] == "OSError ENOSPC"
    assert any("in fail" in line for line in lines[at + 2 : at + 9])
    assert "Traceback" not in "".join(lines)


# Requests and metrics, of a playground with an engine.


@pytest.fixture(scope="module")
def site(stand_in_url: str) -> Iterator[Server]:
    env = {"PLAYGROUND_LOG_FORMAT": "json", "PLAYGROUND_MAX_STREAMS": "3"}
    arguments = ["-m", "playground", "serve", "--port", "0", "--engine-url", stand_in_url]
    with Server(arguments, ready="Playground: http", env=env) as server:
        yield server


def metrics(site: Server) -> dict[str, float]:
    """Every sample by its name and labels."""
    answer = httpx.get(f"{site.url}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def ask(site: Server, body: Mapping[str, Any] = HI, **headers: str) -> httpx.Response:
    return httpx.post(f"{site.url}/api/stream", json=body, headers=headers, timeout=30)


def line(site: Server, number: str) -> dict[str, Any]:
    """The log's line of a request."""
    found: dict[str, Any] = json.loads(site.wait_for(re.escape(f'"request_id":"{number}"')))
    return found


def test_an_answer_is_in_the_metrics(site: Server) -> None:
    before = metrics(site)
    story = [{"role": "user", "content": "tell me a story"}]
    panes = [
        {"seed": 7, "max_new_tokens": 40, "preset": "min-p"},
        {"max_new_tokens": 40, "seed": 8},
    ]
    answered = ask(site, {"messages": story, "panes": panes})
    done = re.findall(r"event: done\ndata: (.*)", answered.text)
    tokens = sum(json.loads(each)["generated_tokens"] for each in done)
    prompts = sum(json.loads(each)["input_tokens"] for each in done)
    assert ask(site, {**HI, "panes": [{}] * 4}).status_code == 422
    after = metrics(site)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert tokens > 40
    assert grown("playground_generated_tokens_total") == tokens
    assert grown("playground_prompt_tokens_total") == prompts
    assert grown("playground_answers_total outcome=done") == 2
    assert grown("playground_time_to_first_token_seconds_count") == 2
    assert grown("playground_inter_token_gap_seconds_count") > 0
    assert grown("playground_wait_seconds_count") == 1
    assert grown("playground_refusals_total kind=invalid") == 1
    requests = "playground_requests_total method=POST route=/api/stream status="
    assert (grown(f"{requests}200"), grown(f"{requests}422")) == (1, 1)
    assert grown("playground_request_seconds_count route=/api/stream") == 2
    assert (after["playground_streams"], after["playground_waiting"]) == (0, 0)
    assert (after["playground_streams_limit"], after["playground_waiting_limit"]) == (3, 100)
    assert after["playground_engine_state engine=default state=ready"] == 1
    assert after["playground_engine_state engine=default state=offline"] == 0
    assert after["playground_store_up"] == 1
    assert after["process_resident_memory_bytes"] > 1e7
    assert [name for name in after if name.startswith("playground_build_info ")]


def test_a_request_has_an_id_and_a_line(site: Server) -> None:
    asked = ask(site, HI, **{"x-request-id": "test.of-ids_1"})
    assert asked.headers["x-request-id"] == "test.of-ids_1"
    found = line(site, "test.of-ids_1")
    assert (found["message"], found["logger"]) == ("request", "playground.api.access_log")
    assert (found["method"], found["route"], found["status"]) == ("POST", "/api/stream", 200)
    assert found["bytes"] == len(asked.content)
    assert (found["panes"], found["waited_ms"]) == (1, 0)
    assert found["tokens"] > 0
    assert found["ms"] > 0
    again = line(site, ask(site, {}).headers["x-request-id"])
    assert (again["status"], again["kind"]) == (422, "invalid")
    assert re.fullmatch(r"[0-9a-f]{12}", again["account"])
    assert again["account"] == found["account"], "one asker's lines can be put together"


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, 'a"b', "{{7*7}}"])
def test_an_id_that_is_none_is_replaced(site: Server, given: str) -> None:
    answer = httpx.get(f"{site.url}/livez", headers={"x-request-id": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_no_path_is_a_label_or_a_field(site: Server) -> None:
    for path in (f"/{PATH}", f"/s/{PATH}", f"/api/shares/{PATH}", f"/ui/{PATH}", f"/?q={PATH}"):
        number = httpx.get(f"{site.url}{path}", timeout=60).headers["x-request-id"]
        if not path.startswith("/ui/"):  # of files there are no lines
            assert PATH not in json.dumps(line(site, number))
    assert httpx.request("PROPFIND", f"{site.url}/").status_code == 405
    found = metrics(site)
    assert not [name for name in found if PATH in name]
    assert found["playground_requests_total method=other route=none status=405"] == 1
    assert found["playground_requests_total method=GET route=/ui status=404"] == 1
    assert found["playground_requests_total method=GET route=/s/{token} status=404"] >= 1
    assert PATH not in site.output


def test_metrics_are_for_those_who_may_read_them(site: Server) -> None:
    """For all others the path is not there, to the letter."""
    port = httpx.URL(site.url).port
    unknown = httpx.get(f"{site.url}/no-such-page")
    assert unknown.status_code == 404

    def read(**headers: str) -> httpx.Response:
        return httpx.get(f"{site.url}/metrics", headers=headers)

    for headers in (
        {"x-forwarded-for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x-real-ip": "127.0.0.1"},
        {"via": "1.1 proxy"},
    ):
        refused = read(**headers)
        assert (refused.status_code, refused.content) == (404, unknown.content)
        assert set(refused.headers) == set(unknown.headers)
    assert read(host="evil.example").status_code == 421
    assert read(host=f"localhost:{port}").status_code == 200
    assert httpx.post(f"{site.url}/metrics").status_code == 405


# Nobody's words.


def faulty(info: dict[str, Any]) -> Script:
    """An engine that fails as the prompt says, and repeats the prompt wherever it can."""

    async def script(peer: Peer) -> None:
        inputs = peer.request.json()["inputs"]
        if "refuse" in inputs:
            body = json.dumps({"error": f"bad: {inputs}", "error_type": "validation"}).encode()
            await peer.answer(body, status=422)
            return
        if "nonsense" in inputs:
            await peer.answer(inputs.encode(), content_type="text/plain")
            return
        await peer.head()
        await peer.send(event(ANSWER))
        if "die" in inputs:
            peer.reset()
        elif "fail" in inputs:
            await peer.send(error_event(f"out of memory at {inputs}", "generation"))
        elif "miscount" in inputs:
            details = {"finish_reason": "length", "generated_tokens": inputs, "input_length": 1}
            await peer.send(event("", generated_text="", details={**details, "seed": None}))
        elif "hang" in inputs:
            await peer.gone()
        else:
            await peer.send(b"".join(tokens([" and so on"], "eos_token")))

    return script


async def test_canaries_appear_nowhere(tmp_path: Path, postgres: Cluster) -> None:
    """Successes, refusals, faults of the engine and the database, a crash of a route and one of
    the interpreter: then all that was written, and the metrics, are searched."""
    UsersFile(tmp_path / "users").put("ada", Passwords().hashed(PASSWORD), instead_of=None)
    address = postgres.database().replace("@", f":{DATABASE}@", 1)
    env = {
        "PLAYGROUND_DATA_DIR": str(tmp_path),
        "PLAYGROUND_DATABASE_URL": address,
        "PLAYGROUND_AUTH": "users",
        "PLAYGROUND_ENGINE_API_KEY": KEY,
        "PLAYGROUND_SECRET": SECRET,
        "PLAYGROUND_LOG_FORMAT": "json",
        "PLAYGROUND_LOG_LEVEL": "debug",
        "PLAYGROUND_METRICS_FROM": "127.0.0.8/29",
        "PLAYGROUND_TOKENS_PER_DAY": "100000",
    }
    info = {**INFO, "max_total_tokens": 4000, "max_input_tokens": 3000}
    async with (
        running(faulty(info), info, **env) as (server, url, engine),
        httpx.AsyncClient(base_url=url, timeout=30, headers={"user-agent": HEADER}) as client,
    ):
        # Logins.
        for password in (WRONG, PASSWORD):
            entered = await client.post("/login", data={"name": "ada", "password": password})
        assert entered.status_code == 303
        session = client.cookies["playground_session"]
        await client.get(f"/?prompt={PATH}", headers={"authorization": f"Bearer {HEADER}"})

        # Answers, whole and failed.
        async def stream(words: str, **pane: object) -> httpx.Response:
            said = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"{PROMPT} {words}"},
            ]
            return await client.post("/api/stream", json={"messages": said, "panes": [pane]})

        outcomes = {}
        for words in ("go on", "refuse", "nonsense", "die", "fail", "miscount"):
            text = (await stream(words)).text
            outcomes[words] = re.findall(r'event: (?:done|error)\ndata: .*?"kind":"(\w+)"', text)
        assert outcomes == {
            "go on": [],
            "refuse": ["refused"],
            "nonsense": ["protocol"],
            "die": ["incomplete"],
            "fail": ["generation"],
            "miscount": ["protocol"],
        }

        # Refusals that quote what they refuse.
        for body in ({"preset": PROMPT}, {PROMPT: 1}, {"sampler": {"temperature": PROMPT}}):
            assert (await stream("x", **body)).status_code == 422
        broken = f'{{"messages": "{PROMPT}'.encode()
        headers = {"content-type": "application/json"}
        answered = await client.post("/api/stream", content=broken, headers=headers)
        assert answered.status_code == 400
        assert (await client.get(f"/s/{PATH}")).status_code == 404
        await client.get(f"/api/demos/{PATH}")

        # Links, and the database's own errors.
        frozen = record(column({"role": "user", "content": PROMPT}, answer(ANSWER)), title=PROMPT)
        share = (await client.post("/api/shares", json={"record": frozen})).json()["token"]
        terms = {"title": PROMPT, "panes": [{}], "system": SYSTEM, "budget_tokens": 2000}
        demo = (await client.post("/api/demos", json=terms)).json()["token"]
        assert (await client.get(f"/s/{share}")).status_code == 200
        assert (await client.get(f"/d/{demo}")).status_code == 200
        visit = {"messages": [{"role": "user", "content": f"{PROMPT} miscount"}]}
        assert (await client.post(f"/api/demos/{demo}/stream", json=visit)).status_code == 200
        database = address.rpartition("/")[2]
        for table in ("shares", "demos", "usage"):
            postgres.psql(database, f"ALTER TABLE {table} RENAME TO {table}_gone")
        lost = await client.post("/api/shares", json={"record": frozen})
        assert (lost.status_code, lost.json()["kind"]) == (503, "store")
        assert (await stream("go on")).status_code == 200

        async def crashed() -> bool:
            return (await client.get("/api/engine")).status_code == 500

        info["crash"] = PROMPT
        await until(crashed)
        failed = await client.get("/api/engine", headers={"x-request-id": "the-crash"})
        assert (failed.status_code, failed.json()["kind"]) == (500, "internal")
        assert "(request the-crash)" in failed.json()["error"]

        # The metrics, by an address that may read them; for the others it is a page like any.
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.9")
        async with httpx.AsyncClient(base_url=url, transport=transport) as prometheus:
            told = (await prometheus.get("/metrics")).text
            unknown = await prometheus.get("/no-such-page")
        async with httpx.AsyncClient(base_url=url) as stranger:
            refused = await stranger.get("/metrics")
        assert (unknown.status_code, refused.status_code) == (303, 303)

        # And one of the interpreter, in the middle of an answer.
        async with client.stream("POST", "/api/stream", json=hanging()) as answers:
            async for part in answers.aiter_text():
                if ANSWER in part:
                    break
            server.signal(signal.SIGABRT)
            assert await asyncio.to_thread(server.wait, 20) == -signal.SIGABRT
    output = server.output
    assert "Fatal Python error: Aborted" in output
    lines = [json.loads(each) for each in output.splitlines() if each.startswith("{")]
    [crash] = [each for each in lines if each.get("request_id") == "the-crash" and exceptions(each)]
    assert crash["level"] == "error"
    routes = {each["route"] for each in lines if each["message"] == "request"}
    assert {"/api/stream", "/login", "/s/{token}", "/d/{token}", "/api/shares"} <= routes
    assert re.search(r'playground_errors_total\{kind="protocol"\} [1-9]', told)
    generation = calls(engine, "/generate_stream")[0]
    assert generation.headers["authorization"] == f"Bearer {KEY}"
    assert generation.headers["x-request-id"] in [each.get("request_id") for each in lines]
    for text in (output, told):
        assert not CANARY.findall(text)
        for token in (session, share, demo):
            assert token not in text
            assert token.partition(".")[0] not in text
        assert "ada" not in re.findall(r"\w+", text), "no name of a user either"


def hanging() -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"{PROMPT} hang"}], "panes": [{}]}


def exceptions(entry: Mapping[str, Any]) -> bool:
    return "exceptions" in entry
