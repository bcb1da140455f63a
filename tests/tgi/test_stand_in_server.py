"""The stand-in on the wire: TGI's routes, events, errors and limits."""

import itertools
import json
import math
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient

from playground.settings import load_settings
from tests import servers
from tests.composition import ROOT, environment

PROMPT = "<|user|>\nWhat is min_p?\n<|assistant|>\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with servers.stand_in() as server:
        yield server.url


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
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


def visible(told: list[Any]) -> str:
    return "".join(each["token"]["text"] for each in told if not each["token"]["special"])


# ---- an independent client ----


def test_an_independent_client_streams_with_details(url: str) -> None:
    client = InferenceClient(url)
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
    assert last.generated_text == PROMPT + written  # it asks at POST /
    for output in outputs:
        assert output.token.logprob <= 0
        assert output.top_tokens
        assert output.top_tokens[0].logprob >= output.token.logprob


def test_an_independent_client_generates_with_details(url: str) -> None:
    client = InferenceClient(url)
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


def test_info_has_tgis_fields(http: httpx.Client) -> None:
    info = http.get("/info").json()
    assert info["router"] == "tgi-stand-in"
    assert info["max_stop_sequences"] == 4
    deployed = environment(ROOT / "tgi/serve/fp8.env")["MAX_CONCURRENT_REQUESTS"]
    assert info["max_concurrent_requests"] == int(deployed) > load_settings().max_streams
    assert info["max_input_tokens"] == info["max_total_tokens"] - 1
    assert {"model_id", "model_sha", "max_best_of", "max_client_batch_size", "version", "sha"} <= (
        info.keys()
    )
    assert info["max_best_of"] == 2
    assert "samplers" not in info


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
    ignored = {"inputs": text, "add_special_tokens": False, "parameters": {"truncate": 2}}
    assert http.post("/tokenize", json=ignored).json() == pieces
    assert http.post("/tokenize", json={"inputs": ""}).json() == pieces[:1]


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
    """Its answer is a list, and of one text with the prompt unless that is not wanted."""
    body: dict[str, Any] = {"inputs": PROMPT, "parameters": {"max_new_tokens": 4}}
    alone = http.post("/generate", json=body).json()["generated_text"]
    assert http.post("/", json=body).json() == [{"generated_text": PROMPT + alone}]
    streamed = events(http.post("/", json={**body, "stream": True}))
    assert streamed[-1]["generated_text"] == PROMPT + alone
    body["parameters"]["return_full_text"] = False
    assert http.post("/", json=body).json() == [{"generated_text": alone}]
    (drawn,) = http.post("/", json={"inputs": PROMPT}).json()
    assert drawn["generated_text"].startswith(PROMPT)


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


def test_truncate_keeps_bos_and_the_last_tokens(http: httpx.Client) -> None:
    pieces = http.post("/tokenize", json={"inputs": PROMPT}).json()
    kept = "".join(piece["text"] for piece in pieces[-4:])
    expected = stream(http, kept, max_new_tokens=6, details=True)[-1]
    last = stream(http, "Something else. " + PROMPT, truncate=5, max_new_tokens=6, details=True)[-1]
    assert last["details"]["input_length"] == 5
    assert last == expected
    last = stream(http, PROMPT, truncate=1, max_new_tokens=1, details=True)[-1]
    assert last["details"]["input_length"] == 1


# Behind "a", what is said once is said for ever.
FOREVER = {"repetition_penalty": 0.5, "details": True}


@pytest.fixture(scope="module")
def roomy() -> Iterator[httpx.Client]:
    """A context longer than the model's own, and more likely tokens, told as on a CPU."""
    options = ["--max-total-tokens", "5000", "--max-top-n-tokens", "20", "--raw-top-tokens"]
    with (
        servers.stand_in(*options) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        yield http


@pytest.mark.parametrize(
    ("asked", "written"), [(1023, 1023), (1024, 1024), (1025, 2048), (1500, 2048), (2049, 3072)]
)
def test_above_1024_tokens_whole_pieces_are_written(
    roomy: httpx.Client, asked: int, written: int
) -> None:
    told = stream(roomy, "a", **FOREVER, max_new_tokens=asked)
    details = told[-1]["details"]
    assert details["finish_reason"] == "length"
    assert details["generated_tokens"] == len(told) == written
    assert [each["index"] for each in told] == list(range(1, written + 1))
    assert told[-1]["generated_text"] == visible(told)


def test_at_the_contexts_end_no_piece_is_begun_that_has_no_room(http: httpx.Client) -> None:
    *_, last = stream(http, "a", **FOREVER, max_new_tokens=1030)
    assert last["details"]["generated_tokens"] == 1024  # 2,048 and the prompt are too many
    assert last["details"]["finish_reason"] == "length"
    told = stream(http, "a", **FOREVER)
    inputs = "a" + visible(told[:1024])
    read = len(http.post("/tokenize", json={"inputs": inputs}).json())
    assert len(told) - 1024 == http.get("/info").json()["max_total_tokens"] - read


def test_a_piece_that_ends_inside_a_character_is_lost(roomy: httpx.Client) -> None:
    """The next one begins behind the prompt, so that the reader sees the beginning twice."""
    wild = {"temperature": 1e6, "seed": 76, "details": True}
    told = stream(roomy, "a", **wild, max_new_tokens=1025)
    texts = [each["token"]["text"] for each in told]
    assert texts[1023] == ""
    assert texts[1024:1034] == texts[:10]
    assert told[-1]["details"]["generated_tokens"] == len(told) == 2048
    assert told[-1]["generated_text"] == ""  # both pieces end there


def test_likely_tokens_as_a_cpu_tells_them(roomy: httpx.Client) -> None:
    """By the model's own probabilities; the chosen one's is that which it is drawn from."""
    plain = stream(roomy, top_n_tokens=20, max_new_tokens=1)[0]
    hot = stream(roomy, top_n_tokens=20, max_new_tokens=1, temperature=3.0, top_k=2, seed=1)[0]
    assert hot["top_tokens"] == plain["top_tokens"]
    assert len(hot["top_tokens"]) >= 20
    known = {each["id"]: each["logprob"] for each in hot["top_tokens"]}
    assert hot["token"]["logprob"] != pytest.approx(known[hot["token"]["id"]], abs=0.01)
    (refused,) = stream(roomy, top_n_tokens=21)
    assert refused["error"].endswith("`top_n_tokens` must be >= 0 and <= 20. Given: 21")


def test_a_temperature_too_low_for_16_bits_leaves_an_empty_answer(http: httpx.Client) -> None:
    told = stream(http, temperature=1e-6, seed=1, max_new_tokens=3, details=True)
    assert [each["token"]["text"] for each in told] == ["<unk>"] * 3
    assert all(each["token"]["special"] and each["token"]["logprob"] is None for each in told)
    assert told[-1]["generated_text"] == ""


def test_events_come_with_a_space_behind_the_colon_and_without(http: httpx.Client) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 4}}
    lines = http.post("/generate_stream", json=body).text.split("\n\n")[:-1]
    assert [line.startswith("data: ") for line in lines] == [True, False, True, False]


def test_return_full_text(http: httpx.Client) -> None:
    last = stream(http, return_full_text=True, max_new_tokens=3)[-1]
    assert last["generated_text"].startswith(PROMPT)


def test_the_prompts_tokens_are_told(http: httpx.Client) -> None:
    prompt = PROMPT * 30  # read in several pieces
    pieces = http.post("/tokenize", json={"inputs": prompt}).json()
    body = {"inputs": prompt, "parameters": {"decoder_input_details": True, "max_new_tokens": 1}}
    details = http.post("/generate", json=body).json()["details"]
    assert [token["id"] for token in details["prefill"]] == [piece["id"] for piece in pieces]
    first, *others = details["prefill"]
    assert first == {"id": first["id"], "text": "<s>", "logprob": None}
    assert all(token["logprob"] <= 0 for token in others)
    # Greedy, the next token's logprob is that of the distribution itself: so is the prompt's.
    place = len(pieces) - 5
    start = "".join(piece["text"] for piece in pieces[:place])
    assert len(http.post("/tokenize", json={"inputs": start}).json()) == place
    top = stream(http, start, max_new_tokens=1, top_n_tokens=5)[0]["top_tokens"]
    known = {token["id"]: token["logprob"] for token in top}
    token = details["prefill"][place]
    assert known[token["id"]] == pytest.approx(token["logprob"], abs=1e-4)


def test_the_better_one_of_two_answers(http: httpx.Client) -> None:
    asked = {"best_of": 2, "do_sample": True, "temperature": 1.5, "max_new_tokens": 12}
    body = {"inputs": PROMPT, "parameters": {**asked, "details": True, "top_n_tokens": 1}}
    answer = http.post("/generate", json=body).json()
    details = answer["details"]
    (other,) = details["best_of_sequences"]
    assert other.keys() - details.keys() == {"generated_text"}
    assert None not in (details["seed"], other["seed"])
    assert details["seed"] != other["seed"]

    def likelihood(told: Any) -> float:
        return math.fsum(token["logprob"] for token in told["tokens"]) / len(told["tokens"])

    assert likelihood(details) >= likelihood(other)
    asked = {key: value for key, value in asked.items() if key != "best_of"}
    for told, text in ((details, answer["generated_text"]), (other, other["generated_text"])):
        again = {"inputs": PROMPT, "parameters": {**asked, "seed": told["seed"]}}
        assert http.post("/generate", json=again).json()["generated_text"] == text


@pytest.mark.parametrize("ignored", [{"watermark": True}, {"adapter_id": "x"}, {"best_of": 0}])
def test_what_is_taken_and_changes_nothing(http: httpx.Client, ignored: dict[str, Any]) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 8}}
    plain = http.post("/generate", json=body).json()
    body["parameters"] |= ignored  # type: ignore[operator]
    assert http.post("/generate", json=body).json() == plain


def test_a_long_stop_sequence_is_missed(http: httpx.Client) -> None:
    asked: dict[str, Any] = {"temperature": 1e6, "seed": 27, "max_new_tokens": 300}
    texts = [event["token"]["text"] for event in stream(http, **asked)]
    whole = "".join(texts)
    cuts = [cut for cut in itertools.accumulate(map(len, texts)) if cut < len(whole)]
    short = whole[: next(cut for cut in cuts if cut > 100)]
    long = whole[: next(cut for cut in cuts if cut > 330)]
    assert stream(http, **asked, stop=[short])[-1]["generated_text"] == short
    assert stream(http, **asked, stop=[long])[-1]["generated_text"] == whole


def test_a_top_tokens_text_is_its_own_and_not_what_it_would_add(http: httpx.Client) -> None:
    """As with Mistral's tokenizer, it comes without the space in front."""
    told = stream(http, "Say: naïve 🙂 and naïve 🙂 and", max_new_tokens=40, top_n_tokens=5)
    added = {event["token"]["id"]: event["token"]["text"] for event in told}
    alone = {top["id"]: top["text"] for event in told for top in event["top_tokens"]}
    assert any(text.startswith(" ") for text in added.values())
    assert not any(text.startswith(" ") for text in alone.values() if text.strip())
    assert all(alone[token] == text.removeprefix(" ") for token, text in added.items() if text)


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
    ({"top_p": 0.99999999}, "`top_p` must be > 0.0 and < 1.0"),  # 1 in 32 bits
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than"),
    ({"grammar": {"type": "regex", "value": "a"}}, "grammar is not supported"),
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
    ("parameters", "message"),
    [
        ({"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
        ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
        (
            {"best_of": 2, "do_sample": True, "seed": 1},
            "`seed` must not be set when `best_of` > 1",
        ),
    ],
)
def test_what_best_of_needs(http: httpx.Client, parameters: dict[str, Any], message: str) -> None:
    response = http.post("/generate", json={"inputs": "a", "parameters": parameters})
    assert (response.status_code, response.json()["error_type"]) == (422, "validation")
    assert response.json()["error"] == f"Input validation error: {message}"


@pytest.mark.parametrize("field", [{"best_of": 0}, {"best_of": 2}, {"decoder_input_details": True}])
def test_what_a_stream_cannot_do(http: httpx.Client, field: dict[str, Any]) -> None:
    (name,) = field
    what = "`best_of` != 1" if name == "best_of" else "`decoder_input_details` == true"
    assert stream(http, "a", do_sample=True, **field) == [
        {
            "error": f"Input validation error: {what} is not supported when streaming tokens",
            "error_type": "validation",
        }
    ]


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
        (b"{}", "text/plain", 415, "Expected request with `Content-Type: application/json`"),
        (b"{}", None, 415, "Expected request with `Content-Type: application/json`"),
        (
            b'{"inputs": "%b"}' % (b"a" * 2_000_000),
            "application/json",
            413,
            "Failed to buffer the request body: length limit exceeded",
        ),
        (
            b'{"inputs": 5}',
            "application/json; charset=utf-8",
            422,
            "Failed to deserialize the JSON body into the target type: inputs: invalid type: "
            "integer `5`, expected a string at line 1 column 12",
        ),
        (
            b'{"inputs": ',
            "application/json",
            400,
            "Failed to parse the request body as JSON: inputs: EOF while parsing a value "
            "at line 1 column 11",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/", "/generate", "/generate_stream", "/tokenize"])
def test_malformed_bodies_are_answered_in_plain_text(
    http: httpx.Client, path: str, content: bytes, kind: str | None, status: int, message: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    response = http.post(path, content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == message


def test_the_compatibility_route_knows_stream(http: httpx.Client) -> None:
    response = http.post("/", json={"inputs": "a", "stream": 5})
    assert response.status_code == 422
    assert "stream: invalid type: integer `5`, expected a boolean" in response.text


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


def test_a_message_without_content_is_refused(http: httpx.Client) -> None:
    response = http.post("/chat_tokenize", json={"messages": [{"role": "user"}]})
    assert response.status_code == 422
    assert "data did not match any variant of untagged enum MessageBody" in response.text


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/generate", 405)):
        response = http.request(method, path)
        assert (response.status_code, response.content) == (status, b"")


def test_any_origin_may_ask(http: httpx.Client) -> None:
    for path in ("/generate", "/nothing"):
        response = http.options(path)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["access-control-allow-methods"] == "GET,POST"
        assert response.headers["access-control-allow-origin"] == "*"
    assert http.get("/info").headers["access-control-allow-origin"] == "*"


def test_a_request_that_asks_for_an_upgrade_ends_its_connection(url: str) -> None:
    """Its body is not taken for a request of its own."""
    hidden = b"GET /info HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 10) as connection:
        connection.sendall(
            b"POST /generate HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(hidden), hidden)
        )
        answered = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answered.count(b"HTTP/1.1 ") == 1
    assert b"model_id" not in answered


# ---- beyond stock TGI ----


def test_what_stock_tgi_lacks_is_ignored(http: httpx.Client) -> None:
    plain = stream(http, max_new_tokens=20, details=True)
    ignored: dict[str, Any] = {"presence_penalty": 2, "min_p": 0.9}
    assert stream(http, max_new_tokens=20, details=True, **ignored) == plain
    assert stream(http, max_new_tokens=20, min_p="anything", details=True) == plain


def test_all_samplers_are_told_and_checked(stand_in_url: str) -> None:
    with httpx.Client(base_url=stand_in_url, timeout=30) as http:
        assert http.get("/info").json()["samplers"] == {
            "temperature": "native",
            "top_p": "native",
            "top_k": "native",
            "frequency_penalty": "openai",
            "presence_penalty": "openai",
            "repetition_penalty": "native",
            "min_p": "native",
        }
        for name, value, message in (
            ("presence_penalty", -2.1, "must be >= -2.0 and <= 2.0"),
            ("min_p", 1.1, "must be >= 0.0 and <= 1.0"),
        ):
            (event,) = stream(http, "a", **{name: value})
            assert event["error"] == f"Input validation error: `{name}` {message}"
