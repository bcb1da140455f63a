"""Cookies: read without a parser of all of them, and written all alike."""

import re
from typing import Final

from starlette.types import Scope

BROWSER: Final = "playground_browser"  # who nobody logs in as: a random text
SESSION: Final = "playground_session"
DEVICE: Final = "playground_device"  # where somebody has logged in before
# What a value is that was written here.
_VALUE: Final = re.compile(r"[\w.-]{1,512}", re.ASCII)


def own_cookies(header: str) -> str:
    """Of a header those cookies that may have been set here.

    Python's own parser, which Gradio has each header go through, takes a time with the square of
    the escapes in a value: seconds for the longest header.
    """
    own = []
    for each in header.split(";"):
        name, _, value = each.partition("=")
        name, value = name.strip(), value.strip()
        if name in (BROWSER, SESSION, DEVICE) and _VALUE.fullmatch(value):
            own.append(f"{name}={value}")
    return "; ".join(own)


def cookie(header: str, name: str) -> str | None:
    """The value of a cookie. Of two with this name, the one with the longer path comes first."""
    for each in header.split(";"):
        key, _, value = each.partition("=")
        if key.strip() == name:
            return value.strip()
    return None


def set_cookie(scope: Scope, name: str, value: str, lasts_s: int) -> tuple[bytes, bytes]:
    """The header that sets a cookie for this playground alone; `lasts_s` 0 takes it away.

    No script reads it, no other site's form or frame carries it along, and where the page came by
    https it never travels without.
    """
    path = scope.get("root_path") or "/"
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    text = f"{name}={value}; Max-Age={lasts_s}; Path={path}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode("latin-1")
