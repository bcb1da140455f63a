"""What engines tell of a text's tokens: how many, and where each begins.

Where one tells nothing, words are the pieces, and the count is an estimate.
"""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Final

from playground.domain.principal import asking
from tgi import errors

_COUNTS_KEPT: Final = 256
# Tokens that an engine may write over those that were asked for, such as the one that ends the
# answer; and the characters that a token has at most, on the average of an answer.
_OVER: Final = 16
_TOKEN_CHARACTERS: Final = 256
# More than any model has room for, and what every database takes.
_MOST: Final = 2**31 - 1

# A token of a language model has about four characters of English; three are taken, and two tokens
# for each character beyond ASCII, so that an estimate is rather too high.
_CHARACTERS: Final = 3
_BEYOND_ASCII: Final = 2
_RUNS: Final = re.compile(r"[A-Za-z]+|[^\x00-\x7f]|[^A-Za-z]")
_WORDS: Final = re.compile(r"\s*\S+|\s+")
_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def told(count: object) -> int:
    """How many tokens an engine says there are.

    It is written to the store and taken from budgets, so that nothing but a count passes.

    Raises:
        ValueError: It is none.
    """
    if type(count) is not int or not 0 <= count <= _MOST:
        raise ValueError(f"{count!s:.40} is no number of tokens")
    return count


def room(count: object) -> int:
    """How many tokens an engine says it has room for: one at least.

    Raises:
        ValueError: It has none.
    """
    tokens = told(count)
    if tokens < 1:
        raise ValueError("it has room for no token")
    return tokens


class Allowance:
    """What an engine may still write of an answer: the tokens asked for, and some over.

    Args:
        asked: Tokens.
    """

    def __init__(self, asked: int) -> None:
        self._tokens = asked + _OVER
        self._characters = _TOKEN_CHARACTERS * self._tokens

    def taken(self, text: str, count: int) -> None:
        """So much was written.

        Raises:
            ProtocolError: It is more than an engine writes that heeds what it was asked for.
        """
        self._tokens -= count
        self._characters -= len(text)
        if self._tokens < 0 or self._characters < 0:
            raise errors.ProtocolError(
                "The engine writes on though the answer has as many tokens as were asked for.",
                status=200,
            )


def numbers(tokens: object) -> tuple[int, ...]:
    """The numbers of tokens in their vocabulary, as an engine tells them.

    Raises:
        TypeError: They are none.
    """
    if not isinstance(tokens, list) or any(type(each) is not int for each in tokens):
        raise TypeError("its tokens are no numbers")
    return tuple(tokens)


def likeliness(value: object) -> float:
    """A probability, or its logarithm, as an engine tells it.

    Raises:
        TypeError: It is none.
    """
    if type(value) not in (int, float):
        raise TypeError("a probability is no number")
    return float(value)  # type: ignore[arg-type]


class Counts:
    """How many tokens texts have, those of the latest texts remembered, of each account for itself.

    Args:
        count: Asks the engine.
    """

    def __init__(self, count: Callable[[str], Awaitable[int]]) -> None:
        self._count = count
        self._known: OrderedDict[bytes, int] = OrderedDict()

    async def of(self, text: str) -> int:
        """The tokens of a text. A few bytes of it are kept, and not the text."""
        asked = f"{asking.get()}\0{text}"
        key = blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        count = await self._count(text)
        self._known[key] = count
        if len(self._known) > _COUNTS_KEPT:
            self._known.popitem(last=False)
        return count

    def clear(self) -> None:
        """Forget all: another model counts otherwise."""
        self._known.clear()


def cut(text: str, starts: Sequence[int]) -> list[str]:
    """The text in pieces that begin at these bytes of its UTF-8, none of them empty."""
    pieces, begun, at = [], 0, 0
    wanted = sorted({start for start in starts if start > 0}, reverse=True)
    for position, character in enumerate(text):
        if wanted and at >= wanted[-1]:
            pieces.append(text[begun:position])
            begun = position
            while wanted and at >= wanted[-1]:
                wanted.pop()
        at += len(character.encode("utf-8", "surrogatepass"))
    return [piece for piece in (*pieces, text[begun:]) if piece]


def estimate(text: str) -> int:
    """How many tokens a text may have, rather too many than too few; BOS included."""
    return 1 + sum(
        -(-len(run) // _CHARACTERS) if run.isascii() else _BEYOND_ASCII
        for run in _RUNS.findall(text)
    )


def words(text: str) -> list[str]:
    """The text cut into words, each with the white space in front of it."""
    return _WORDS.findall(text)


def starts(text: str, tokens: Sequence[str]) -> list[int] | None:
    """The bytes of the text's UTF-8 at which these tokens begin; ``None`` if they do not make it.

    They are spelled as in their vocabulary, where "Ġare" or "▁are" is " are", "Ċ" a line's end, and
    "<0xE2>" a byte. One that does not stand in the text, such as the BOS, is passed over.
    """
    whole = text.encode("utf-8", "surrogatepass")
    for read in (_byte_level, _sentence_piece):
        found: list[int] = []
        at = 0
        for token in tokens:
            part = read(token)
            if part and not whole.startswith(part, at) and not found and part[:1] == b" ":
                part = part[1:]  # SentencePiece puts a space in front of a text
            if part and whole.startswith(part, at):
                found.append(at)
                at += len(part)
        if at == len(whole):
            return found
    return None


def _byte_level(token: str) -> bytes:
    """A token as byte-level BPE writes it: a printable character for each byte."""
    return bytes([_BYTES[each] for each in token]) if all(c in _BYTES for c in token) else b""


def _sentence_piece(token: str) -> bytes:
    """A token as SentencePiece writes it."""
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()


def _alphabet() -> dict[str, int]:
    """The characters of byte-level BPE, as GPT-2 chose them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }


_BYTES: Final = _alphabet()
