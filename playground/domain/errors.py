"""The product's errors.

PlaygroundError
├── InvalidRequest      the request is wrong; names the field, nothing was started
├── ConversationTooLong the last turn alone does not fit the context
├── Busy                a limit of this server is reached; says when to come again
│   └── Spent           what a user may have in a day is used up
├── ShuttingDown        this server is stopping; says when to come again
├── LoginRequired       nobody is logged in, and this needs somebody
├── OtherLogin          the page was opened under another name than is logged in now
├── Forbidden           who asks may not
├── NotFound            what is named is not there, or no longer
├── StoreError          the database is away, locked or full; nothing was half-written
└── EngineError         the engine refused, failed or is away; TGI's errors are translated once,
                        in engines/tgi.py
"""


class PlaygroundError(Exception):
    """Base of all. `kind` is a stable word for programs, `str(error)` a sentence for people."""

    kind = "internal"
    retryable = False


class InvalidRequest(PlaygroundError):
    kind = "invalid"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class ConversationTooLong(PlaygroundError):
    kind = "too_long"


class Busy(PlaygroundError):
    """retry_after: seconds after which asking again may help."""

    kind = "busy"
    retryable = True

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Spent(Busy):
    kind = "spent"


class ShuttingDown(PlaygroundError):
    """retry_after: seconds after which another server, or this one started anew, may answer."""

    kind = "shutdown"
    retryable = True
    retry_after = 5


class LoginRequired(PlaygroundError):
    kind = "login"


class OtherLogin(PlaygroundError):
    kind = "other_login"


class Forbidden(PlaygroundError):
    kind = "forbidden"


class NotFound(PlaygroundError):
    kind = "not_found"


class StoreError(PlaygroundError):
    kind = "store"
    retryable = True


class EngineError(PlaygroundError):
    """kind: offline, loading, overloaded, timeout, refused, unauthorized, generation, incomplete
    or protocol."""

    def __init__(self, message: str, *, kind: str, retryable: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
