"""Everything that can go wrong between a program and a TGI server.

TGIError
├── ConnectFailed     nothing listens there, or the connection broke before the answer began
│   └── UnknownHost   no address is known for the name
├── Timeout           no connection, or no byte of an answer, within the time allowed
├── Unhealthy         the server is there and cannot serve (503): it is loading, or a shard died
├── Overloaded        more requests than it takes (429, or "overloaded" inside a stream)
├── Unauthorized      the API key is missing or wrong (401, 403)
├── ValidationFailed  the request is refused as it is (400, 413, 415, 422, or "validation")
├── GenerationFailed  the model failed while it generated (424, 500, or "generation")
├── IncompleteStream  the text stopped before its end; what came before is valid
└── ProtocolError     the answer is none that TGI gives: another server, or a broken one

`str(error)` is a sentence for people. TGI reports a streaming error under status 200, so `status`
is 200 there and `error_type` tells the kind.
"""

from typing import ClassVar


class TGIError(Exception):
    """Base of all.

    Args:
        status: The HTTP status of the answer, None where there was none.
        error_type: TGI's own word for the error, None where it gave none.
        retry_after: Seconds after which the server asks for a retry, None where it did not say.

    Attributes:
        retryable: Whether the same request can succeed later without being changed.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_type: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.retry_after = retry_after


class ConnectFailed(TGIError):
    """Nothing listens there, or the connection broke before the answer began."""

    retryable = True


class UnknownHost(ConnectFailed):
    """No address is known for the name."""


class Timeout(TGIError):
    """No connection, or no byte of an answer, within the time allowed."""

    retryable = True


class Unhealthy(TGIError):
    """The server is there and cannot serve (503): it is loading, or a shard died."""

    retryable = True


class Overloaded(TGIError):
    """More requests than it takes (429, or "overloaded" inside a stream)."""

    retryable = True


class Unauthorized(TGIError):
    """The API key is missing or wrong (401, 403)."""


class ValidationFailed(TGIError):
    """The request is refused as it is (400, 413, 415, 422, or "validation")."""


class GenerationFailed(TGIError):
    """The model failed while it generated (424, 500, or "generation")."""

    retryable = True


class IncompleteStream(TGIError):
    """The text stopped before its end; what came before is valid."""

    retryable = True


class ProtocolError(TGIError):
    """The answer is none that TGI gives: another server, or a broken one."""
