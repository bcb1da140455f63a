"""An answer's Markdown as HTML, block by block, while it is being written.

`Blocks` finds the ends of blocks from the starts of lines, and parses a block (grammar.py) when it
has ended. What the lines suggest is checked by that parse, so a wrong guess can only make a block
longer. The blocks joined are what the whole text renders to.
"""

import re
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeVar

from markdown_it.token import Token

from playground.domain.messages import Block, Delta
from playground.generation.grammar import CLOSERS, level_headings, make_parser
from playground.generation.highlight import Allowance

_MARKDOWN: Final = make_parser()

# What a whole line is. A break also matches the underline of a heading of the second rank.
_FENCE: Final = re.compile(r" {0,3}(?:(`{3,})[^`\n]*|(~{3,})[^\n]*)\n")
_HEADING: Final = re.compile(r" {0,3}#{1,6}[ \t\r\n]")
_BREAK: Final = re.compile(r" {0,3}(?:-+|(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})\s*\Z")
_QUOTE: Final = re.compile(r" {0,3}>")
_ITEM: Final = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])[ \t\n]")
_INDENTED: Final = re.compile(r" {4}| {0,3}\t")
_MATHS: Final = re.compile(r" {0,3}(\$\$|\\\[)")
# Starts of lines, at the margin, that begin a block even right after a line of text …
_BEGINS: Final = re.compile(r"#{1,6}[ \t\n]|>|~~~|```[^`\n]*\n")
_BEGINS_LIST: Final = re.compile(r"(?:[-+*]|1[.)])[ \t]+[^\s]")
# … and those that may still become one; the last for a list's next item.
_MAY_BEGIN: Final = re.compile(r"(?:#{1,6}|~{1,2}|`{1,2}|```[^`\n]*|(?:[-+*]|1[.)]?)[ \t]*)\Z")
_MAY_BE_ITEM: Final = re.compile(r"(?:[-+*]|\d{1,9}[.)]?)\Z")

# A line's marks are short; nothing is kept back, or looked for, beyond that.
_LONGEST_MARK: Final = 80

# Text of more characters takes so long to parse that others would notice.
LONG: Final = 1_000

T = TypeVar("T")
# How many characters it is about, and work that whoever takes the steps does where others are not
# held up; its result is sent back.
Work = tuple[int, Callable[[], Any]]
Steps = Generator[Work, Any, T]

# Blocks that go on after a blank line.
_LASTING: Final = frozenset({"bullet_list_close", "ordered_list_close", "code_block"})


_State = Literal["empty", "text", "quote", "list", "fence", "maths"]


class Blocks:
    """Turns pieces of text into deltas, and into a block whenever one has ended.

    The deltas joined are the text. A block replaces exactly the text of the deltas since the block
    before it. Text is kept back only at the start of a line, until it is known whether a block
    begins there: a few characters. A piece costs the same whatever came before it; the running text
    is parsed when its last line suggests that a block has ended.

    To parse a long one takes long: so there is `feeding` beside `feed`, and `flushing`, whose steps
    are such work.
    """

    def __init__(self) -> None:
        self._index = 0
        self._allowance = Allowance()
        self._chunk: list[str] = []  # the text since the last block, in pieces
        self._line = 0  # where in it the running line begins
        self._size = 0  # of it, in characters
        self._refused = 0  # its size when it was last found to go on
        self._held: str | None = ""  # the start of the line; None when it has been judged
        self._state: _State = "empty"
        self._fence = ""  # the characters that opened the fence, or close the maths
        self._outside: _State = "empty"  # what it was before the maths began
        self._headings: list[int] = []
        self._after_blank = False
        self._delta: list[str] = []
        self._events: list[Delta | Block] = []

    def feed(self, text: str) -> list[Delta | Block]:
        """What the text adds, in order. Neighbouring deltas are one."""
        return _at_once(self._lines(text))

    def flush(self) -> list[Delta | Block]:
        """The rest: what was kept back, and the last block. Feeding may go on with new text."""
        return _at_once(self.flushing())

    def feeding(self, text: str) -> Steps[list[Delta | Block]]:
        """As `feed`, in steps; a long text is one."""
        if len(text) > LONG:
            events: list[Delta | Block] = yield len(text), partial(self.feed, text)
            return events
        return (yield from self._lines(text))

    def flushing(self) -> Steps[list[Delta | Block]]:
        """As `flush`, in steps."""
        self._append(self._held or "")
        self._held = ""
        text = "".join(self._chunk)
        if text:
            html = yield from _aside(len(text), lambda: self._html(_parse(text)))
            if html:
                self._close(html)
        self._reset()
        return self._take_events()

    def _lines(self, text: str) -> Steps[list[Delta | Block]]:
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1 or len(text)
            piece = text[start:end]
            if self._held is None and piece[-1] != "\n":  # as most are
                self._append(piece)
            else:
                yield from self._take(piece)
            start = end
        return self._take_events()

    def _take_events(self) -> list[Delta | Block]:
        if self._delta:
            self._events.append(Delta("".join(self._delta)))
            self._delta = []
        events, self._events = self._events, []
        return events

    def _append(self, text: str) -> None:
        if text:
            self._chunk.append(text)
            self._size += len(text)
            self._delta.append(text)

    def _take(self, piece: str) -> Steps[None]:
        """A piece of one line, with the line's end or without."""
        if self._held is not None:
            self._held += piece
            begins = self._begins(self._held)
            if begins is None and piece[-1] != "\n":
                return
            if begins:
                yield from self._end(self._held, lasting=True)
            self._append(self._held)
            self._held = None
        else:
            self._append(piece)
        if piece[-1] == "\n":
            line = "".join(self._chunk[self._line :])
            self._line = len(self._chunk)
            self._held = ""
            if self._may_end(line):
                yield from self._end("x\n", lasting=False)

    def _begins(self, start: str) -> bool | None:
        """Whether a line with this start ends the block before it; None: not to be said yet."""
        if self._state in ("empty", "fence", "maths"):
            return False
        if len(start) > _LONGEST_MARK:
            return False
        first = start[0]
        if self._state == "list" and self._after_blank:
            if first in " \t\r\n" or _ITEM.match(start):
                return False
            return None if _MAY_BE_ITEM.match(start) else True
        if first not in "#>~`-+*1":
            return False
        if _BEGINS.match(start):
            return not (first == ">" and self._state == "quote")
        if self._state != "list" and _BEGINS_LIST.match(start):
            return True
        return None if _MAY_BEGIN.match(start) else False

    def _may_end(self, line: str) -> bool:
        """Takes note of what the line was; whether it may be the block's last."""
        if self._state == "fence":
            end = line.strip(" \t\r\n")
            return end.startswith(self._fence) and not end.strip(self._fence[0])
        if self._state == "maths":
            if line.strip(" \t\r\n"):
                return line.rstrip(" \t\r\n").endswith(self._fence)
            self._state = self._outside  # it never was any
        if not line.strip(" \t\r\n"):
            self._after_blank = True
            return self._state in ("text", "quote")
        if match := _MATHS.match(line):
            self._fence = CLOSERS[match[1]]
            self._outside = "text" if self._state == "empty" else self._state
            self._state, self._after_blank = "maths", False
            return self._fence in line[match.end() :]
        if self._state == "list":
            self._after_blank = False
        elif match := _FENCE.match(line):
            self._state, self._fence = "fence", match[1] or match[2]
        elif (_HEADING.match(line) and "|" not in line) or (
            len(line) <= _LONGEST_MARK and _BREAK.match(line)
        ):  # with a bar, the next line may make it a table's head
            return True
        elif _ITEM.match(line) or _INDENTED.match(line):
            self._state, self._after_blank = "list", False
        elif _QUOTE.match(line):
            self._state = "quote"
        elif self._state == "empty":
            self._state = "text"
        return False

    def _end(self, start: str, *, lasting: bool) -> Steps[None]:
        """Ends the running block if a line with this start stands apart from it.

        lasting: whether that also ends a block that goes on after a blank line.
        """
        if self._size < 2 * self._refused:
            return  # or a text that refuses at every line would be parsed at every line
        text = "".join(self._chunk)
        before, html = yield from _aside(
            len(text), partial(self._before, text, start, lasting=lasting)
        )
        if html is not None:
            self._close(html)
            return
        self._refused = self._size
        self._judge(before)

    def _before(
        self, text: str, start: str, *, lasting: bool
    ) -> tuple[Sequence[Token], str | None]:
        """What stands before a line of this start behind a text, and its HTML if it ends there."""
        tokens, line = _parse(text + start), text.count("\n")
        for i, token in enumerate(tokens):
            if token.level == 0 and token.nesting >= 0 and token.map and token.map[0] == line:
                before = tokens[:i]
                ends = before and (lasting or before[-1].type not in _LASTING)
                return before, self._html(before) if ends else None
        return tokens, None

    def _judge(self, tokens: Sequence[Token]) -> None:
        """Corrects the state by a parse that went against it."""
        last = tokens[-1]
        if last.type == "fence":
            self._state, self._fence = "fence", last.markup
        elif last.type in _LASTING:
            self._state = "list"
        else:
            self._state = "quote" if last.type == "blockquote_close" else "text"

    def _close(self, html: str) -> None:
        if self._delta:
            self._events.append(Delta("".join(self._delta)))
            self._delta = []
        self._events.append(Block(self._index, html))
        self._index += 1
        self._reset()

    def _html(self, tokens: Sequence[Token]) -> str:
        level_headings(tokens, self._headings)
        env = {"allowance": self._allowance}
        return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))

    def _reset(self) -> None:
        self._chunk, self._line = [], 0
        self._size = self._refused = 0
        self._state, self._after_blank = "empty", False


def _at_once(steps: Steps[T]) -> T:
    """What steps come to, all of their work done here."""
    try:
        _, work = next(steps)
        while True:
            _, work = steps.send(work())
    except StopIteration as end:
        result: T = end.value
        return result


def _aside(size: int, work: Callable[[], T]) -> Steps[T]:
    """Work on so many characters; a step where that takes long."""
    if size > LONG:
        result: T = yield size, work
        return result
    return work()


def _parse(text: str) -> list[Token]:
    # A carriage return is no line's end here: half of one may be all that has arrived.
    return _MARKDOWN.parse(text.replace("\r\n", "\n").replace("\r", " "))


def render(text: str) -> list[str]:
    """The HTML of a whole text, a block each."""
    blocks = Blocks()
    return [e.html for e in (*blocks.feed(text), *blocks.flush()) if isinstance(e, Block)]
