"""Models from the Hub and from folders, against a small Hub of our own on loopback."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import onnxruntime as ort
import pytest

from tests import graphs, servers
from tests.hub import SHA, Hub, Repository
from tests.stand_in.files import BUNDLED, choose_graph, external_data
from tests.stand_in.runtime import Runtime, UnsupportedGraph

SMALL = {
    name: (BUNDLED / name).read_bytes()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
}
GRAPH = (BUNDLED / "model.onnx").read_bytes()

PIECE = 10 * 2**20  # the Hub's client writes what arrives in pieces of this size


def environment(hub_url: str, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(home),
        "HF_HUB_ETAG_TIMEOUT": "5",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TQDM_POSITION": "-1",  # draws the progress bar where there is no terminal
    }


def refused(hub_url: str, home: Path, *arguments: str) -> str:
    """What the engine says when it does not start."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.stand_in", "--port", "0", *arguments],
        env={**servers.environment(), **environment(hub_url, home)},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=servers.ROOT,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def answers(server: servers.Server) -> str:
    body = {"inputs": "<|user|>\nHi\n<|assistant|>\n", "parameters": {"max_new_tokens": 8}}
    response = httpx.post(f"{server.url}/generate", json=body, timeout=30)
    assert response.status_code == 200
    return str(response.json()["generated_text"])


def test_only_what_is_needed_is_fetched_and_the_cache_serves_offline(
    tmp_path: Path, stand_in: servers.Server
) -> None:
    files = {
        **SMALL,
        "onnx/model_int8.onnx": GRAPH,
        "onnx/model.onnx": b"too large",
        "model.safetensors": b"not for us",
        "README.md": b"# A model",
    }
    with Hub({"org/small": Repository(files)}) as hub:
        env = environment(hub.url, tmp_path)
        with servers.stand_in("--model", "org/small", env=env) as server:
            info = httpx.get(f"{server.url}/info").json()
            assert (info["model_id"], info["model_sha"]) == ("org/small", SHA)
            assert answers(server) == answers(stand_in)  # it is the bundled model
            assert "model_int8.onnx" in server.output
            assert "100%" in server.output
        assert hub.fetched() == {*SMALL, "onnx/model_int8.onnx"}
        hub.requests.clear()
        with servers.stand_in("--model", "org/small", env=env):
            pass
        assert hub.fetched() == set()
    with servers.stand_in("--model", "org/small", env=env) as server:  # the hub is gone
        assert httpx.get(f"{server.url}/info").json()["model_sha"] == SHA


@pytest.fixture(scope="module")
def large() -> bytes:
    """The bundled graph with a documentation of blanks, so that it comes in three pieces."""
    return GRAPH + graphs.field(6, b" " * (2 * PIECE))


def test_a_break_is_mended_at_once(tmp_path: Path, large: bytes) -> None:
    repository = Repository({**SMALL, "onnx/model.onnx": large})
    repository.break_after["onnx/model.onnx"] = PIECE + 1_000_000
    with Hub({"org/small": repository}) as hub:
        env = environment(hub.url, tmp_path)
        with servers.stand_in("--model", "org/small", env=env) as server:
            assert answers(server)
        assert hub.ranges("model.onnx") == [None, f"bytes={PIECE}-"]


def test_a_long_break_is_mended_at_the_next_start(tmp_path: Path, large: bytes) -> None:
    repository = Repository({**SMALL, "onnx/model.onnx": large}, stay_broken=True)
    repository.break_after["onnx/model.onnx"] = PIECE
    with Hub({"org/small": repository}) as hub:
        message = refused(hub.url, tmp_path, "--model", "org/small")
        assert f"broke off after {PIECE} of {len(large)} bytes" in message
        assert "Start again to go on from there." in message
        repository.break_after.clear()
        hub.requests.clear()
        env = environment(hub.url, tmp_path)
        with servers.stand_in("--model", "org/small", env=env) as server:
            assert answers(server)
        assert hub.ranges("model.onnx") == [f"bytes={PIECE}-"]


def test_a_damaged_file_is_not_served(tmp_path: Path) -> None:
    repository = Repository({**SMALL, "model.onnx": GRAPH}, damage=True)
    with Hub({"org/small": repository}) as hub:
        message = refused(hub.url, tmp_path, "--model", "org/small")
    assert "model.onnx of org/small arrived damaged" in message


def test_external_data_comes_along(tmp_path: Path, stand_in: servers.Server) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "model_fp16.onnx")
    for name, value in (("file_name", "model_fp16.onnx_data"), ("min_size_in_bytes", "1000")):
        options.add_session_config_entry(
            f"session.optimized_model_external_initializers_{name}", value
        )
    ort.InferenceSession(str(BUNDLED / "model.onnx"), options, providers=["CPUExecutionProvider"])
    graph, data = ((tmp_path / f"model_fp16.onnx{end}").read_bytes() for end in ("", "_data"))
    assert len(graph) < 500_000 < len(data)
    files = {**SMALL, "onnx/model_fp16.onnx": graph, "onnx/model_fp16.onnx_data": data}
    with Hub({"org/apart": Repository(files)}) as hub:
        env = environment(hub.url, tmp_path / "home")
        with servers.stand_in("--model", "org/apart", env=env) as server:
            assert answers(server) == answers(stand_in)


def test_a_folder_laid_out_like_an_export(tmp_path: Path, stand_in: servers.Server) -> None:
    for name, content in SMALL.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "onnx").mkdir()
    shutil.copy(BUNDLED / "model.onnx", tmp_path / "onnx" / "model_q4.onnx")
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }} {{ eos_token }}")
    with servers.stand_in("--model", str(tmp_path)) as server:
        assert answers(server) == answers(stand_in)
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        rendered = httpx.post(f"{server.url}/chat_tokenize", json=chat).json()
        assert rendered["templated_text"] == "Hi </s>"


def test_a_template_that_refuses_and_none_at_all(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(SMALL[name])
    shutil.copy(BUNDLED / "model.onnx", tmp_path)
    chat = {"messages": [{"role": "user", "content": "Hi"}]}

    def error(template: str | None) -> tuple[int, dict[str, str]]:
        if template is not None:
            (tmp_path / "chat_template.jinja").write_text(template)
        with servers.stand_in("--model", str(tmp_path)) as server:
            response = httpx.post(f"{server.url}/chat_tokenize", json=chat)
            return response.status_code, response.json()

    kind = "template_error"
    missing = {"error": "Template error: template not found", "error_type": kind}
    assert error(None) == (422, missing)
    alternate = {"error": "Template error: Roles must alternate", "error_type": kind}
    assert error("{{ raise_exception('Roles must alternate') }}") == (422, alternate)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["onnx/model.onnx", "onnx/model_int8.onnx", "onnx/model_q4.onnx"], "onnx/model_int8.onnx"),
        (["onnx/model_quantized.onnx", "model.onnx"], "onnx/model_quantized.onnx"),
        (["model.onnx", "onnx/model_fp16.onnx"], "model.onnx"),
        (["onnx/model_q4f16.onnx", "onnx/model_fp16.onnx"], "onnx/model_fp16.onnx"),
        (["onnx/encoder_model.onnx", "model.safetensors"], None),
    ],
)
def test_the_best_graph_is_chosen(names: list[str], chosen: str | None) -> None:
    assert choose_graph(names) == chosen


def test_external_data_is_found_under_all_its_names() -> None:
    graph = "onnx/model.onnx"
    own = [f"{graph}.data", f"{graph}_data", f"{graph}_data_1"]
    assert external_data(graph, [*own, graph, "onnx/model_fp16.onnx_data"]) == own


# ---- what is refused ----


def test_repositories_that_cannot_be_had(tmp_path: Path) -> None:
    bert = {**SMALL, "config.json": b'{"architectures": ["BertForMaskedLM"]}'}
    t5 = {**SMALL, "config.json": b'{"architectures": ["T5ForX"], "is_encoder_decoder": true}'}
    hub = Hub(
        {
            "org/gated": Repository({**SMALL, "onnx/model.onnx": GRAPH}, gated=True),
            "org/torch": Repository({**SMALL, "model.safetensors": b""}),
            "org/bert": Repository({**bert, "model.onnx": GRAPH}),
            "org/t5": Repository({**t5, "onnx/decoder_model_merged.onnx": GRAPH}),
            "org/mute": Repository({"config.json": b"{}", "onnx/model.onnx": GRAPH}),
        }
    )
    expected = {
        "org/nothing": "There is no repository org/nothing on the Hub",
        "org/gated": "org/gated is gated: accept its terms",
        "org/torch": "org/torch holds no ONNX export",
        "org/bert": "org/bert is no decoder-only language model but BertForMaskedLM",
        "org/t5": "org/t5 is no decoder-only language model",
        "org/mute": "org/mute has no tokenizer.json",
    }
    script = (
        "import sys\n"
        "from tests.stand_in.files import NoModel\n"
        "from tests.stand_in.hub import fetch\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        fetch(name)\n"
        "    except NoModel as error:\n"
        "        print(error)\n"
    )
    with hub:
        result = subprocess.run(
            [sys.executable, "-c", script, *expected],
            env={**servers.environment(), **environment(hub.url, tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            cwd=servers.ROOT,
            check=True,
        )
        for said, message in zip(result.stdout.splitlines(), expected.values(), strict=True):
            assert message in said
        assert not any(name.endswith(".onnx") for name in hub.fetched())
    message = refused(hub.url, tmp_path, "--model", "org/nothing")
    assert "The Hub cannot be reached, and org/nothing is not complete in the cache" in message


def graph(inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """A graph of 64-bit numbers whose outputs all repeat the first input."""

    def value(name: str) -> bytes:
        return graphs.value(name, graphs.INT64, "rows", "tokens")

    nodes = [graphs.node("Identity", inputs[:1], name) for name in outputs]
    return graphs.model(nodes, list(map(value, inputs)), list(map(value, outputs)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["input_ids"], ["last_hidden_state"], "gives no logits"),
        (["input_ids", "attention_mask"], ["logits"], "no past_key_values"),
        (["input_ids", "encoder_hidden_states"], ["logits"], "encoder-decoder"),
        (["input_ids", "pixel_values"], ["logits"], "cannot give: pixel_values"),
        (
            ["input_ids", "past_key_values.0.key"],
            ["logits", "present.0.key"],
            "keeps past_key_values.0.key as tensor(int64)",
        ),
        (
            ["input_ids", "past_key_values.0.key"],
            ["logits"],
            "gives nothing that continues it",
        ),
    ],
)
def test_graphs_of_another_kind(
    tmp_path: Path, inputs: list[str], outputs: list[str], message: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph(inputs, outputs))
    with pytest.raises(UnsupportedGraph, match=re.escape(message)):
        Runtime(path, {})


def test_a_graph_of_another_kind_is_told(tmp_path: Path) -> None:
    for name, content in SMALL.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "model.onnx").write_bytes(graph(["input_ids"], ["logits"]))
    message = refused("http://127.0.0.1:9", tmp_path, "--model", str(tmp_path))
    assert message.startswith("tests.stand_in: The graph has no past_key_values")
