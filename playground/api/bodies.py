"""The one way in for a request's body: bytes of a stranger to JSON values, with bounded work.

A body is refused by its announced length before it is read, and counted while it is. Before it is
parsed, its values and levels are counted by what takes a millisecond for a megabyte, since to parse
holds up everybody: no thread gives way within it. What JSON allows and no field takes is refused
with its place: numbers that no computer has, a name that stands twice, half of a character.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Final

import anyio
from fastapi import Request

from playground.api.turns import in_turn
from playground.auth.middleware import principal_of
from playground.auth.responses import UnreadableBody
from playground.domain.errors import Busy, InvalidRequest
from playground.domain.validation import Chain, Model, check, path_of
from playground.limits.gate import Gate

# A larger one is parsed and checked in a thread.
_LARGE: Final = 16_384
# Large ones under way or in line, of one account and of all.
_MOST_LARGE_EACH: Final = 8
_MOST_LARGE: Final = 64
# Bodies of the most bytes for which there is room at a time, of one account and of all.
_MOST_HELD_EACH: Final = 16
_MOST_HELD: Final = 128
# A message of a conversation is three values, the receipt of an answer some sixty.
_BYTES_A_VALUE: Final = 20
_MOST_LEVELS: Final = 32
_LONGEST_NUMBER: Final = 64  # characters
_STEPS: Final = {ord(sign): step for sign, step in (("[", 1), ("{", 1), ("]", -1), ("}", -1))}
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(_STEPS))
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Room:
    """The bytes of bodies that are under way: as many as fit, of each account and of all.

    Args:
        most_each: Bytes of one account.
        most: Bytes of all together.
    """

    def __init__(self, most_each: int, most: int) -> None:
        self._most_each = most_each
        self._most = most
        self._of: Counter[str] = Counter()

    @contextmanager
    def taken(self, account: str) -> Iterator[Callable[[int], None]]:
        """Inside, what is given takes so many bytes for one body.

        It raises Busy where there is no room for them; what is small always has some.
        """
        size = 0

        def take(more: int) -> None:
            nonlocal size
            if size + more > _LARGE and (
                self._of[account] + more > self._most_each or self._of.total() + more > self._most
            ):
                raise Busy("Too many large requests are on their way here. Try again in a moment.")
            size += more
            self._of[account] += more

        try:
            yield take
        finally:
            self._of[account] -= size
            if not self._of[account]:
                del self._of[account]


class Bodies:
    """Reads the bodies of a process; of the large ones, one at a time.

    Args:
        most: Bytes that a body may have.

    Attributes:
        large: The line of the large ones.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = _Room(_MOST_HELD_EACH * most, _MOST_HELD * most)
        self.large = Gate(at_once=1, limit_each=_MOST_LARGE_EACH, limit=_MOST_LARGE)

    async def read(self, request: Request, kind: type[Model]) -> Model:
        """A request's body as a model has it.

        Raises:
            UnreadableBody: It is not JSON, or larger than this server takes.
            InvalidRequest: Something in it is wrong; names the field.
            Busy: Too many large ones are under way or in line.
            ShuttingDown: It is large, and this server begins nothing more.
            ClientDisconnect: Its sender left before it was read.
        """
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":  # which a form of another site cannot say
            raise UnreadableBody("The content type must be application/json.", status=415)
        with self._room.taken(principal_of(request.scope).account) as take:
            body = await read_bytes(request, self._most, take)
            if len(body) <= _LARGE:
                return self._checked(body, kind)
            async with in_turn(request, self.large):
                return await anyio.to_thread.run_sync(self._checked, body, kind)

    def _checked(self, body: bytes, kind: type[Model]) -> Model:
        return check(kind, parse_json(body, self._most))


async def read_bytes(
    request: Request, most: int, take: Callable[[int], None] = lambda _: None
) -> bytes:
    """A body of at most so many bytes.

    Args:
        take: Called with the bytes of each part.

    Raises:
        UnreadableBody: It is larger, or says so.
        ClientDisconnect: Its sender left before it was whole.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):
        raise _too_large(most)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        take(len(part))
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> UnreadableBody:
    return UnreadableBody(
        f"The request is larger than this server takes, which is {most:,} bytes. Shorten it, or "
        "begin a new chat.",
        status=413,
    )


def parse_json(body: bytes, most_bytes: int) -> object:
    """The values of a body.

    Args:
        most_bytes: That a body may have, from which follows how many values it may have.

    Raises:
        UnreadableBody: It is not JSON, or has more values or levels than any request needs.
        InvalidRequest: A value in it can be none of a request's; names its place.
    """
    _check_structure(body, most_bytes // _BYTES_A_VALUE)
    found = _Found()
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=found.pairs,
            parse_int=found.whole,
            parse_float=found.decimal,
            parse_constant=found.constant,
        )
    except UnicodeDecodeError as error:
        raise UnreadableBody(
            f"The body is not JSON: byte {error.start + 1:,} of it is no UTF-8.", status=400
        ) from error
    except json.JSONDecodeError as error:
        raise UnreadableBody(f"The body is not JSON: {error}.", status=400) from error
    if found.wrong or _ESCAPED_SURROGATE.search(body):
        _refuse_wrong(value)
    return value


def _check_structure(body: bytes, most_values: int) -> None:
    """Raise UnreadableBody for more values or levels than there may be."""
    openings = body.count(b"[") + body.count(b"{")
    if openings <= _MOST_LEVELS and openings + body.count(b",") < most_values:
        return
    # Of what is left without its escapes, every second part between quotes stands in no string.
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
    if bare.count(b'"') <= 4 * most_values:
        structure = b"".join(bare.split(b'"')[::2])
        openings = structure.count(b"[") + structure.count(b"{")
        if openings + structure.count(b",") < most_values:
            brackets = structure.translate(None, _ALL_BUT_BRACKETS)
            if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > _MOST_LEVELS:
                raise UnreadableBody(
                    f"The body has more than {_MOST_LEVELS} levels of lists and objects.",
                    status=413,
                )
            return
    raise UnreadableBody(
        f"The body has more values than this server takes, which is {most_values:,}. Shorten it, "
        "or begin a new chat.",
        status=413,
    )


class _Wrong:
    """Stands in a parsed body for what no field takes. words: what follows its place."""

    def __init__(self, words: str) -> None:
        self.words = words


class _Found:
    """What the parser hands its values to. wrong: whether one of them is so."""

    def __init__(self) -> None:
        self.wrong = False

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            seen: set[str] = set()
            for name, _ in pairs:
                if name in seen:
                    made[name] = self._refuse("stands twice in one object.")
                seen.add(name)
        return made

    def whole(self, text: str) -> object:
        if len(text) > _LONGEST_NUMBER:
            return self._too_long(text)
        value = int(text)
        # Beyond 64 bits as most programs read it, which fields know how to refuse.
        return value if -(2**63) <= value < 2**64 else float(value)

    def decimal(self, text: str) -> object:
        if len(text) > _LONGEST_NUMBER:
            return self._too_long(text)
        value = float(text)
        return value if math.isfinite(value) else self._refuse("is larger than any number here.")

    def constant(self, text: str) -> object:
        return self._refuse(f"is {text}, which is no number of JSON.")

    def _too_long(self, text: str) -> _Wrong:
        return self._refuse(f"is a number of {len(text):,} characters.")

    def _refuse(self, words: str) -> _Wrong:
        self.wrong = True
        return _Wrong(words)


def _refuse_wrong(body: object) -> None:
    """Raise InvalidRequest for the first value that no field takes.

    Its path is put together when it is found: to do so for every element of a body would take time
    in the product of their number and the length of their names.
    """
    left: list[tuple[Chain, object]] = [(None, body)]
    while left:
        chain, each = left.pop()
        if isinstance(each, _Wrong):
            field = _field(chain)
            raise InvalidRequest(f"{field} {each.words}", field=field)
        if isinstance(each, str):
            if _SURROGATE.search(each):
                field = _field(chain)
                raise InvalidRequest(
                    f"{field} holds half of a character (a lone surrogate), as when a text is cut "
                    "inside an emoji. Delete it.",
                    field=field,
                )
        elif isinstance(each, list):
            left += [((chain, i), inner) for i, inner in reversed(list(enumerate(each)))]
        elif isinstance(each, dict):
            for name, inner in reversed(each.items()):
                left.append(((chain, name), inner))
                if _SURROGATE.search(name):
                    left.append(((chain, name), name))


def _field(chain: Chain) -> str:
    path = path_of(chain).removeprefix(".") or "body"
    return path.encode("utf-8", "replace").decode()
