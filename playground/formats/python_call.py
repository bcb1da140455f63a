"""A call in Python: its keyword arguments, and the names and values of dicts among them.

The text is searched, not parsed: what people paste is often a part of a program, and what is no
name with a plain value behind it is passed over.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from playground.formats.named_values import SYSTEM_ROLES
from playground.formats.plain_values import plain_value
from playground.formats.values import Entry

_ARGUMENT: Final = re.compile(
    r"""\#[^\n]*
    |(?<![\w.])["']?(?P<name>[A-Za-z_]\w{0,60})["']?[ \t]*[=:](?!=)[ \t]*
      (?P<value>"[^"\n]*"|'[^'\n]*'|[\w.+-]+(?P<call>\()?|[\[{(])?
    |"[^"\n]*"|'[^'\n]*'""",
    re.VERBOSE,
)
_NAMES: Final = (
    "temperature|top_p|top_k|min_p|repetition_penalty|repeat_penalty|frequency_penalty"
    "|presence_penalty|do_sample|max_tokens|max_new_tokens|max_completion_tokens"
)
LOOKS_LIKE: Final = re.compile(rf"\b(?:{_NAMES})[ \t]*=[ \t]*[+-]?[\w.]{{1,40}}\s*(?:,(?!\d)|\))")
NOT_SHOWN: Final = "…"


def read(text: str) -> list[Entry]:
    """The names and values. A list or an object is not taken apart beyond the names in it."""
    entries = []
    line, at = 1, 0
    for found in _ARGUMENT.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        value = found["value"]
        if found["name"] is None or not value or found["call"] or value in "{(":
            continue
        shown = NOT_SHOWN if value == "[" else plain_value(value)
        entries.append(Entry(found["name"], shown, line))
    return _with_system_messages(entries)


def _with_system_messages(entries: Sequence[Entry]) -> list[Entry]:
    """The same, with a system message, whose role and content stand next to each other, as one."""
    joined: list[Entry] = []
    for entry in entries:
        last = joined[-1] if joined else None
        if last and {last.key, entry.key} == {"role", "content"}:
            message = {last.key: last.value, entry.key: entry.value}
            if message["role"] in SYSTEM_ROLES:
                joined[-1] = Entry("messages", message, last.line)
                continue
        joined.append(entry)
    return joined


def write(values: Mapping[str, object]) -> str:
    """A call of vLLM's SamplingParams."""
    arguments = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    return f"SamplingParams(\n{arguments})\n"
