"""The log: which request a line belongs to, and how lines are written, everybody's alike.

A line never holds what people write, read or prove themselves with. So nothing logs a request's
body, path or header, and of an exception only its type and its places in the code are written: its
text may quote whatever was being worked on. What libraries say below a warning stays unsaid at any
level, since SQLAlchemy and aiosqlite would tell their statements with all values.
"""

import asyncio
import errno
import faulthandler
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

import orjson

# The id of the request that is being answered; "" outside of one.
request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")

_OURS: Final = ("playground", "tgi")
_CHAIN: Final = 5  # exceptions told of a chain or a group

_log = logging.getLogger("playground")


def request_words() -> str:
    """Names the request to people, at the end of a sentence: " (request 4f…)", or ""."""
    number = request_id.get()
    return f" (request {number})" if number else ""


def configure(form: Literal["text", "json"], level: str) -> None:
    """From here on everything this process has to say goes to stderr as lines of this form.

    Args:
        level: Of our own lines; those of libraries are told from "warning" on.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JSONLines() if form == "json" else _TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    logging.raiseExceptions = False  # or a line that cannot be written is printed with its values
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread
    faulthandler.enable()  # a crash of the interpreter tells its places in the code, too


def watch_loop() -> None:
    """The running event loop's own complaints go the same way, without what its tasks hold."""
    asyncio.get_running_loop().set_exception_handler(_loop_failed)


def _loop_failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.error("The event loop caught a failure", exc_info=context.get("exception"))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _log.critical("The program failed", exc_info=(kind, error, trace))


def _unraisable(failed: "sys.UnraisableHookArgs") -> None:
    _log.error("A clean-up failed", exc_info=failed.exc_value)


def _uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        _log.error("A thread failed", exc_info=failed.exc_value)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What a line says beside its words, as ``extra={"fields": {…}}`` gave it."""
    number = request_id.get()
    return {**({"request_id": number} if number else {}), **getattr(record, "fields", {})}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it came of, and what is grouped in it; the outermost first."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _CHAIN:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(each.exceptions)
        if each.__cause__ is not None:
            waiting.append(each.__cause__)
        elif each.__context__ is not None and not each.__suppress_context__:
            waiting.append(each.__context__)


def _kind(error: BaseException) -> str:
    """An exception's type, and the code of an error of the operating system."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    if isinstance(error, OSError):
        name += f" {errno.errorcode.get(error.errno or 0, '')}".rstrip()
    return name


def _places(error: BaseException) -> str:
    """Where an exception passed, the innermost last, with our code there and no values."""
    return "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")


def _raised(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


class _TextLines(logging.Formatter):
    """For people: time, level, words, fields; an exception's places on lines of their own."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        words = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{time} {record.levelname} {words}{fields}"
        if error := _raised(record):
            for each in _chain(error):
                line += f"\n{_kind(each)}\n{_places(each)}".rstrip("\n")
        return line


class _JSONLines(logging.Formatter):
    """For programs: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if error := _raised(record):
            entry["exceptions"] = [
                {"type": _kind(each), "places": _places(each)} for each in _chain(error)
            ]
        return orjson.dumps(entry, default=str).decode("utf-8", "replace")
