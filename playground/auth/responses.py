"""Answers that are JSON, and the product's errors as such: ``{"error", "kind", "field"}``."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from playground.domain.errors import (
    Busy,
    ConversationTooLong,
    EngineError,
    Forbidden,
    InvalidRequest,
    LoginRequired,
    NotFound,
    OtherLogin,
    PlaygroundError,
    ShuttingDown,
    StoreError,
)


class UnreadableBody(InvalidRequest):
    """A body that is not even looked into.

    Args:
        status: Of its answer, 400 to 499.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, field="body")
        self.status = status


def json_answer(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON that no cache keeps."""
    return Response(
        orjson.dumps(content),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        "application/json",
    )


def error_answer(
    status: int,
    error: str,
    kind: str,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as JSON that no cache keeps.

    Args:
        status: Of the answer.
        error: A sentence for people.
        kind: A stable word for programs.
        field: Of the request, where one is wrong.
        headers: Beside those that every answer has.
    """
    return json_answer({"error": error, "kind": kind, "field": field}, status, headers)


def refusal(error: PlaygroundError) -> Response:
    """An error as the answer to the request that it ended."""
    headers = {}
    match error:
        case UnreadableBody():
            status = error.status
        case InvalidRequest() | ConversationTooLong():
            status = 422
        case LoginRequired():
            status = 401
        case OtherLogin():
            status = 409
        case Forbidden():
            status = 403
        case NotFound():
            status = 404
        case Busy() | ShuttingDown():
            status = 429 if isinstance(error, Busy) else 503
            headers["Retry-After"] = str(error.retry_after)
        case StoreError():
            status = 503
        case EngineError():
            status = 503 if error.retryable else 502
        case _:
            status = 500
    field = error.field if isinstance(error, InvalidRequest) else None
    return error_answer(status, str(error), error.kind, field=field, headers=headers)
