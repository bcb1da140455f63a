"""The stand-in on the wire: TGI's routes, events, errors and limits."""

import json
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient

from tests import servers

PROMPT = "<|user|>\nWhat is min_p?\n<|assistant|>\n"


@pytest.fixture(scope="module")
def http(stand_in_url: str) -> Any:
    with httpx.Client(base_url=stand_in_url, timeout=30) as client:
        yield client


def events(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = response.text.split("\n\n")
    assert parts.pop() == ""
    return [json.loads(part.removeprefix("data:")) for part in parts if not part.startswith(":")]


def stream(http: httpx.Client, inputs: str = PROMPT, **parameters: Any) -> list[Any]:
    body = {"inputs": inputs, "parameters": parameters}
    response = http.post("/generate_stream", json=body)
    assert response.status_code == 200
    return events(response)


# ---- an independent client ----


def test_an_independent_client_streams_with_details(stand_in_url: str) -> None:
    client = InferenceClient(stand_in_url)
    outputs = list(
        client.text_generation(
            PROMPT, stream=True, details=True, max_new_tokens=20, top_n_tokens=3, seed=5, top_p=0.9
        )
    )
    assert [output.index for output in outputs] == list(range(1, len(outputs) + 1))
    *running, last = outputs
    assert all(output.generated_text is None and output.details is None for output in running)
    assert last.details is not None
    assert last.details.generated_tokens == len(outputs)
    assert last.details.seed == 5
    assert last.details.finish_reason in {"length", "eos_token"}
    written = "".join(output.token.text for output in outputs if not output.token.special)
    assert last.generated_text == written
    for output in outputs:
        assert output.token.logprob <= 0
        assert output.top_tokens
        assert output.top_tokens[0].logprob >= output.token.logprob


def test_an_independent_client_generates_with_details(stand_in_url: str) -> None:
    client = InferenceClient(stand_in_url)
    streamed = client.text_generation(PROMPT, stream=True, details=True, max_new_tokens=12)
    tokens = [output.token.id for output in streamed]
    whole = client.text_generation(PROMPT, details=True, max_new_tokens=12, top_n_tokens=1)
    assert whole.details is not None
    assert [token.id for token in whole.details.tokens] == tokens
    assert whole.details.generated_tokens == len(tokens)
    assert whole.details.prefill == []
    assert whole.details.seed is None  # greedy: no seed was used, as TGI says
    assert whole.details.top_tokens is not None
    tops: Any = whole.details.top_tokens  # a list a token, which the client leaves as it came
    assert [top[0]["id"] for top in tops] == tokens


# ---- the small routes ----


def test_health_is_empty(http: httpx.Client) -> None:
    for path in ("/health", "/ping", "/"):
        response = http.get(path)
        assert (response.status_code, response.content) == (200, b"")


def test_info_has_tgis_fields_and_names_the_extensions(http: httpx.Client) -> None:
    info = http.get("/info").json()
    assert info["router"] == "tgi-stand-in"
    assert info["max_stop_sequences"] == 4
    assert info["max_concurrent_requests"] == 128
    assert info["max_input_tokens"] == info["max_total_tokens"] - 1
    assert {"model_id", "model_sha", "max_best_of", "max_client_batch_size", "version", "sha"} <= (
        info.keys()
    )
    assert info["samplers"] == {
        "temperature": "native",
        "top_p": "native",
        "top_k": "native",
        "frequency_penalty": "openai",
        "presence_penalty": "openai",
        "repetition_penalty": "native",
        "min_p": "native",
    }


def test_models_lists_the_one_model(http: httpx.Client) -> None:
    (model,) = http.get("/v1/models").json()["data"]
    assert model["id"] == http.get("/info").json()["model_id"]


def test_tokenize_gives_places_in_bytes(http: httpx.Client) -> None:
    text = "Hé 🙂!"
    pieces = http.post("/tokenize", json={"inputs": text}).json()
    assert pieces[0]["text"] == ""  # BOS
    assert pieces[-1] == {**pieces[-1], "text": "!", "stop": len(text.encode())}
    for piece in pieces:
        assert text.encode()[piece["start"] : piece["stop"]].decode() == piece["text"]
    bare = http.post("/tokenize", json={"inputs": text, "add_special_tokens": False}).json()
    assert bare == pieces[1:]


def test_chat_tokenize_renders_the_template(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    answer = http.post("/chat_tokenize", json={"messages": messages}).json()
    assert answer["templated_text"] == "<|user|>\nHello\n<|assistant|>\n"
    assert (
        "".join(piece["text"] for piece in answer["tokenize_response"])
        == (answer["templated_text"])
    )


def test_metrics_count(http: httpx.Client) -> None:
    def value(name: str) -> float:
        for line in http.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return 0

    before = value("tgi_request_success"), value("tgi_request_generated_tokens_sum")
    tokens = len(stream(http, max_new_tokens=5))
    assert value("tgi_request_success") == before[0] + 1
    assert value("tgi_request_generated_tokens_sum") == before[1] + tokens
    assert value("tgi_batch_current_size") == 0


def test_the_compatibility_route(http: httpx.Client) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 4}}
    (answer,) = http.post("/", json=body).json()
    assert answer == http.post("/generate", json=body).json()
    streamed = events(http.post("/", json={**body, "stream": True}))
    assert streamed[-1]["generated_text"] == answer["generated_text"]


# ---- how an answer ends ----


def test_stop_sequences_end_the_text_and_stay_in_it(http: httpx.Client) -> None:
    whole = stream(http, max_new_tokens=30)[-1]["generated_text"]
    word = whole.split()[3]
    last = stream(http, max_new_tokens=30, stop=["never written", word], details=True)[-1]
    assert last["details"]["finish_reason"] == "stop_sequence"
    assert last["generated_text"].endswith(word)
    assert whole.startswith(last["generated_text"])


def test_length_ends_before_everything_else(http: httpx.Client) -> None:
    last = stream(http, max_new_tokens=1, stop=[""], details=True)[-1]
    assert last["details"]["finish_reason"] == "length"


def test_an_answer_ends_with_the_end_token(http: httpx.Client) -> None:
    last = stream(http, max_new_tokens=400, details=True)[-1]
    assert last["details"]["finish_reason"] == "eos_token"
    assert last["token"]["special"] is True
    assert not last["generated_text"].endswith(last["token"]["text"])


def test_truncate_keeps_the_last_tokens(http: httpx.Client) -> None:
    pieces = http.post("/tokenize", json={"inputs": PROMPT}).json()
    kept = "".join(piece["text"] for piece in pieces[-5:])
    body = {"inputs": kept, "add_special_tokens": False, "parameters": {"max_new_tokens": 6}}
    expected = http.post("/generate", json=body).json()["generated_text"]
    last = stream(http, "Something else. " + PROMPT, truncate=5, max_new_tokens=6, details=True)[-1]
    assert last["details"]["input_length"] == 5
    assert last["generated_text"] == expected


def test_return_full_text(http: httpx.Client) -> None:
    last = stream(http, return_full_text=True, max_new_tokens=3)[-1]
    assert last["generated_text"].startswith(PROMPT)


def test_details_only_when_asked_for(http: httpx.Client) -> None:
    last = stream(http, max_new_tokens=2)[-1]
    assert last["generated_text"]
    assert last["details"] is None
    assert "top_tokens" not in last


# ---- what is refused ----

REFUSED = [
    ({"temperature": 0}, "`temperature` must be strictly positive"),
    ({"temperature": -1.5}, "`temperature` must be strictly positive"),
    ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"top_p": 0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 1.0}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"top_k": -1}, "`top_k` must be strictly positive"),
    ({"repetition_penalty": 0}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 2.1}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"presence_penalty": -2.1}, "`presence_penalty` must be >= -2.0 and <= 2.0"),
    ({"min_p": 1.1}, "`min_p` must be >= 0.0 and <= 1.0"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than"),
    ({"watermark": True}, "`watermark` == true is not supported"),
    ({"grammar": {"type": "regex", "value": "a"}}, "grammar is not supported"),
    ({"adapter_id": "x"}, "`adapter_id` is not supported"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_refusals(http: httpx.Client, parameters: dict[str, Any], message: str) -> None:
    body = {"inputs": "a", "parameters": parameters}
    response = http.post("/generate", json=body)
    assert response.status_code == 422
    error = response.json()
    assert error["error_type"] == "validation"
    assert error["error"].startswith(f"Input validation error: {message}")
    assert stream(http, "a", **parameters) == [error]  # under 200, as the only event


@pytest.mark.parametrize(
    ("parameters", "alone", "streaming"),
    [
        (
            {"best_of": 2},
            "`best_of` != 1 is not allowed for this endpoint",
            "`best_of` != 1 is not supported when streaming tokens",
        ),
        (
            {"decoder_input_details": True},
            "`decoder_input_details` == true is not supported by this server",
            "`decoder_input_details` == true is not supported when streaming tokens",
        ),
    ],
)
def test_refusals_that_differ_when_streaming(
    http: httpx.Client, parameters: dict[str, Any], alone: str, streaming: str
) -> None:
    response = http.post("/generate", json={"inputs": "a", "parameters": parameters})
    assert response.json()["error"] == f"Input validation error: {alone}"
    (event,) = stream(http, "a", **parameters)
    assert event["error"] == f"Input validation error: {streaming}"


def test_inputs_must_fit(http: httpx.Client) -> None:
    limit = http.get("/info").json()["max_total_tokens"]
    (event,) = stream(http, "", max_new_tokens=1)
    assert event["error"].endswith("`inputs` cannot be empty")
    (event,) = stream(http, "one two " * limit, max_new_tokens=1)
    assert f"`inputs` tokens + `max_new_tokens` must be <= {limit}. Given:" in event["error"]
    (event,) = stream(http, "one two " * limit)
    assert f"must be <= {limit}" in event["error"] or "must have less than" in event["error"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "message"),
    [
        (b'{"inputs": ', "application/json", 400, "Failed to parse the request body as JSON"),
        (b"{}", "text/plain", 415, "Expected request with `Content-Type: application/json`"),
        (b"{}", None, 415, "Expected request with `Content-Type: application/json`"),
        (b"{}", "application/json", 422, "missing field `inputs`"),
        (b"[]", "application/json", 422, "invalid type: sequence"),
        (b'{"inputs": 5}', "application/json; charset=utf-8", 422, "inputs: invalid type: integer"),
        (
            b'{"inputs": "a", "parameters": {"temperature": "hot"}}',
            "application/json",
            422,
            'parameters.temperature: invalid type: string "hot", expected f32',
        ),
        (
            b'{"inputs": "a", "parameters": {"top_k": 1.5}}',
            "application/json",
            422,
            "parameters.top_k: invalid type: floating point `1.5`, expected i32",
        ),
        (
            b'{"inputs": "a", "parameters": {"seed": -1}}',
            "application/json",
            422,
            "parameters.seed: invalid value: integer `-1`, expected u64",
        ),
        (
            b'{"inputs": "a", "parameters": {"do_sample": null}}',
            "application/json",
            422,
            "parameters.do_sample: invalid type: null, expected a boolean",
        ),
        (
            b'{"inputs": "a", "parameters": {"stop": [1]}}',
            "application/json",
            422,
            "parameters.stop[0]: invalid type: integer `1`, expected a string",
        ),
        (
            b'{"inputs": "%b"}' % (b"a" * 2_000_000),
            "application/json",
            413,
            "length limit exceeded",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_malformed_bodies_are_answered_in_plain_text(
    http: httpx.Client, path: str, content: bytes, kind: str | None, status: int, message: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    response = http.post(path, content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/plain")
    assert message in response.text


def test_unknown_fields_are_ignored(http: httpx.Client) -> None:
    plain = stream(http, max_new_tokens=4)
    body = {
        "inputs": PROMPT,
        "stream": 5,
        "parameters": {"max_new_tokens": 4, "mirostat": {"tau": 1}, "temperature": None},
    }
    assert events(http.post("/generate_stream", json=body)) == plain


def test_tools_are_refused(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function"}]}
    response = http.post("/chat_tokenize", json=body)
    assert (response.status_code, response.json()["error_type"]) == (422, "tool_error")


def test_templates_that_cannot_be_rendered(http: httpx.Client) -> None:
    response = http.post("/chat_tokenize", json={"messages": [{"role": "user"}]})
    assert response.status_code == 422
    assert "messages[0].content" in response.text


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    assert http.get("/nothing").status_code == 404
    assert http.get("/generate").status_code == 405


# ---- following stock TGI ----


def test_stock_has_no_extensions() -> None:
    with (
        servers.stand_in("--stock") as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        assert "samplers" not in http.get("/info").json()
        plain = stream(http, max_new_tokens=20, details=True)
        ignored: dict[str, Any] = {"presence_penalty": 2, "min_p": 0.9}
        assert stream(http, max_new_tokens=20, details=True, **ignored) == plain
        assert stream(http, max_new_tokens=20, min_p="anything", details=True) == plain
