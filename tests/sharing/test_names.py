"""Names that people give turn nothing around them, wherever they come from."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from playground.domain.models import label
from playground.domain.names import plain_name
from playground.domain.presets import parse_presets
from playground.domain.samplers import Sampler
from playground.engines.base import EngineInfo
from playground.engines.engines_file import read_engines
from playground.engines.names import shown_name
from playground.formats.values import Draft
from playground.sharing.demo import read_demo
from playground.sharing.record import one_line
from playground.sharing.setup import LinkError
from playground.sharing.setup_link import parse_link
from tests.domain.test_blank import evaluated
from tests.engines_file import engines_file

MARKS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
TURNED: Final = "gp\u202ej.\u2067exe"
PLAIN: Final = "gpj.exe"
HEBREW: Final = "שלום 2"


def engine(name: str, folder: Path) -> str:
    file = engines_file(folder, a="http://127.0.0.1:1")
    file.write_text(file.read_text().replace('name = "A"', f'name = "{name}"'), encoding="utf-8")
    return read_engines(file)[0].name


def server_preset(name: str, _: Path) -> str:
    presets = parse_presets(f'version = 2\n[[preset]]\nid = "a"\nname = "{name}"\n', "")
    return presets[0].name


def demo(name: str) -> Any:
    preset = {"name": name, "sampler": {}}
    pane = {"sampler": {}, "max_new_tokens": 9, "seed": None, "stop": [], "preset": preset}
    return read_demo(name, {"system": "", "panes": [pane]})


def link(name: str) -> str:
    return f"setup=1&tab=chat&column=-own:{quote(name)}&end"


def engine_itself(name: str, _: Path) -> str:
    nothing: dict[str, Any] = dict.fromkeys(each.name for each in fields(EngineInfo))
    return EngineInfo(**{**nothing, "name": name}).name


TAKEN: Final[dict[str, Callable[[str, Path], str]]] = {
    "a title": lambda name, _: one_line(name, "title"),
    "a kept demo's title": lambda name, _: str(demo(name).title),
    "a kept demo's preset": lambda name, _: str(demo(name).panes[0].preset),
    "one's own preset": lambda name, _: Draft(name, Sampler()).name,
    "a link's preset": lambda name, _: parse_link(link(name)).columns[0].name,
    "a server's preset": server_preset,
    "a configured engine": engine,
    "what an engine says it is": engine_itself,
    "a model's file": lambda name, _: shown_name(f"/models/{name}"),
    "a model": lambda name, _: label(name, "", "").title,
    "an engine": lambda name, _: label("m", f"{name} 1", "").badge,
}


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
def test_a_name_is_taken_without_the_marks_that_turn_what_is_around_it(
    taken: Callable[[str, Path], str], tmp_path: Path
) -> None:
    assert taken(TURNED, tmp_path) == PLAIN
    assert taken("שלום", tmp_path) == "שלום"


def test_a_name_of_such_marks_alone_is_none() -> None:
    with pytest.raises(LinkError):
        parse_link(link(MARKS))


def test_the_browser_takes_names_as_the_server_does() -> None:
    names = [TURNED, HEBREW, f"a{MARKS}b", *map(chr, range(0x2000, 0x2070))]
    said: Any = evaluated(
        "lib/text.js",
        f"[it.plainName, it.within].map((read) => {json.dumps(names)}.map((name) => read(name)))",
    )
    taken, within = said
    assert taken == [plain_name(name) for name in names]
    assert within[:3] == [PLAIN, f"\u2068{HEBREW}\u2069", "ab"]
