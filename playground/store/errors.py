"""What the database's driver says, in words for whoever wanted something of it. The only place.

The words name no path, host or value: visitors read them. What the driver says goes to the log by
its code, never by its message, which may quote what was to be stored.
"""

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from playground.domain.errors import StoreError

_log: Final = logging.getLogger(__name__)

# What is wrong, and what can be done.
_FULL: Final = (
    "The disk of the playground's database is full.",
    "Whoever runs the playground can free some space.",
)
_LOCKED: Final = (
    "Another program holds the playground's database locked.",
    "Try again in a moment.",
)
_READ_ONLY: Final = (
    "The playground may not write to its database.",
    "Whoever runs the playground can give it that right.",
)
_CLOSED: Final = (
    "The playground's database cannot be opened.",
    "Whoever runs the playground can see to the folder PLAYGROUND_DATA_DIR, its rights and its "
    "space.",
)
_AWAY: Final = (
    "The playground's database does not answer.",
    "Try again in a moment.",
)
_REFUSED: Final = (
    "The playground's database does not let it in.",
    "Whoever runs the playground can check PLAYGROUND_DATABASE_URL and the password.",
)
_BROKEN: Final = (
    "The playground's database is damaged.",
    "Whoever runs the playground can restore it from a backup.",
)
_NEWER: Final = (
    "The playground's database was made by a newer version of the playground.",
    "Whoever runs the playground can update it.",
)
_UNKNOWN: Final = (
    "The playground's database reports an error.",
    "Whoever runs the playground finds its code in the log.",
)
_Words = tuple[str, str]

# By the beginning of what SQLite calls the error.
_SQLITE: Final = {
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR_WRITE": _FULL,
    "SQLITE_IOERR_SHMSIZE": _FULL,
    "SQLITE_IOERR_FSYNC": _FULL,
    "SQLITE_IOERR_TRUNCATE": _FULL,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_PROTOCOL": _LOCKED,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_PERM": _READ_ONLY,
    "SQLITE_AUTH": _READ_ONLY,
    "SQLITE_CANTOPEN": _CLOSED,
    "SQLITE_CORRUPT": _BROKEN,
    "SQLITE_NOTADB": _BROKEN,
    "SQLITE_IOERR": _CLOSED,
}
# By the beginning of PostgreSQL's SQLSTATE; the longer one first.
_POSTGRESQL: Final = {
    "53100": _FULL,
    "53": _AWAY,  # too many connections, no memory
    "25006": _READ_ONLY,
    "42501": _READ_ONLY,
    "55P03": _LOCKED,
    "40": _LOCKED,
    "57": _AWAY,  # starting, stopping, or a statement that took too long
    "08": _AWAY,
    "28": _REFUSED,
    "3D000": _REFUSED,
    "58030": _FULL,
    "XX00": _BROKEN,
}


_SYSTEM: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.ENOTDIR: _CLOSED,
    errno.EEXIST: _CLOSED,
    errno.EISDIR: _CLOSED,
}


class Unmade(Exception):
    """The file or its folder could not be made; the OSError that it comes from says why."""


class NewerSchema(Exception):
    """The tables are those of a version that this program does not know."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns what SQLAlchemy, a driver or the operating system raises inside into StoreError.

    Raises:
        StoreError: In words for visitors.
    """
    try:
        yield
    except (SQLAlchemyError, OSError, TimeoutError, Unmade, NewerSchema) as error:
        (what, remedy), code = _cause(error)
        _log.warning("%s %s", what, code)
        raise StoreError(
            f"{what} Nothing was half-written, and chatting needs no database. {remedy}"
        ) from error


def _cause(error: BaseException) -> tuple[_Words, str]:
    """The words for an error, and its code for the log."""
    if isinstance(error, NewerSchema):
        return _NEWER, "newer schema"
    if isinstance(error, Unmade) and isinstance(error.__cause__, OSError):
        number = error.__cause__.errno or 0
        return _SYSTEM.get(number, _CLOSED), errno.errorcode.get(number, "")
    driver = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if name := getattr(driver, "sqlite_errorname", None):
        return _named(_SQLITE, name), name
    if state := getattr(driver, "sqlstate", None):
        return _named(_POSTGRESQL, state), f"SQLSTATE {state}"
    if isinstance(driver, OSError) and driver.errno is not None:
        return _SYSTEM.get(driver.errno, _AWAY), errno.errorcode.get(driver.errno, "")
    # Connections that end in the middle, and waits for one that are too long, have no code.
    lost = isinstance(driver, OSError | TimeoutError | InterfaceError | PoolTimeout)
    lost = lost or "connection" in str(driver).lower()
    return (_AWAY if lost else _UNKNOWN), type(driver).__name__


def _named(table: Mapping[str, _Words], code: str) -> _Words:
    return next((words for start, words in table.items() if code.startswith(start)), _UNKNOWN)
