"""What a set-up link sets, as frozen values, and how a link can be wrong."""

from dataclasses import dataclass
from typing import Final, Literal

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import Sampler

# The first had no engines and the second no word on emulation: a link is written in the first that
# can say what it says.
VERSION: Final = 3
MAX_CHARS: Final = 8000
MAX_SEED: Final = 2**53 - 1  # whole in every browser
NONE: Final = "-none"
OWN: Final = "-own:"
UNSET: Final = "-"

Tab = Literal["chat", "compare", "history", "about"]
TABS: Final[tuple[Tab, ...]] = ("chat", "compare", "history", "about")
Difference = Literal["first", "words", "off"]
DIFFERENCES: Final[tuple[Difference, ...]] = ("first", "words", "off")
Kind = Literal["link_broken", "link_too_new", "link_too_long"]


class LinkError(InvalidRequest):
    """A link that cannot be used.

    Args:
        field: The place in it, such as ``column[1].top_p``.
        kind: link_broken, link_too_new or link_too_long.
    """

    def __init__(self, message: str, *, field: str, kind: Kind = "link_broken") -> None:
        super().__init__(message, field=field)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Values:
    """What sampling goes by: the seven parameters, and a limit of new tokens, from 1.

    ``None`` takes what the context leaves.
    """

    sampler: Sampler
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One answer's settings.

    Attributes:
        kind: Whose the preset is.
        name: Its id on the server, the name of a browser's own, "" for none.
        started: The preset's values when the link was made.
        values: What they were edited to.
        seed: Of this column alone, 0 to MAX_SEED.
        engine: The id of the one that answers; ``None`` takes the server's default.
        emulate: Whether parameters that the engine lacks may be emulated.
    """

    kind: Literal["server", "own", "none"]
    name: str
    started: Values
    values: Values
    seed: int | None = None
    engine: str | None = None
    emulate: bool = True


@dataclass(frozen=True, slots=True)
class Setup:
    """What a link sets.

    Attributes:
        columns: One in the chat, two to four in a comparison, else none.
        seed: Of the chat or of all columns; ``None`` draws one.
        own_seeds: The columns have their own.
        stop: At most three, each a line.
        against: The column that the others are compared with.
        prompt: What is to be asked, "" for nothing.
    """

    tab: Tab
    columns: tuple[Column, ...] = ()
    seed: int | None = None
    own_seeds: bool = False
    stop: tuple[str, ...] = ()
    system: str = ""
    difference: Difference = "first"
    against: int = 0
    blind: bool = False
    prompt: str = ""
