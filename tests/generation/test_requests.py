"""What is asked for, as a value; and the sentences about what cannot be."""

from typing import Any

import pytest

from playground.domain.errors import InvalidRequest
from playground.domain.messages import Message, PaneRequest
from playground.domain.presets import load_presets
from playground.domain.samplers import Sampler
from playground.domain.validation import check, shortened
from playground.generation.requests import CodeBody, StreamBody, StreamRequest, TokenizeBody

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be brief."}
HI = [USER]
(ALPACA,) = [preset for preset in load_presets() if preset.id == "alpacaeval"]


def asked(body: object) -> StreamRequest:
    return check(StreamBody, body).asked(load_presets())


def test_a_pane_is_asked_for_with_all_that_it_names() -> None:
    own = [SYSTEM, USER, ANSWER]
    found = asked(
        {
            "messages": HI,
            "panes": [
                {"preset": "alpacaeval"},
                {
                    "preset": "alpacaeval",
                    "sampler": {"temperature": 0.2, "top_p": 0.95},
                    "max_new_tokens": None,
                    "seed": 7,
                    "stop": ["END", "FIN"],
                },
                {"sampler": {"top_k": 3}, "max_new_tokens": 9, "messages": own},
                {"emulate": False},
            ],
            "blind": True,
        }
    )
    hi = (Message("user", "Hi"),)
    assert found.blind
    assert found.panes == (
        PaneRequest(
            hi,
            ALPACA.sampler,
            "Balanced",
            max_new_tokens=ALPACA.max_new_tokens,
        ),
        PaneRequest(
            hi,
            Sampler(temperature=0.2, top_p=0.95),
            "Balanced",
            {"temperature": (0.7, 0.2), "max_new_tokens": (2048, None)},
            seed=7,
            stop=("END", "FIN"),
        ),
        PaneRequest(
            tuple(Message(each["role"], each["content"]) for each in own),  # type: ignore[arg-type]
            Sampler(top_k=3),
            max_new_tokens=9,
        ),
        PaneRequest(hi, Sampler(), emulate=False),
    )


@pytest.mark.parametrize(
    ("messages", "field", "error"),
    [
        ([], "messages", "The conversation has no message to answer."),
        ([SYSTEM], "messages", "The conversation has no message to answer."),
        ([ANSWER], "messages", "The conversation must begin with the user."),
        ([SYSTEM, ANSWER, USER], "messages", "The conversation must begin with the user."),
        ([USER, SYSTEM], "messages[1].role", "A system message may only stand first."),
        ([SYSTEM, SYSTEM, USER], "messages[1].role", "A system message may only stand first."),
        (
            [SYSTEM, USER, ANSWER, {"role": "user", "content": " \n"}],
            "messages[3]",
            "The last message is empty.",
        ),
        ([{"role": "user", "content": "\u200b"}], "messages[0]", "The last message is empty."),
    ],
)
def test_a_conversation_that_cannot_be_answered(
    messages: list[dict[str, str]], field: str, error: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(TokenizeBody, {"messages": messages})
    assert (caught.value.field, str(caught.value)) == (field, error)


@pytest.mark.parametrize("messages", [5, "abc", {"a": {"b": 1, "c": 2, "d": 3}}, [5], [[1, 2, 3]]])
def test_what_is_no_list_of_messages_is_refused(messages: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(TokenizeBody, {"messages": messages})
    assert caught.value.field == ("messages[0]" if isinstance(messages, list) else "messages")


def test_a_message_has_no_other_names_however_many_they_are() -> None:
    names = {f"name-{i}": 1 for i in range(1000)}
    with pytest.raises(InvalidRequest) as caught:
        check(TokenizeBody, {"messages": [USER, {**ANSWER, **names}]})
    assert caught.value.field == "messages[1].name-0"


@pytest.mark.parametrize(
    ("body", "field", "error"),
    [
        ({"panes": [{}]}, "messages", "There is no conversation to answer."),
        (
            {"messages": HI, "panes": [{"messages": HI}]},
            "messages",
            "Every pane has messages of its own, which contradict these.",
        ),
        (
            {"messages": HI, "panes": [{}], "blind": True},
            "blind",
            "There is nothing to hide with a single pane.",
        ),
    ],
)
def test_panes_that_contradict_each_other(body: object, field: str, error: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(body)
    assert (caught.value.field, str(caught.value)) == (field, error)


def test_an_empty_answer_may_go_on() -> None:
    last = {"role": "assistant", "content": ""}
    assert check(TokenizeBody, {"messages": [USER, last]}).messages[-1] == Message("assistant", "")


@pytest.mark.parametrize("value", [1, 0.5, "a", True, [], [1, "a", False]])
def test_a_receipts_parameters_are_read_as_they_are(value: object) -> None:
    assert check(CodeBody, {"prompt": "Hi", "sent": {"top_k2_": value}}).sent == {"top_k2_": value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", None),
        ("top_k", {"a": {}}),
        ("top_k", [[1]]),
        ("Top", 1),
        ("a-b", 1),
        ("x" * 62, 1),
    ],
)
def test_what_is_no_parameter_is_named(name: str, value: Any) -> None:
    shown = shortened(name)
    with pytest.raises(InvalidRequest) as caught:
        check(CodeBody, {"prompt": "Hi", "sent": {name: value}})
    assert caught.value.field == f"sent.{shown}"
    assert str(caught.value) == (
        f"{shown} must be a name, and its value a number, a text, true or false, or a list or an "
        "object of such."
    )
