"""The product's errors.

PlaygroundError
├── InvalidRequest      the request is wrong; names the field, nothing was started
├── ConversationTooLong the last turn alone does not fit the context
├── Busy                a limit of this server is reached; says when to retry
│   └── Spent           what a user may have in a day is used up
├── ShuttingDown        this server is stopping; says when to retry
├── LoginRequired       nobody is logged in, and this needs somebody
├── OtherLogin          the page was opened under another name than is logged in now
├── Forbidden           who asks may not
├── NotFound            what is named is not there, or no longer
├── StoreError          the database is away, locked or full; nothing was half-written
└── EngineError         the engine refused, failed or is away; TGI's errors are translated once,
                        in engines/http.py
"""

from typing import Literal

EngineErrorKind = Literal[
    "offline",
    "loading",
    "overloaded",
    "timeout",
    "refused",
    "unauthorized",
    "generation",
    "incomplete",
    "protocol",
]


class PlaygroundError(Exception):
    """Base of all. `kind` is a stable word for programs, `str(error)` a sentence for people."""

    kind = "internal"
    retryable = False


class InvalidRequest(PlaygroundError):
    """The request is wrong, and nothing was started.

    Args:
        field: The place in the request, such as ``panes[1].seed``.
    """

    kind = "invalid"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class ConversationTooLong(PlaygroundError):
    """The last turn alone does not fit the context, or this server's limit."""

    kind = "too_long"


class Busy(PlaygroundError):
    """A limit of this server is reached.

    Args:
        retry_after: Seconds after which a retry may help.
    """

    kind = "busy"
    retryable = True

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Spent(Busy):
    """What a user may have in a day is used up."""

    kind = "spent"


class ShuttingDown(PlaygroundError):
    """This server is stopping.

    Attributes:
        retry_after: Seconds after which another server, or this one started anew, may answer.
    """

    kind = "shutdown"
    retryable = True
    retry_after = 5


class LoginRequired(PlaygroundError):
    """Nobody is logged in, and this needs somebody."""

    kind = "login"


class OtherLogin(PlaygroundError):
    """The page was opened under another name than is logged in now."""

    kind = "other_login"


class Forbidden(PlaygroundError):
    """Who asks may not."""

    kind = "forbidden"


class NotFound(PlaygroundError):
    """What is named is not there, or no longer."""

    kind = "not_found"


class StoreError(PlaygroundError):
    """The database is away, locked or full; nothing was half-written."""

    kind = "store"
    retryable = True


class EngineError(PlaygroundError):
    """The engine refused, failed or is away.

    Args:
        retryable: Whether the same request may succeed later.
    """

    def __init__(self, message: str, *, kind: EngineErrorKind, retryable: bool) -> None:
        super().__init__(message)
        self.kind: str = kind
        self.retryable = retryable
