"""What import and export pass around: presets without an identity, and what did not come along."""

from collections.abc import Sequence
from dataclasses import dataclass

from playground.domain.errors import PlaygroundError
from playground.domain.names import plain_name
from playground.domain.samplers import Sampler


@dataclass(frozen=True, slots=True)
class Draft:
    """A preset that belongs to nobody yet: no id, and a name that people may change.

    Attributes:
        name: "" where the format has none.
        source: Where its values come from, "" for one's own.
        max_new_tokens: At least 1; ``None`` takes what the context leaves.
    """

    name: str
    sampler: Sampler
    source: str = ""
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", plain_name(self.name))


@dataclass(frozen=True, slots=True)
class Entry:
    """A name and its value as they were read. line counts from 1."""

    key: str
    value: object
    line: int | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that could not come along, and why.

    Attributes:
        effect: Whether the value does anything where it comes from; a neutral one is no loss.
    """

    name: str
    value: object
    reason: str
    effect: bool = True
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be read: where (line from 1, key; either may be unknown) and why."""

    reason: str
    line: int | None = None
    key: str | None = None


class Unreadable(PlaygroundError):
    """The text, or one preset of it, cannot be read."""

    kind = "unreadable"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0].reason)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Imported:
    """What a text held.

    Attributes:
        format: As detected or asked for, "" when none was recognised.
    """

    format: str
    drafts: tuple[Draft, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A text in a format, the ending of its file, what it cannot express, and what to know."""

    text: str
    suffix: str
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
