"""`playground check` as a doctor: each known failure, and the fix that it names."""

import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from playground.cli.check.command import check
from playground.domain.messages import Message
from playground.domain.prompt import render
from playground.domain.prompt_formats import TULU2
from playground.domain.samplers import BY_NAME
from playground.settings import load_settings
from playground.store.store import Store
from tests import llamacpp as llamacpp_server
from tests import stock
from tests.faults import FaultServer, Peer, Script, serving
from tests.postgres import Cluster
from tests.servers import Server
from tests.valkey import Valkey

Finding = dict[str, str]
PATH = os.environ["PATH"]
MODEL = "ContextualAI/Contextual_KTO_Mistral_PairRM"
INFO: Mapping[str, Any] = {
    **stock.INFO,
    "model_id": MODEL,
    "max_input_tokens": 8064,
    "max_total_tokens": 8192,
}


def engine(
    *,
    info: Mapping[str, Any] = INFO,
    health: tuple[int, bytes] = (200, b""),
    template: Script | None = None,
    generate: tuple[int, Mapping[str, Any]] | None = None,
    likeliest: int = 50,
    raw: bool = False,
) -> Any:
    """A TGI whose answers are scripted; raw: it tells other chances than those it draws from."""

    async def answer(peer: Peer) -> None:
        match peer.request.path:
            case "/health":
                await peer.answer(health[1], health[0])
            case "/info":
                await peer.answer(orjson.dumps(info))
            case "/chat_tokenize" if template is not None:
                await template(peer)
            case "/chat_tokenize":
                messages = [Message(**each) for each in peer.request.json()["messages"]]
                text = {
                    "templated_text": f"<s>{render(messages, TULU2).text}",
                    "tokenize_response": [],
                }
                await peer.answer(orjson.dumps(text))
            case "/generate" if peer.request.json()["parameters"]["top_n_tokens"] > likeliest:
                words = f"`top_n_tokens` must be >= 0 and <= {likeliest}. Given: 50"
                refusal = {"error": words, "error_type": "validation"}
                await peer.answer(orjson.dumps(refusal), 422)
            case "/generate":
                await peer.answer(orjson.dumps(chances(likeliest, raw=raw)))
            case "/generate_stream" if generate is not None:
                await peer.answer(orjson.dumps(generate[1]), generate[0])
            case "/generate_stream":
                await stock.writing(["You"], "length")(peer)
            case "/props" | "/v1/models":
                await peer.answer(b"", 404)
            case path:
                raise AssertionError(path)

    return serving(answer)


def chances(count: int, *, raw: bool) -> Mapping[str, Any]:
    """A token among so many that are equally likely."""
    drawn = {"id": 0, "text": "a", "logprob": -math.log(count), "special": False}
    told = -math.log(2 * count) if raw else drawn["logprob"]
    return {
        "generated_text": "a",
        "details": {
            "finish_reason": "length",
            "generated_tokens": 1,
            "seed": 1,
            "prefill": [],
            "tokens": [drawn],
            "top_tokens": [[{**drawn, "id": id_, "logprob": told} for id_ in range(count)]],
        },
    }


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with neither GPU nor Docker, whose Hub is nobody; its programs go in the folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("PLAYGROUND_DATA_DIR", str(tmp_path / "data"))
    return programs


def program(folder: Path, name: str, script: str) -> None:
    """A program of that name, in the shell's language."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


class Report:
    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = document
        self.findings: Sequence[Finding] = document["findings"]

    def of(self, name: str, verdict: str | None = None) -> Finding:
        [found] = [
            each
            for each in self.findings
            if each["name"] == name and verdict in (None, each["verdict"])
        ]
        return found

    @property
    def faults(self) -> list[str]:
        return [each["name"] for each in self.findings if each["verdict"] == "fault"]


async def examined(capsys: pytest.CaptureFixture[str], url: str, **settings: Any) -> Report:
    capsys.readouterr()
    status = await check(load_settings(engine_url=url, **settings), samplers=False, as_json=True)
    report = Report(status, json.loads(capsys.readouterr().out))
    for each in report.findings:
        assert each["says"]
        assert (each["verdict"] == "fault") <= bool(each["fix"])
    return report


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


# The engine


async def test_a_healthy_engine_has_no_faults(capsys: pytest.CaptureFixture[str]) -> None:
    async with engine() as server:
        report = await examined(capsys, server.url, max_streams=128)
    assert report.status == 0
    assert {each["verdict"] for each in report.findings} == {"ok"}
    names = ["address", "port", "health", "model", "limits", "emulation", "template", "answer"]
    assert [each["name"] for each in report.findings] == [*names, "database", "login"]


async def test_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    report = await examined(capsys, "http://gpu-box.invalid:8080")
    assert report.status == 1
    assert report.faults == ["address"]
    assert "getent hosts gpu-box.invalid" in report.of("address")["fix"]


async def test_composes_name_outside_of_it_and_inside(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr("playground.cli.check.engine._IN_CONTAINER", Path("/nowhere"))
    report = await examined(capsys, "http://tgi:8080")
    assert "docker compose exec playground" in report.of("address")["fix"]
    assert "a container that is stopped has none" in report.document["reason"]
    monkeypatch.setattr("playground.cli.check.engine._IN_CONTAINER", Path(__file__))
    for name in ("tgi", "llamacpp"):
        report = await examined(capsys, f"http://{name}:8080")
        assert f"docker compose logs {name}" in report.of("address")["fix"]


async def test_a_closed_port(capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    assert report.status == 1
    assert report.faults == ["port"]
    assert "docker compose logs -f tgi" in report.of("port")["fix"]


async def test_503_while_it_loads(capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"error":"unhealthy","error_type":"healthcheck"}'
    async with engine(health=(503, body)) as server:
        report = await examined(capsys, server.url)
    assert report.status == 1
    assert report.faults == ["health"]
    assert "CUDA out of memory" in report.of("health")["fix"]


async def test_something_else_that_listens(capsys: pytest.CaptureFixture[str]) -> None:
    async with engine(info={"service": "another"}) as server:
        report = await examined(capsys, server.url)
    assert report.faults == ["health"]
    assert "/v1" in report.of("health")["fix"]


async def test_another_model_and_lower_limits_are_notes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = {**INFO, "model_id": "a/b", "max_total_tokens": 4096, "max_stop_sequences": 2}
    async with engine(info=info) as server:
        report = await examined(capsys, server.url)
    assert report.status == 0
    assert "MODEL_ID" in report.of("model", "note")["fix"]
    limits = [each["fix"] for each in report.findings if each["name"] == "limits"]
    assert len(limits) == 3
    for words in ("MAX_TOTAL_TOKENS", "MAX_STOP_SEQUENCES=4", "line"):
        assert any(words in fix for fix in limits)


async def test_the_models_own_copies_are_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    copies = "featherless-ai-quants/ContextualAI-Contextual_KTO_Mistral_PairRM-GGUF:Q4_K_M"
    async with engine(info={**INFO, "model_id": copies}) as server:
        report = await examined(capsys, server.url)
        assert report.of("model")["verdict"] == "ok"
        report = await examined(capsys, server.url, model_id="a/b")
        assert "PLAYGROUND_MODEL_ID" in report.of("model", "note")["fix"]


@pytest.mark.parametrize(
    ("engine_tells", "settings", "verdict", "says"),
    [
        ({}, {}, "ok", "50 likeliest"),
        ({"likeliest": 5}, {}, "note", "5 likeliest"),
        ({"likeliest": 0}, {}, "note", "does not tell"),
        ({"raw": True}, {}, "note", "raw"),
        ({}, {"emulation": False}, "skipped", "PLAYGROUND_EMULATION is off"),
    ],
)
async def test_what_becomes_of_parameters_that_the_engine_lacks(
    capsys: pytest.CaptureFixture[str],
    engine_tells: Mapping[str, Any],
    settings: Mapping[str, Any],
    verdict: str,
    says: str,
) -> None:
    async with engine(**engine_tells) as server:
        report = await examined(capsys, server.url, **settings)
    found = report.of("emulation")
    assert found["verdict"] == verdict
    assert says in found["says"]
    emulated = report.document["info"]["applied"]["min_p"]["how"] == "emulated"
    assert emulated == (verdict == "ok" or says == "5 likeliest")


async def test_another_template(capsys: pytest.CaptureFixture[str]) -> None:
    async def mistral(peer: Peer) -> None:
        await peer.answer(orjson.dumps({"templated_text": "<s>[INST] Is it warm? [/INST]"}))

    async with engine(template=mistral) as server:
        report = await examined(capsys, server.url)
    assert report.status == 0
    assert "TOKENIZER_CONFIG_PATH" in report.of("template", "note")["fix"]


async def test_no_template_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    async def none(peer: Peer) -> None:
        await peer.answer(b'{"error":"Template error"}', 422)

    async with engine(template=none) as server:
        report = await examined(capsys, server.url)
    assert "(422)" in report.of("template", "note")["says"]


@pytest.mark.parametrize(
    ("status", "body", "fix"),
    [
        (401, {}, "PLAYGROUND_ENGINE_API_KEY"),
        (
            424,
            {
                "error": "Request failed during generation: Server error: CUDA out of memory. "
                "Tried to allocate 2.00 GiB.",
                "error_type": "generation",
            },
            "MAX_BATCH_PREFILL_TOKENS",
        ),
        (
            424,
            {"error": "Request failed during generation: shard 0", "error_type": "generation"},
            "docker compose logs tgi",
        ),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, "docker compose logs"),
    ],
)
async def test_no_token_comes(
    capsys: pytest.CaptureFixture[str], status: int, body: Mapping[str, str], fix: str
) -> None:
    async with engine(generate=(status, body)) as server:
        report = await examined(capsys, server.url)
    assert report.status == 1
    assert report.faults == ["answer"]
    assert fix in report.of("answer")["fix"]


# Of other kinds


async def test_a_healthy_llamacpp(capsys: pytest.CaptureFixture[str], llamacpp: Server) -> None:
    report = await examined(capsys, llamacpp.url, engine="llamacpp", context_tokens=2048)
    assert report.status == 0
    assert [each["name"] for each in report.findings if each["verdict"] != "ok"] == ["model"]
    names = ["address", "port", "health", "model", "limits", "template", "answer"]
    assert [each["name"] for each in report.findings] == [*names, "database", "login"]
    assert report.of("limits")["says"] == "2048 tokens, 4 answers at a time"
    info = report.document["info"]
    assert info["kind"] == "llamacpp"
    assert info["prompt_format"]["label"] == "ChatML of SmolLM2"
    assert set(info["applied"]) == set(BY_NAME)
    assert info["seeds"]["repeat"] == "alone"
    assert info["probabilities"]["kind"] == "final"
    assert (report.document["proof"], report.document["others"]) == (None, [])


async def test_llamacpp_with_another_model_and_a_short_context(
    capsys: pytest.CaptureFixture[str], llamacpp: Server
) -> None:
    report = await examined(capsys, llamacpp.url, engine="llamacpp", prompt_format="tulu2")
    assert report.status == 0
    assert "GGUF" in report.of("model", "note")["fix"]
    assert "--ctx-size" in report.of("limits", "note")["fix"]
    template = report.of("template", "note")
    assert "is not TuluV2 ('<|im_start|>system" in template["says"]
    assert "PLAYGROUND_PROMPT_FORMAT" in template["fix"]
    assert "docker" not in json.dumps(report.document).lower()


async def test_llamacpp_wants_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    with llamacpp_server.llamacpp(1, 512, "--key", "s3cret") as server:
        wrong = await examined(capsys, server.url, engine="llamacpp", engine_api_key="wrong")
        right = await examined(capsys, server.url, engine="llamacpp", engine_api_key="s3cret")
    assert wrong.faults == ["health"]
    assert "PLAYGROUND_ENGINE_API_KEY" in wrong.of("health")["fix"]
    assert right.status == 0
    assert "s3cret" not in json.dumps(right.document)


async def test_llamacpp_while_it_loads(capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}'

    async def loading(peer: Peer) -> None:
        await peer.answer(body, 503)

    async with serving(loading) as server:
        report = await examined(capsys, server.url, engine="llamacpp")
    assert report.faults == ["health"]
    assert "reads the model's file" in report.of("health")["fix"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("llamacpp", "playground demo --model"),
        ("vllm", "compiled"),
        ("sglang", "SGLang opens its port"),
        ("openai", "PLAYGROUND_ENGINE_URL"),
    ],
)
async def test_a_closed_port_of_each_kind(
    capsys: pytest.CaptureFixture[str], free_port: int, kind: str, words: str
) -> None:
    report = await examined(capsys, f"http://127.0.0.1:{free_port}", engine=kind)
    assert report.faults == ["port"]
    assert words in report.of("port")["fix"]
    assert "docker" not in json.dumps(report.document).lower(), "that is for TGI in compose"


async def test_each_engine_of_a_file_is_looked_at(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llamacpp: Server, free_port: int
) -> None:
    file = tmp_path / "engines.toml"
    file.write_text(
        f'[[engine]]\nid = "small"\nkind = "llamacpp"\nurl = "{llamacpp.url}"\n'
        f'[[engine]]\nid = "away"\nkind = "llamacpp"\nurl = "http://127.0.0.1:{free_port}"\n'
    )
    report = await examined(capsys, llamacpp.url, engines_file=file)
    assert report.status == 1
    assert (report.document["id"], report.faults) == ("small", [])
    [away] = report.document["others"]
    assert (away["id"], away["state"]) == ("away", "offline")
    assert [each["name"] for each in away["findings"]] == ["address", "port"]
    await check(load_settings(engines_file=file), samplers=False, as_json=False)
    said = capsys.readouterr().out
    for words in ("prompts  ChatML", "seeds    they repeat alone", "(llamacpp)", "Nothing listens"):
        assert words in said
    assert said.count("  checks") == 2


# Its machine, and the Hub

CARDS = {
    "an old one": ("NVIDIA GeForce GTX 1080 Ti, 6.1, 11264", "8.0"),
    "a small one": ("NVIDIA GeForce RTX 3060, 8.6, 12288", "MAX_TOTAL_TOKENS=4096"),
}


@pytest.mark.parametrize(("line", "words"), CARDS.values(), ids=CARDS)
async def test_a_gpu_that_will_not_do(
    capsys: pytest.CaptureFixture[str], alone: Path, free_port: int, line: str, words: str
) -> None:
    program(alone, "nvidia-smi", f"echo '{line}'")
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    found = report.of("GPU", "fault")
    assert words in found["says"] + found["fix"]


async def test_gpus_that_do(
    capsys: pytest.CaptureFixture[str], alone: Path, free_port: int
) -> None:
    program(alone, "nvidia-smi", "echo 'NVIDIA L4, 8.9, 23034'; echo 'NVIDIA H200, 9.0, 143771'")
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    cards = [each for each in report.findings if each["name"] == "GPU"]
    assert [each["verdict"] for each in cards] == ["ok", "ok"]
    assert "16 bits" in cards[0]["says"]
    assert "computes in FP8" in cards[1]["says"]


async def test_a_driver_that_does_not_answer(
    capsys: pytest.CaptureFixture[str], alone: Path, free_port: int
) -> None:
    program(
        alone,
        "nvidia-smi",
        "echo 'NVIDIA-SMI has failed because it could not communicate with the driver.'; exit 9",
    )
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    assert "driver" in report.of("GPU", "fault")["fix"]


DAEMON = '{"ServerVersion": "28.2.2", "DockerRootDir": "/", "Runtimes": {%s}}'


async def test_docker_without_nvidias_runtime(
    capsys: pytest.CaptureFixture[str], alone: Path, free_port: int
) -> None:
    daemon = DAEMON % '"runc": {}'
    program(alone, "docker", f"[ $1 = info ] && echo '{daemon}' || exit 1")
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    assert "could not select device driver" in report.of("Docker", "fault")["says"]
    assert "nvidia-ctk runtime configure" in report.of("Docker", "fault")["fix"]
    assert "tgi/serve/cpu.yml" in report.of("Docker", "fault")["fix"]
    assert "docker compose pull tgi" in report.of("image", "note")["fix"]
    assert "GB are free" in report.of("disk")["says"]


async def test_docker_that_is_ready(
    capsys: pytest.CaptureFixture[str], alone: Path, free_port: int
) -> None:
    daemon = DAEMON % '"nvidia": {}'
    program(alone, "docker", f"[ $1 = info ] && echo '{daemon}' || echo sha256:1")
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    assert report.of("Docker")["verdict"] == report.of("image")["verdict"] == "ok"


async def test_docker_without_its_daemon(
    capsys: pytest.CaptureFixture[str], alone: Path, free_port: int
) -> None:
    program(alone, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    assert "systemctl start docker" in report.of("Docker", "note")["fix"]
    assert not [each for each in report.findings if each["name"] in ("image", "disk")]


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (200, "ok", ""),
        (401, "fault", "HF_TOKEN_FILE"),
        (403, "fault", "Accept its terms"),
        (404, "fault", "MODEL_ID"),
        (500, "note", "later"),
    ],
)
async def test_the_hubs_answer(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    free_port: int,
    status: int,
    verdict: str,
    words: str,
) -> None:
    async def hub(peer: Peer) -> None:
        assert peer.request.path == f"/api/models/{MODEL}/auth-check"
        assert peer.request.headers["authorization"] == "Bearer hf_canary"
        await peer.answer(b"{}", status)

    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    server: FaultServer
    async with serving(hub) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    assert words in report.of("Hub", verdict)["fix"]
    assert "hf_canary" not in json.dumps(report.document)


async def test_a_token_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    free_port: int,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path))
    report = await examined(capsys, f"http://127.0.0.1:{free_port}")
    found = report.of("Hub", "fault")
    assert f"{tmp_path} cannot be read: Is a directory" in found["says"]
    assert "HF_TOKEN_FILE" in found["fix"]


# The playground's own


@pytest.mark.parametrize(
    ("settings", "noted"),
    [
        ({"published_host": "0.0.0.0"}, True),
        ({"published_host": "0.0.0.0", "public_url": "https://playground.example"}, True),
        ({"public_url": "http://playground.example"}, True),
        ({"public_url": "https://playground.example"}, False),  # as on Kubernetes
        ({"published_host": "127.0.0.1"}, False),
        ({"published_host": "0.0.0.0", "auth": "none", "open": True}, False),
    ],
)
async def test_passwords_that_can_be_read_on_the_way(
    capsys: pytest.CaptureFixture[str], free_port: int, settings: Mapping[str, Any], noted: bool
) -> None:
    settings = {"host": "0.0.0.0", "auth": "users", **settings}
    report = await examined(capsys, f"http://127.0.0.1:{free_port}", engine="openai", **settings)
    found = [each for each in report.findings if each["name"] == "way in"]
    assert bool(found) == noted
    assert all("BIND=127.0.0.1" in each["fix"] for each in found)


async def test_the_database_is_looked_at_and_not_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with engine() as server:
        report = await examined(capsys, server.url)
        assert "no tables yet" in report.of("database", "ok")["says"]
        assert not (tmp_path / "data").exists()


async def test_a_data_folder_that_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/playground.sqlite").write_text("not a database, but long enough to be read")
    async with engine() as server:
        report = await examined(capsys, server.url, workers=2)
    assert report.status == 1
    assert report.faults == ["database", "limits"]


async def test_a_database_that_is_away(capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    url = f"postgresql://somebody@127.0.0.1:{free_port}/links"
    async with engine() as server:
        report = await examined(
            capsys,
            server.url,
            database_url=url,
            database_password="canary",
            limits_url=f"valkey://:canary@127.0.0.1:{free_port}",
        )
    assert report.status == 1
    assert "each process counts by itself" in report.of("limits", "fault")["fix"]
    assert "PLAYGROUND_DATABASE_URL" in report.of("database", "fault")["fix"]
    assert "canary" not in json.dumps(report.document)


async def test_a_database_that_is_there(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    postgres: Cluster,
    valkey: Valkey,
) -> None:
    monkeypatch.setenv("PATH", PATH)  # of the programs that run the database
    limits = f"valkey://127.0.0.1:{valkey.port}"
    address = postgres.database()
    name = address.rpartition("/")[2]
    async with engine() as server:
        report = await examined(capsys, server.url, database_url=address)
        assert "no tables yet" in report.of("database", "ok")["says"]
        made = "SELECT * FROM pg_tables WHERE schemaname = 'public'"
        assert not postgres.psql(name, made)
        store = Store.from_settings(load_settings(database_url=address))
        assert await store.answers()
        await store.aclose()
        report = await examined(capsys, server.url, database_url=address, limits_url=limits)
        assert "count together" in report.of("limits", "ok")["says"]
        assert "tables at" in report.of("database", "ok")["says"]
        postgres.psql(name, "UPDATE alembic_version SET version_num = '9999'")
        report = await examined(capsys, server.url, database_url=address)
        assert report.status == 0
        assert "newer" in report.of("database", "note")["fix"]


async def test_a_page_that_would_be_open_to_strangers(capsys: pytest.CaptureFixture[str]) -> None:
    async with engine() as server:
        report = await examined(capsys, server.url, public_url="https://playground.example")
    assert report.status == 1
    assert "PLAYGROUND_AUTH=users" in report.of("login", "fault")["fix"]


async def test_a_login_for_nobody(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with engine() as server:
        report = await examined(capsys, server.url, auth="users")
        assert "playground users add" in report.of("login", "fault")["fix"]
        (tmp_path / "data").mkdir()
        (tmp_path / "data/users").write_text("ann:secret\n")
        report = await examined(capsys, server.url, auth="users")
        assert "line 1" in report.of("login", "fault")["says"]
        assert "secret" not in json.dumps(report.document)
