"""A file with several engines, as PLAYGROUND_ENGINES_FILE names one."""

from collections.abc import Mapping
from pathlib import Path


def engines_file(folder: Path, *, kinds: Mapping[str, str] | None = None, **urls: str) -> Path:
    """A file with an engine of each id, in this order, called by its id in capital letters.

    kinds: of some of them, by their ids; the others are TGI.
    """
    file = folder / "engines.toml"
    file.write_text(
        "".join(
            f'[[engine]]\nid = "{id_}"\nname = "{id_.upper()}"\nurl = "{url}"\n'
            f'kind = "{(kinds or {}).get(id_, "tgi")}"\n\n'
            for id_, url in urls.items()
        ),
        encoding="utf-8",
    )
    return file
