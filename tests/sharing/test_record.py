"""What is a record, and the place at which another value is none."""

from typing import Any

import orjson
import pytest

from playground.domain.errors import InvalidRequest
from playground.domain.validation import check
from playground.sharing.record import Record, ShareBody, answers, shown_first
from tests.conversations import answer, branched, column, of_version, record


def parse_record(body: object) -> Record:
    return check(ShareBody, {"record": body}).record


FAILURE = {"kind": "offline", "message": "The engine is away.", "retryable": True}


@pytest.mark.parametrize(
    "body",
    [
        record(),
        record(column(), column(answer(letter="A", chosen=True)), column()),
        record(column(answer("", state="failed", receipt=None, done=None, problem=FAILURE))),
        record(column(answer("Once", state="stopped", done=None))),
        record(column(answer(receipt={**answer()["receipt"], "later": [{"more": 1}]}))),
        record(column({"role": "user", "content": ""}), title=""),
        of_version(1, record()),
        of_version(1, record(column(), column())),
        of_version(2, record(column(), column())),
        of_version(3, record(column(), column())),
        branched(),
        record(column(answer(), answer(after=None)), column()),
    ],
)
def test_a_record_is_kept_as_it_came(body: dict[str, Any]) -> None:
    sent = orjson.dumps(body)
    assert parse_record(orjson.loads(sent)).text.encode() == sent


DELETED = object()


def broken(path: str, value: object) -> dict[str, Any]:
    """The record with another value at one place; a value of None deletes it."""
    body: Any = orjson.loads(orjson.dumps(record()))
    *names, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = body
    for name in names:
        place = place[name]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    whole: dict[str, Any] = body
    return whole


ANSWER = "columns.0.messages.1"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("format", "other", "format"),
        ("version", 5, "version"),
        ("version", 0, "version"),
        ("version", 1, "columns[0].setting.engine"),
        ("version", 2, "columns[0].setting.emulate"),
        ("version", 2.0, "version"),
        ("version", True, "version"),
        ("columns.0.shown", 2, "columns[0].shown"),
        ("columns.0.shown", None, "columns[0].shown"),
        (f"{ANSWER}.after", 1, "columns[0].messages[1].after"),
        (f"{ANSWER}.after", -1, "columns[0].messages[1].after"),
        (f"{ANSWER}.after", "0", "columns[0].messages[1].after"),
        ("columns.0.messages.0.after", 0, "columns[0].messages[0].after"),
        (f"{ANSWER}.prefilled", -1, "columns[0].messages[1].prefilled"),
        (f"{ANSWER}.rewritten", "yes", "columns[0].messages[1].rewritten"),
        ("kind", "page", "kind"),
        ("title", "x" * 201, "title"),
        ("title", DELETED, "title"),
        ("html", "<b>", "html"),
        ("columns", [], "columns"),
        ("columns", [column()] * 2, "columns"),
        ("columns", {}, "columns"),
        ("columns.0.messages", [], "columns"),
        ("columns.0.label", 1, "columns[0].label"),
        ("columns.0.setting.sampler.min_p", 1.5, "columns[0].setting.sampler.min_p"),
        ("columns.0.setting.sampler.min_p", None, "columns[0].setting.sampler.min_p"),
        ("columns.0.setting.sampler.heat", 1, "columns[0].setting.sampler.heat"),
        ("columns.0.setting.max_new_tokens", 0, "columns[0].setting.max_new_tokens"),
        ("columns.0.setting.engine", DELETED, "columns[0].setting.engine"),
        ("columns.0.setting.engine", 7, "columns[0].setting.engine"),
        ("columns.0.setting.emulate", DELETED, "columns[0].setting.emulate"),
        ("columns.0.setting.emulate", "off", "columns[0].setting.emulate"),
        ("columns.0.setting.seed", -1, "columns[0].setting.seed"),
        ("columns.0.setting.seed", 2**64, "columns[0].setting.seed"),
        ("columns.0.setting.stop", ["a"] * 4, "columns[0].setting.stop"),
        ("columns.0.setting.stop.0", "x" * 201, "columns[0].setting.stop[0]"),
        ("columns.0.messages.0.role", "system", "columns[0].messages[0].role"),
        ("columns.0.messages.0.html", "<b>", "columns[0].messages[0].html"),
        ("columns.0.messages.0", "Hi", "columns[0].messages[0]"),
        (f"{ANSWER}.content", "x" * 50_001, "columns[0].messages[1].content"),
        (f"{ANSWER}.state", "streaming", "columns[0].messages[1].state"),
        (f"{ANSWER}.state", "failed", "columns[0].messages[1].problem"),
        (f"{ANSWER}.blocks", [], "columns[0].messages[1].blocks"),
        (f"{ANSWER}.letter", "AB", "columns[0].messages[1].letter"),
        (f"{ANSWER}.receipt.sent", [], "columns[0].messages[1].receipt.sent"),
        (f"{ANSWER}.receipt.engine", DELETED, "columns[0].messages[1].receipt.engine"),
        (f"{ANSWER}.receipt.edits.min_p", 1, "columns[0].messages[1].receipt.edits.min_p"),
        (f"{ANSWER}.receipt.sent.x", 1e300, "columns[0].messages[1].receipt.sent.x"),
        (f"{ANSWER}.done.duration_ms", "1", "columns[0].messages[1].done.duration_ms"),
        (f"{ANSWER}.problem", {"message": ""}, "columns[0].messages[1].problem.kind"),
        (f"{ANSWER}.notices", "One", "columns[0].messages[1].notices"),
        (f"{ANSWER}.receipt.emulated.min_p", "x", "columns[0].messages[1].receipt.emulated.min_p"),
        (f"{ANSWER}.receipt.max_new_tokens", "x", "columns[0].messages[1].receipt.max_new_tokens"),
        (f"{ANSWER}.emulation.bound", "x", "columns[0].messages[1].emulation.bound"),
        (
            f"{ANSWER}.done.emulation.restarts",
            -1,
            "columns[0].messages[1].done.emulation.restarts",
        ),
    ],
)
def test_what_is_wrong_is_named(path: str, value: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_record(broken(path, value))
    assert caught.value.field == f"record.{field}"


def test_nothing_is_nested_without_end() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="less deep"):
        parse_record(broken(f"{ANSWER}.receipt.sent.x", deep))


def test_a_number_beyond_64_bits_is_refused_before_it_is_rounded() -> None:
    body = orjson.dumps(record()).replace(str(2**53 + 1).encode(), str(2**64).encode())
    with pytest.raises(InvalidRequest) as caught:
        parse_record(orjson.loads(body))
    assert caught.value.field == "record.columns[0].messages[1].done.generated_tokens"


@pytest.mark.parametrize("body", [None, [], "x", 1, {}])
def test_what_is_no_record_is_said(body: object) -> None:
    with pytest.raises(InvalidRequest):
        parse_record(body)


def test_a_newer_version_is_told_from_a_wrong_one() -> None:
    with pytest.raises(InvalidRequest, match="newer version of the page"):
        parse_record(record(version=7))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (record({**column(), "shown": 0}), "columns[0].shown"),
        (record(column(answer(after=None))), "columns[0].messages[0].after"),
        (record(column(answer(prefilled=2))), "columns[0].messages[0].prefilled"),
        (record(column(answer(rewritten=True))), "columns[0].messages[0].rewritten"),
    ],
)
def test_versions_of_messages_came_with_version_4(body: dict[str, Any], field: str) -> None:
    assert parse_record(body)
    with pytest.raises(InvalidRequest, match="version 3 has no") as caught:
        parse_record(of_version(3, body))
    assert caught.value.field == f"record.{field}"


def test_what_is_shown_comes_before_the_other_versions() -> None:
    [tree] = branched()["columns"]
    assert shown_first(tree) == [0, 1, 2, 3, 4]
    assert shown_first({**tree, "shown": 4}) == [0, 4, 1, 2, 3]
    assert shown_first({"messages": []}) == []


def test_ten_thousand_versions_and_turns_are_checked_one_by_one() -> None:
    versions = [answer(str(i), after=0) for i in range(10_000)]
    turns = [{"role": "user", "content": "Hi"}] * 10_000
    for messages in ([turns[0], *versions], turns):
        body = record(column(*messages))
        assert parse_record(body)
        assert sorted(shown_first(body["columns"][0])) == list(range(len(messages)))


def test_the_answers_are_found() -> None:
    assert answers(record(column(), column(answer("x")))) == [[None, "**Hello**"], ["x"]]


class Name(str):
    """A name that counts how often another one is compared with it."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)


def test_many_names_are_not_compared_each_with_all() -> None:
    """A megabyte of them would hold the server up for minutes."""
    names = {Name(f"name {number}"): 1 for number in range(300)}
    body = broken(f"{ANSWER}.receipt", {**answer()["receipt"], **names})
    del body["title"]
    body["title"] = 1  # wrong, and looked at last
    Name.compared = 0
    with pytest.raises(InvalidRequest, match="title"):
        parse_record(body)
    assert Name.compared < 20 * len(names)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {**record(), "version": 5},
            "The record was written by a newer version of the page: its version is 5, and this "
            "server knows 4.",
        ),
        (record(column(), column()) | {"kind": "chat"}, "A chat has exactly one column."),
        (record() | {"columns": [{**column(), "messages": []}]}, "Nothing is said in the record."),
    ],
)
def test_what_is_no_record_is_said_in_a_sentence(body: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_record(body)
    assert str(caught.value) == error
