"""A record: one conversation or comparison as data, as the browser keeps and a snapshot freezes it.

    {"format": "kto-mistral-playground", "version": 4, "kind": "chat" or "comparison", "title": "…",
     "columns": [{"label", "setting": {…}, "messages": [{"role", "content", …}, …], "shown"}, …]}

A column's messages are a tree: each has in "after" the place of the message that it follows, null
for none, and without it follows the one before it, so that a conversation of one branch needs no
"after" at all. It follows an earlier one: there is no circle. Messages that follow the same one are
versions of each other. "shown" is the place of the last message that is shown; without it, the
list's last. An answer whose beginning the reader wrote says in "prefilled" how many characters of
it, and one whose text the reader changed is "rewritten".

Version 2 knows the engine of a column, version 3 whether emulation is off there and what was told
while an answer went on, version 4 versions and what the reader wrote of an answer; records of
earlier versions stay as they are and are read for ever.
Nothing in it is HTML, and nothing is ignored: an unknown name is as wrong as a wrong value. What
the server sent of an answer (receipt, done) may hold more than is known here, since later versions
say more. Pure; playground/ui/static/records/record_shape.js checks the same in the browser.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self
from unicodedata import category

import orjson
from pydantic import Discriminator, Field, model_validator
from pydantic.types import GetPydanticSchema
from pydantic_core import core_schema

from playground.domain import models
from playground.domain.blank import is_blank
from playground.domain.errors import InvalidRequest
from playground.domain.models import ModelLabel
from playground.domain.names import plain_name
from playground.domain.validation import (
    Body,
    NewTokens,
    Number,
    OpenBody,
    Plain,
    Seed,
    SetSamplerValues,
    broken,
    whole,
)
from playground.generation.requests import MAX_PANES, MAX_STOPS, MAX_TEXT_CHARS, StopSequence

FORMAT: Final = "kto-mistral-playground"
VERSION: Final = 4
# Of a setting's names those that came later, and with which version.
_SINCE: Final[Mapping[str, int]] = {"engine": 2, "emulate": 3}
# The names of a column and of a message that may be there from this version on.
_TREE_SINCE: Final = 4
_TREE: Final = ("shown", "after", "prefilled", "rewritten")
MAX_TITLE_CHARS: Final = 200
MAX_LIFE_S: Final = 10 * 365 * 86_400

_Name = Annotated[str, Field(max_length=200)]
_Count = Annotated[int, Field(ge=0, le=2**64 - 1), whole]
_Texts = Annotated[list[str], Field(fail_fast=True)]
_TextsByName = Annotated[dict[str, str], Field(fail_fast=True)]


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was checked.

    Attributes:
        text: All of it as JSON, in its own order, to be kept as it is.
    """

    kind: str
    title: str
    text: str


def answers(record: Mapping[str, Any]) -> list[list[str | None]]:
    """Of each column the texts of its answers; ``None`` in the place of what a user said."""
    return [
        [each["content"] if each["role"] == "assistant" else None for each in column["messages"]]
        for column in record["columns"]
    ]


def shown_first(column: Mapping[str, Any]) -> list[int]:
    """The places of a column's messages: those of the branch that is shown, then the others."""
    messages = column["messages"]
    branch = []
    place = column.get("shown", len(messages) - 1)
    while place is not None and place >= 0:
        place = int(place)  # a record is kept as it came, where 1.0 may stand for 1
        branch.append(place)
        place = messages[place].get("after", place - 1)
    shown = set(branch)
    return branch[::-1] + [place for place in range(len(messages)) if place not in shown]


def written_by(record: Mapping[str, Any]) -> ModelLabel | None:
    """The models of a record's answers by their receipts; ``None`` where none has one."""
    said = [each for column in record["columns"] for each in column["messages"]]
    receipts = [each["receipt"] for each in said if each["role"] == "assistant" and each["receipt"]]
    return models.combined(
        models.label(each["model_id"], each["engine"], each.get("quantisation", ""))
        for each in receipts
    )


def one_line(text: str, field: str, most: int = MAX_TITLE_CHARS) -> str:
    """A name in one line, without white space at its ends.

    Raises:
        InvalidRequest: It is not of this kind, or nobody would see anything of it; names `field`.
    """
    line = " ".join(plain_name(text).split())
    if len(line) > most or is_blank(line) or any(category(each) == "Cc" for each in line):
        raise InvalidRequest(
            f"{field} must be a line of 1 to {most} characters, none of them a control character.",
            field=field,
        )
    return line


class RecordEdit(Body):
    """The preset's value of a parameter, and the one asked for; null is unset."""

    before: Number | None = Field(alias="from")
    to: Number | None


class RecordApplied(OpenBody):
    """How the engine treated a parameter, and why."""

    how: str
    reason: str


class RecordPromptFormat(OpenBody):
    """How the conversation was written as the model's prompt."""

    id: str
    label: str
    bos: str
    stop: _Texts
    default_system: str = ""


class RecordReceipt(OpenBody):
    """An answer's receipt as the server sent it, maybe of another version."""

    engine: str
    engine_id: str = ""
    model_id: str
    sent: Annotated[dict[str, Plain], Field(fail_fast=True)]
    applied: Annotated[dict[str, RecordApplied], Field(fail_fast=True)]
    prompt_tokens: _Count
    dropped_turns: _Count
    model_sha: str | None = None
    quantisation: str = ""
    preset: str | None = None
    edited: _Texts = Field(default_factory=list)
    edits: dict[str, RecordEdit] = Field(default_factory=dict, fail_fast=True)
    left_out: _TextsByName = Field(default_factory=dict)
    prompt: str = ""
    prompt_sha256: str = ""
    prompt_format: RecordPromptFormat | None = None
    system: str = ""
    continued: _Count = 0
    note: str = ""
    emulate: bool = True
    emulated: Annotated[dict[str, Number], Field(fail_fast=True)] = Field(default_factory=dict)
    asked: Annotated[dict[str, Number], Field(fail_fast=True)] | None = None
    max_new_tokens: _Count | None = None


class RecordEmulation(OpenBody):
    """What it took to make parameters take effect that the engine does not apply."""

    parameters: _Texts
    restarts: _Count
    proposed: _Count
    accepted: _Count
    bound: Number
    reread: _Count
    added_ms: Number
    given_up_at: _Count | None


class RecordDone(OpenBody):
    """An answer's figures as the server sent them."""

    finish_reason: str
    generated_tokens: _Count
    input_tokens: _Count
    seed: _Count | None
    ttft_ms: Number | None
    duration_ms: Number
    tokens_per_second: Number | None
    emulation: RecordEmulation | None = None


class RecordProblem(Body):
    """Why an answer failed."""

    kind: str
    message: str
    retryable: bool


_After = Annotated[
    _Count | None,
    Field(
        description="The place of the message that it follows, an earlier one; null for none. "
        "Without it, it follows the one before it; not in versions before 4."
    ),
]


class RecordQuestion(Body):
    """What a user said."""

    role: Literal["user"]
    content: str
    after: _After = None


class RecordAnswer(Body):
    """What was answered."""

    role: Literal["assistant"]
    content: str = Field(max_length=MAX_TEXT_CHARS)
    state: Literal["done", "stopped", "failed"]
    preset: str | None
    receipt: RecordReceipt | None
    done: RecordDone | None
    problem: RecordProblem | None = Field(description="Why it failed, where it did.")
    letter: str = Field(default="", max_length=1, description="In a blind comparison, its name.")
    chosen: bool = Field(default=False, description="Whether it was voted the best.")
    emulation: RecordEmulation | None = Field(
        default=None,
        description="What it took of one that did not end by itself; not in versions before 3.",
    )
    notices: _Texts = Field(
        default_factory=list,
        description="What was to be known while it went on; not in versions before 3.",
    )
    after: _After = None
    prefilled: _Count = Field(
        default=0,
        description="How many characters of its beginning the reader wrote; not in versions "
        "before 4.",
    )
    rewritten: bool = Field(
        default=False,
        description="Whether the reader changed its text; not in versions before 4.",
    )

    @model_validator(mode="after")
    def _failed_for_a_reason(self) -> Self:
        if self.state == "failed" and self.problem is None:
            raise broken("problem must say why it failed.", ".problem")
        return self


class RecordSetting(Body):
    """How a column's answers were sampled."""

    preset: _Name | None
    name: _Name
    sampler: SetSamplerValues
    max_new_tokens: NewTokens | None
    seed: Seed | None
    stop: Annotated[list[StopSequence], Field(fail_fast=True, max_length=MAX_STOPS)]
    system: str
    engine: _Name | None = Field(
        default=None,
        description="The id of the one that was chosen, null for the server's default; not in "
        "version 1.",
    )
    emulate: bool = Field(
        default=True,
        description="Whether parameters that the engine lacks may be emulated; not in versions "
        "before 3.",
    )


class RecordColumn(Body):
    """One conversation and its setting."""

    label: _Name
    setting: RecordSetting
    messages: Annotated[
        list[Annotated[RecordQuestion | RecordAnswer, Discriminator("role")]], Field(fail_fast=True)
    ]
    shown: _Count | None = Field(
        default=None,
        description="The place of the last message that is shown; without it, the list's last. "
        "Not in versions before 4.",
    )

    @model_validator(mode="after")
    def _tree(self) -> Self:
        for i, message in enumerate(self.messages):
            if message.after is not None and message.after >= i:
                raise broken(
                    "after must be the place of a message before it.", f".messages[{i}].after"
                )
        if "shown" in self.model_fields_set and (
            self.shown is None or self.shown >= len(self.messages)
        ):
            raise broken("shown must be the place of a message.", ".shown")
        return self


class RecordBody(Body):
    """One conversation or comparison as data."""

    format: Literal["kto-mistral-playground"]
    version: int = Field(ge=1, le=VERSION, json_schema_extra={"enum": list(range(1, VERSION + 1))})
    kind: Literal["chat", "comparison"]
    title: str = Field(max_length=MAX_TITLE_CHARS)
    columns: Annotated[
        list[RecordColumn], Field(fail_fast=True, min_length=1, max_length=MAX_PANES)
    ] = Field(description="One in a chat.")

    @model_validator(mode="after")
    def _names_of_the_version(self) -> Self:
        for i, column in enumerate(self.columns):
            for name, since in _SINCE.items():
                known = self.version >= since
                if (name in column.setting.model_fields_set) != known:
                    no = f"{name} is missing" if known else f"version {self.version} has no {name}"
                    raise broken(f"{no}.", f".columns[{i}].setting.{name}")
            if self.version < _TREE_SINCE:
                parts: list[tuple[Body, str]] = [(column, "")]
                parts += [(each, f".messages[{j}]") for j, each in enumerate(column.messages)]
                for part, place in parts:
                    for name in part.model_fields_set.intersection(_TREE):
                        no = f"version {self.version} has no {name}"
                        raise broken(f"{no}.", f".columns[{i}]{place}.{name}")
        return self


def _record(value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> Record:
    if isinstance(value, dict) and value.get("format") == FORMAT:
        version = value.get("version")
        if isinstance(version, int) and version > VERSION:
            raise broken(
                f"The record was written by a newer version of the page: its version is {version}, "
                f"and this server knows {VERSION}.",
                ".version",
            )
    record = check(value)
    if record.kind == "chat" and len(record.columns) != 1:
        raise broken("A chat has exactly one column.", ".columns")
    if not any(column.messages for column in record.columns):
        raise broken("Nothing is said in the record.", ".columns")
    return Record(record.kind, record.title, orjson.dumps(value).decode())


class ShareBody(Body):
    """A record to be frozen under a link."""

    record: Annotated[
        Record,
        GetPydanticSchema(
            lambda _, handler: core_schema.no_info_wrap_validator_function(
                _record, handler(RecordBody)
            )
        ),
    ]
    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)] | None = Field(
        default=None, description="In place of the record's own."
    )
    expires_in_s: Annotated[int, Field(ge=1, le=MAX_LIFE_S), whole] | None = Field(
        default=None,
        description="null lets it stay as long as the server keeps any.",
        examples=[604_800],
    )
    private: bool = Field(
        default=False,
        description="Whether only those who are logged in see it. Where nobody logs in, it keeps "
        "the title out of what a link's preview shows.",
    )
