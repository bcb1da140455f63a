"""What the check found, one thing at a time."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "fault", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it was, in a word.
        verdict: "note" is worth knowing and stops nobody; "skipped" could not be looked at here.
        says: What was found.
        fix: What to do, in a sentence; "" where nothing needs to be done.
    """

    name: str
    verdict: Verdict
    says: str
    fix: str = ""


def ok(name: str, says: str) -> Finding:
    """A finding that all is well."""
    return Finding(name, "ok", says)


def note(name: str, says: str, fix: str = "") -> Finding:
    """A finding that is worth knowing and stops nobody."""
    return Finding(name, "note", says, fix)


def fault(name: str, says: str, fix: str) -> Finding:
    """A finding that has to be mended, with the fix."""
    return Finding(name, "fault", says, fix)


def skipped(name: str, says: str) -> Finding:
    """A finding that it could not be looked at here."""
    return Finding(name, "skipped", says)
