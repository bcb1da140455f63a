"""What is wrong with a body, in a sentence: what it must be, and at which place."""

from typing import Any

import pytest
from pydantic import BaseModel

from playground.domain.errors import InvalidRequest
from playground.domain.validation import check
from playground.formats.bodies import ExportBody, ImportBody
from playground.generation.requests import (
    CodeBody,
    PiecesBody,
    ProofBody,
    RenderBody,
    StreamBody,
    TokenizeBody,
)
from playground.sharing.demo import TermsBody
from playground.sharing.record import ShareBody
from tests.conversations import answer, column, record

HI = [{"role": "user", "content": "Hi"}]


def refused(kind: type[BaseModel], body: object) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        check(kind, body)
    return caught.value.field, str(caught.value)


def pane(**values: Any) -> dict[str, Any]:
    return {"messages": HI, "panes": [values]}


@pytest.mark.parametrize(
    ("kind", "body", "field", "words"),
    [
        (StreamBody, [], "body", "The body must be an object."),
        (StreamBody, {"messages": HI}, "panes", "panes is missing: it must be a list of 1 to 4 "),
        (StreamBody, {"panes": 3}, "panes", "panes must be a list of 1 to 4 objects."),
        (StreamBody, {"panes": [{}] * 5}, "panes", "panes must be a list of 1 to 4 objects."),
        (StreamBody, {"panes": [3]}, "panes[0]", "panes[0] must be an object."),
        (
            StreamBody,
            {"pane": []},
            "pane",
            "pane is not known here; there are messages, panes, blind.",
        ),
        (StreamBody, {**pane(), "blind": 1}, "blind", "blind must be true or false."),
        (
            StreamBody,
            pane(sampler={"temperature": 3}),
            "panes[0].sampler.temperature",
            "temperature must be 0 or a number from 0.01 to 2, or null.",
        ),
        (
            StreamBody,
            pane(sampler={"temperature": 5e-324}),
            "panes[0].sampler.temperature",
            "temperature must be 0 or a number from 0.01 to 2, or null.",
        ),
        (
            StreamBody,
            pane(sampler={"top_k": "7"}),
            "panes[0].sampler.top_k",
            "top_k must be a whole number from 0 to 200, or null.",
        ),
        (
            StreamBody,
            pane(sampler={"temprature": 1}),
            "panes[0].sampler.temprature",
            "temprature is not known here; there are temperature, top_p, top_k, ",
        ),
        (
            StreamBody,
            pane(seed=True),
            "panes[0].seed",
            "seed must be a whole number from 0 to 18,446,744,073,709,551,615, or null.",
        ),
        (
            StreamBody,
            pane(preset=["x"]),
            "panes[0].preset",
            "preset must be a text or an object, or null.",
        ),
        (
            StreamBody,
            pane(preset={"name": "x" * 61}),
            "panes[0].preset.name",
            "name must be a text of at most 60 characters.",
        ),
        (
            StreamBody,
            pane(stop=["a", ""]),
            "panes[0].stop[1]",
            "panes[0].stop[1] must be a text of 1 to 200 characters.",
        ),
        (
            StreamBody,
            pane(stop=list("abcd")),
            "panes[0].stop",
            "stop must be a list of at most 3 texts, or null.",
        ),
        (
            TokenizeBody,
            {"messages": [{"role": "tool", "content": ""}]},
            "messages[0].role",
            "role must be one of system, user, assistant.",
        ),
        (
            TokenizeBody,
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "content is missing: it must be a text.",
        ),
        (
            TokenizeBody,
            {"messages": [*HI, {"role": "system", "content": "x"}]},
            "messages[1].role",
            "A system message may only stand first.",
        ),
        (RenderBody, {"text": None}, "text", "text must be a text of at most 50,000 characters."),
        (CodeBody, {"prompt": "", "sent": {}}, "prompt", "prompt must be a text that is not empty"),
        (CodeBody, {"prompt": "x", "sent": {"a b": 1}}, "sent.a b", "a b must be a name, and its "),
        (CodeBody, {"prompt": "x", "sent": {"a": [{}]}}, "sent.a", "a must be a name, and its "),
        (ProofBody, {"x": 1}, "x", "x is not known here; there are engine, again."),
        (PiecesBody, {"texts": []}, "texts", "texts must be a list of 1 to 4 texts."),
        (ImportBody, {"text": "", "format": "x"}, "format", "format must be one of page, toml, "),
        (
            ExportBody,
            {"presets": [{"max_new_tokens": 0}], "format": "tgi"},
            "presets[0].max_new_tokens",
            "max_new_tokens must be a whole number from 1 to 2,147,483,647, or null.",
        ),
        (TermsBody, {}, "title", "title is missing: it must be a text of at most 120 characters."),
        (
            ShareBody,
            {"record": record(column({"role": "robot"}))},
            "record.columns[0].messages[0].role",
            "role must be one of assistant, user.",
        ),
        (
            ShareBody,
            {"record": record(column(answer(receipt={**answer()["receipt"], "x": [{"y": 1e99}]})))},
            "record.columns[0].messages[0].receipt.x[0].y",
            "A number must have at most 64 bits.",
        ),
    ],
)
def test_a_sentence_says_what_is_wrong_and_what_it_must_be(
    kind: type[BaseModel], body: object, field: str, words: str
) -> None:
    found, said = refused(kind, body)
    assert found == field
    assert said.startswith(words)
    assert said.endswith(".")


def test_json_has_one_kind_of_number() -> None:
    [made] = check(StreamBody, pane(max_new_tokens=32.0, seed=7.0, sampler={"top_k": 40.0})).panes
    assert repr((made.max_new_tokens, made.seed)) == "(32, 7)"
    assert made.sampler is not None
    assert repr(made.sampler.top_k) == "40"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"panes": [{"seed": -1, "stop": 1}], "messages": 3}, "panes[0].seed"),
        ({"messages": 3, "panes": [{"seed": -1, "stop": 1}]}, "messages"),
        ({"messages": HI, "panes": [{"stop": 1, "seed": -1}, 7]}, "panes[0].stop"),
        ({"mesages": HI, "blind": 3}, "mesages"),
        ({"blind": 3, "mesages": HI}, "blind"),
        ({"messages": 3}, "messages"),  # and no panes, which come last
    ],
)
def test_the_first_of_several_is_named(body: dict[str, Any], field: str) -> None:
    assert refused(StreamBody, body)[0] == field


LONG = "n" * 500_000


@pytest.mark.parametrize(
    "body",
    [
        {LONG: 1},
        {**pane(), LONG: 1},
        pane(sampler={LONG: 1}),
        pane(preset=LONG),
        pane(**{f"{LONG}{i}": i for i in range(20)}),
    ],
)
def test_what_a_stranger_sent_is_told_back_in_a_few_words(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(StreamBody, body).asked([])
    assert len(caught.value.field) < 100
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "body",
    [
        {f"name {i}": i for i in range(50_000)},
        pane(**{f"name {i}": i for i in range(50_000)}),
        {"messages": [{"role": "user", "content": "x", "y": 1}] * 50_000, "panes": [{}]},
        {"messages": [3] * 50_000, "panes": [{}]},
        {"messages": [{f"name {i}": i for i in range(50_000)}], "panes": [{}]},
    ],
)
def test_a_body_that_is_wrong_everywhere_makes_few_errors(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(StreamBody, body)
    cause = caught.value.__cause__
    assert cause is not None
    assert getattr(cause, "error_count")() < 20  # noqa: B009


def test_a_record_may_tell_a_temperature_that_was_taken_once() -> None:
    kept = column()
    kept["setting"]["sampler"] = {"temperature": 0.001}
    check(ShareBody, {"record": record(kept)})
    [tidy] = check(StreamBody, pane(sampler={"temperature": -0.0})).panes
    assert tidy.sampler is not None
    assert str(tidy.sampler.temperature) == "0.0"
