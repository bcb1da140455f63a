"""Finds the end of an answer in its text: stop sequences, and white space that leads nowhere."""

import re
from collections.abc import Sequence
from typing import Final

_BLANK_LINES: Final = re.compile(r"\A(?:[^\S\n]*\n)+")


def strip_start(text: str) -> str:
    """An answer's text without blank lines before it, or a single space; indented, it stays so."""
    text = _BLANK_LINES.sub("", text, count=1)
    return text[1:] if text[:1] == " " and not text[1:2].isspace() else text


class StopFilter:
    """Passes text on as far as it surely belongs to the answer.

    Text that may be the beginning of a stop sequence is kept until that is known. White space at
    the end is kept until text follows it, and dropped if none does: it is not part of an answer,
    whatever ended it, so that an answer that is continued is joined where its text ended.

    Args:
        stops: The sequences that end the answer and are no part of it; none is empty.
        strip_start: Whether blank lines before the first text are left out, and the space that many
            a tokenizer puts in front. What is indented stays so.
    """

    def __init__(self, stops: Sequence[str], *, strip_start: bool) -> None:
        self._stops = tuple(stops)
        self._starts = frozenset(stop[0] for stop in stops)
        self._longest = max((len(stop) for stop in stops), default=0)
        self._kept = ""
        self._strip_start = strip_start
        self.stopped = False

    def feed(self, text: str) -> str:
        """What has become certain. "" once a stop sequence was found: `stopped` is then set."""
        if self.stopped:
            return ""
        text = self._kept + text
        end = len(text)
        for stop in self._stops:
            if (found := text[: end + len(stop)].find(stop)) >= 0:
                end, self.stopped = found, True
        if not self.stopped:
            end = self._possible_start(text)
        passed = text[:end].rstrip()
        self._kept = "" if self.stopped else text[len(passed) :]
        if self._strip_start and passed:
            passed = strip_start(passed)
            self._strip_start = False
        return passed

    def flush(self) -> str:
        """What was kept, when the text has ended without a stop sequence."""
        rest, self._kept = self._kept.rstrip(), ""
        return strip_start(rest) if self._strip_start else rest

    def _possible_start(self, text: str) -> int:
        """Where the longest beginning of a stop sequence stands at the text's end."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._starts and any(
                stop.startswith(text[start:]) for stop in self._stops
            ):
                return start
        return len(text)
