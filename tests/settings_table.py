"""``python -m tests.settings_table`` writes the settings' table into its document."""

import re
import sys
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from playground.settings import PREFIX, Settings
from tests.servers import ROOT

DOCUMENT: Final = ROOT / "playground/README.md"
BEGIN: Final = "<!-- settings: written by `make settings` -->"
END: Final = "<!-- /settings -->"


def table() -> str:
    """A row for each setting, in the order of the class."""
    rows = ["| variable | default | what it is for | accepted |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (f"`{PREFIX}{name.upper()}`", _default(name, field), field.title, field.description)
        rows.append("| " + " | ".join(_cell(each or "") for each in cells) + " |")
    return "\n".join(rows)


def written(text: str) -> str:
    """The document with the table as it has to be. Raises ValueError without the two marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{BEGIN} and {END} must stand once in {DOCUMENT.name}.")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{table()}\n\n{END}", text)


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    assert value is not PydanticUndefined, name
    if name == "data_dir":  # which depends on whose machine this is
        return "`kto-mistral-playground` in `$XDG_DATA_HOME` or `~/.local/share`"
    if isinstance(value, list):
        value = ",".join(str(each).removesuffix("/128") for each in value)  # as one writes it
    if value in (None, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write it; nothing changes when it is right already."""
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
