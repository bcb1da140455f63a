"""Reading a JSON body as TGI's extractor does: in the order of the text, into the types it expects.

What does not fit is answered in the words of serde_json, which TGI reads with: where in the
request (`parameters.stop[0]`), what stands there, what was expected, at which line and column. As
there, the first fault ends it, what follows the request's last bracket is not looked at, and fields
that nobody knows are passed over, whatever they hold.
"""

import math
import re
from typing import NoReturn

from tests.stand_in.words import number_words, quoted


class Malformed(Exception):
    """A body that TGI's extractor refuses, in plain text.

    Args:
        status: 400, 413, 415 or 422; the message is the body of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


BLANKS = re.compile(rb"[ \t\r\n]*")
DIGITS = re.compile(rb"[0-9]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
IDENTS = {b"n": (b"null", None), b"t": (b"true", True), b"f": (b"false", False)}
ESCAPES = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
CONTROL = "control character (\\u0000-\\u001F) found while parsing a string"


class Reader:
    """Goes through a body. `at`: the byte that comes next; `path`: where in the request it is."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.path: list[str] = []

    def refuse(self, what: str, *, ahead: int = 0, data: bool = False) -> NoReturn:
        """Refuse the body at this place, or at one that lies ahead of it.

        Args:
            what: Is wrong, in serde's words.
            ahead: Bytes that have been looked at and not been taken.
            data: It is JSON, and of the wrong type.

        Raises:
            Malformed: Always.
        """
        at = min(self.at + ahead, len(self.body))
        line = self.body.count(b"\n", 0, at) + 1
        column = at - (self.body.rfind(b"\n", 0, at) + 1)
        path = "" if self.path == [".?"] else "".join(self.path).removeprefix(".")
        begin = (
            "Failed to deserialize the JSON body into the target type: "
            if data
            else "Failed to parse the request body as JSON: "
        )
        where = f"{path}: " if self.path not in ([], [".?"]) else ""
        raise Malformed(
            422 if data else 400, f"{begin}{where}{what} at line {line} column {column}"
        )

    def peek(self) -> bytes:
        """The next byte that is no blank; none at the end."""
        match = BLANKS.match(self.body, self.at)
        assert match
        self.at = match.end()
        return self.body[self.at : self.at + 1]

    def mistyped(self, expected: str) -> NoReturn:
        """Refuse what comes next as being of another type than expected."""
        found = self.peek()
        if found in IDENTS:
            value = self.ident()
            what = "null" if value is None else f"boolean `{str(value).lower()}`"
        elif found == b'"':
            what = f"string {quoted(self.text())}"
        elif found and found in b"-0123456789":
            what = number_words(self.number())
        elif found == b"[":
            what = "sequence"
        elif found == b"{":
            what = "map"
        else:
            self.no_value(found)
        self.refuse(f"invalid type: {what}, expected {expected}", data=True)

    def no_value(self, found: bytes) -> NoReturn:
        """Refuse what no value begins with."""
        self.refuse("expected value" if found else "EOF while parsing a value", ahead=1)

    def ident(self) -> bool | None:
        """true, false or null, whose first letter comes next."""
        word, value = IDENTS[self.body[self.at : self.at + 1]]
        for letter in word:
            if self.at == len(self.body):
                self.refuse("EOF while parsing a value")
            self.at += 1
            if self.body[self.at - 1] != letter:
                self.refuse("expected ident")
        return value

    def number(self, *, passed: bool = False) -> int | float:
        """A number, whose sign or first digit comes next.

        Args:
            passed: It is passed over, so that it may be of any size.
        """
        end = "invalid number" if passed else "EOF while parsing a value"
        begin = self.at
        whole = True
        if self.follows(b"-"):
            self.at += 1
        first = self.take()
        if not first.isdigit():
            self.refuse("invalid number" if first else end)
        if first == b"0" and self.follows(b"0123456789"):
            self.refuse("invalid number", ahead=1)
        self.digits()
        if self.follows(b"."):
            self.at += 1
            whole = False
            if not self.digits():
                self.refuse("invalid number" if self.at < len(self.body) else end, ahead=1)
        if self.follows(b"eE"):
            self.at += 1
            whole = False
            if self.follows(b"+-"):
                self.at += 1
            first = self.take()
            if not first.isdigit():
                self.refuse("invalid number" if first else end)
            self.digits()
        text = self.body[begin : self.at]
        if whole and text != b"-0" and -(2**63) <= int(text) < 2**64:
            return int(text)
        value = float(text)
        if math.isinf(value) and not passed:
            self.refuse("number out of range")
        return value

    def follows(self, letters: bytes) -> bool:
        """Whether one of these comes next."""
        return self.at < len(self.body) and self.body[self.at] in letters

    def take(self) -> bytes:
        """The next byte; none at the end."""
        self.at += 1
        return self.body[self.at - 1 : self.at]

    def digits(self) -> int:
        """Pass over digits. Gives how many there were."""
        match = DIGITS.match(self.body, self.at)
        assert match
        self.at = match.end()
        return len(match[0])

    def text(self) -> str:
        """A string, whose first quote comes next."""
        self.at += 1
        parts = []
        while True:
            match = PLAIN.match(self.body, self.at)
            assert match
            parts.append(match[0])
            self.at = match.end() + 1
            mark = self.body[match.end() : self.at]
            if mark == b'"':
                try:
                    return b"".join(parts).decode("utf-8")
                except UnicodeDecodeError:
                    self.refuse("invalid unicode code point")
            if mark == b"\\":
                parts.append(self.escape().encode())
                continue
            self.at = min(self.at, len(self.body))
            self.refuse(CONTROL if mark else "EOF while parsing a string")

    def escape(self) -> str:
        """What follows a backslash."""
        mark = chr(self.byte())
        if mark in ESCAPES:
            return ESCAPES[mark]
        if mark != "u":
            self.refuse("invalid escape")
        first = self.hexadecimal()
        if not 0xD800 <= first < 0xE000:
            return chr(first)
        if first >= 0xDC00:
            self.refuse("lone leading surrogate in hex escape")
        for wanted in b"\\u":
            if self.byte() != wanted:
                self.refuse("unexpected end of hex escape")
        second = self.hexadecimal()
        if not 0xDC00 <= second < 0xE000:
            self.refuse("lone leading surrogate in hex escape")
        return chr(0x10000 + ((first - 0xD800) << 10 | second - 0xDC00))

    def byte(self) -> int:
        """The next byte inside of a string."""
        if self.at == len(self.body):
            self.refuse("EOF while parsing a string")
        self.at += 1
        return self.body[self.at - 1]

    def hexadecimal(self) -> int:
        """Four digits."""
        digits = self.body[self.at : self.at + 4]
        self.at += len(digits)
        if len(digits) < 4:
            self.refuse("EOF while parsing a string")
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            self.refuse("invalid escape")
        return int(digits, 16)

    def skip(self) -> None:
        """Pass over a value of any type."""
        found = self.peek()
        if found in IDENTS:
            self.ident()
        elif found == b'"':
            self.skip_text()
        elif found and found in b"-0123456789":
            self.number(passed=True)
        elif found == b"[":
            self.at += 1
            if (found := self.peek()) == b"]":
                self.at += 1
                return
            if not found:
                self.refuse("EOF while parsing a list")
            while True:
                self.skip()
                if self.close(b"]", "list"):
                    return
        elif found == b"{":
            self.at += 1
            if self.peek() == b"}":
                self.at += 1
                return
            while True:
                if (found := self.peek()) != b'"':
                    what = "key must be a string" if found else "EOF while parsing an object"
                    self.refuse(what, ahead=1)
                self.skip_text()
                self.colon()
                self.skip()
                if self.close(b"}", "object"):
                    return
        else:
            self.no_value(found)

    def skip_text(self) -> None:
        """Pass over a string; it need be no UTF-8."""
        self.at += 1
        while True:
            match = PLAIN.match(self.body, self.at)
            assert match
            self.at = match.end()
            mark = self.body[self.at : self.at + 1]
            if mark == b'"':
                self.at += 1
                return
            if mark != b"\\":
                self.refuse(CONTROL if mark else "EOF while parsing a string")
            self.at += 1
            escaped = chr(self.byte())
            if escaped == "u":
                self.hexadecimal()
            elif escaped not in ESCAPES:
                self.refuse("invalid escape")

    def close(self, bracket: bytes, name: str) -> bool:
        """Behind an entry of a list or an object: whether its end follows and not another entry."""
        found = self.peek()
        if found not in (bracket, b","):
            article = "an" if name == "object" else "a"
            self.refuse(
                f"expected `,` or `{bracket.decode()}`"
                if found
                else f"EOF while parsing {article} {name}",
                ahead=1,
            )
        self.at += 1
        return found == bracket

    def key(self, *, first: bool) -> str | None:
        """An object's next key; none, and its end is taken, where no other follows."""
        self.path.append(".?")
        found = self.peek()
        if first and not found:
            self.refuse("EOF while parsing an object")
        if not first and not self.close(b"}", "object"):
            found = self.peek()
            if found in (b"}", b""):
                self.refuse("trailing comma" if found else "EOF while parsing a value", ahead=1)
        elif found == b"}":
            self.at += first
            self.path.pop()
            return None
        if found != b'"':
            self.refuse("key must be a string", ahead=1)
        key = self.text()
        self.path.pop()
        return key

    def colon(self) -> None:
        """What stands between a key and its value."""
        found = self.peek()
        if found != b":":
            self.refuse("expected `:`" if found else "EOF while parsing an object", ahead=1)
        self.at += 1
