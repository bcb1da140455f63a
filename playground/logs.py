"""The log: which request a line belongs to, and how lines are written."""

from contextvars import ContextVar
from typing import Final

# The id of the request that is being answered; "" outside of one.
request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")


def request_words() -> str:
    """Names the request to people, at the end of a sentence: " (request 4f…)", or ""."""
    number = request_id.get()
    return f" (request {number})" if number else ""
