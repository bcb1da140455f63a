"""Whether there is room: on the disk for a file, in memory for a model and its conversations."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playground.cli.demo.errors import ModelError
from playground.cli.demo.gguf import Header
from playground.domain.amounts import size as in_words

_MEMORY: Final = Path("/proc/meminfo")
_CONTROL_GROUP: Final = Path("/sys/fs/cgroup")
# What the runtime takes beside the weights and the conversations.
_RUNTIME: Final = 300_000_000
# Left free on the disk, so that nothing else stumbles.
_DISK_REST: Final = 200_000_000
# Answers at a time and tokens of each, from the best that is wanted to the least that is useful.
_LAYOUTS: Final = ((4, 8192), (4, 4096), (2, 4096), (2, 2048), (1, 2048))


@dataclass(frozen=True, slots=True)
class Layout:
    """How the context is divided: answers at a time, and tokens of each."""

    slots: int
    context: int


def free_memory() -> int | None:
    """Bytes that a program can have, ``None`` where the system does not tell.

    What is left of a container's limit, where that is less.
    """
    if sys.platform == "win32":
        return None
    try:
        lines = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, LookupError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = int((_CONTROL_GROUP / "memory.max").read_text())
        used = dict(
            line.split()
            for line in (_CONTROL_GROUP / "memory.stat").read_text().split("\n")
            if line
        )
        return min(free, limit - int(used["anon"]))
    except (OSError, LookupError, ValueError):  # no control group, or no limit: "max"
        return free


def lay_out(header: Header, length: int, name: str, free: int | None) -> Layout:
    """The largest context that fits into memory.

    Args:
        length: Bytes of the model's file.
        free: Bytes of memory, ``None`` where it is not known.

    Raises:
        ModelError: Not even the smallest fits.
    """
    trained = header.context or _LAYOUTS[0][1]
    for slots, context in _LAYOUTS:
        found = Layout(slots, min(context, trained))
        needed = _needed(header, length, found)
        if free is None or needed <= free:
            return found
    raise ModelError(
        f"{name} does not fit into memory: it takes {in_words(needed)} with the smallest context, "
        f"and {in_words(max(0, free or 0))} are free. Close other programs, or take a smaller "
        "quantisation of it or a smaller model."
    )


def _needed(header: Header, length: int, layout: Layout) -> int:
    return length + layout.slots * layout.context * header.bytes_per_token + _RUNTIME


def check_memory(length: int, name: str, free: int | None) -> None:
    """Before a file is fetched: whether memory holds its weights alone.

    Raises:
        ModelError: It does not.
    """
    if free is not None and length + _RUNTIME > free:
        raise ModelError(
            f"{name} does not fit into memory: its weights alone take {in_words(length)}, and "
            f"{in_words(max(0, free))} are free. Nothing was fetched. Close other programs, or "
            "take a smaller quantisation of it or a smaller model."
        )


def check_disk(missing: int, folder: Path, name: str) -> None:
    """Before a file is fetched: whether what is missing of it fits.

    Raises:
        ModelError: It does not.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if missing + _DISK_REST > free:
        raise ModelError(
            f"{name} does not fit onto the disk: {in_words(missing)} are to come, and {there} has "
            f"{in_words(free)} free. Nothing was fetched. Make room there, or set HF_HOME to a "
            "folder on a larger disk."
        )
