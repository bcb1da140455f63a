"""What the check found, one thing at a time."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "fault", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    verdict: note is worth knowing and stops nobody; a skipped one could not be looked at here.
    says: what was found. fix: what to do, in a sentence; "" where nothing needs to be done.
    """

    name: str
    verdict: Verdict
    says: str
    fix: str = ""


def ok(name: str, says: str) -> Finding:
    return Finding(name, "ok", says)


def note(name: str, says: str, fix: str = "") -> Finding:
    return Finding(name, "note", says, fix)


def fault(name: str, says: str, fix: str) -> Finding:
    return Finding(name, "fault", says, fix)


def skipped(name: str, says: str) -> Finding:
    return Finding(name, "skipped", says)
