"""The browser's modules: which folder imports which, and how they are put together."""

import re
from pathlib import Path
from posixpath import dirname, normpath
from typing import Final

import pytest

from playground.ui.bundle import Bundles
from playground.ui.page import STATIC

# The folders of static/ from the ground up, each with those that it may import.
FOLDERS: Final[dict[str, set[str]]] = {
    "vendor": set(),
    "lib": set(),
    "engine": {"lib"},
    "presets": {"lib", "engine"},
    "answers": {"vendor", "lib", "engine"},
    "records": {"lib", "presets"},
    "chat": {"lib", "engine", "presets", "answers", "records"},
    "compare": {"lib", "engine", "presets", "answers", "records"},
    "share": {"lib", "engine", "presets", "answers", "records"},
    "history": {"lib", "presets", "records", "share"},
    "snapshot": {"lib", "answers"},
    "pages": {
        *("lib", "engine", "presets", "answers", "records"),
        *("chat", "compare", "share", "history", "snapshot"),
    },
}
FILES: Final = sorted(each.relative_to(STATIC).as_posix() for each in STATIC.rglob("*.js"))
STATIC_IMPORT: Final = re.compile(r"^(?:import|export)[^;]*?from '([^']+)';", re.MULTILINE)
ANY_IMPORT: Final = re.compile(r"\b(?:from|import) ?\(?'(\.[^']+)'")


def imported(name: str, pattern: re.Pattern[str]) -> set[str]:
    """What a module imports, by the paths in static/."""
    text = (STATIC / name).read_text(encoding="utf-8")
    return {normpath(f"{dirname(name)}/{each}") for each in pattern.findall(text)}


@pytest.mark.parametrize("name", FILES)
def test_a_folder_imports_only_what_stands_below_it(name: str) -> None:
    folder = dirname(name)
    for each in imported(name, ANY_IMPORT):
        assert each in FILES, f"{name} imports {each}, which is not there"
        assert dirname(each) in FOLDERS[folder] | {folder}, f"{name} imports {each}"


def test_the_folders_are_told_from_the_ground_up() -> None:
    assert {dirname(name) for name in FILES} == set(FOLDERS)
    for i, (folder, below) in enumerate(FOLDERS.items()):
        assert below <= set(list(FOLDERS)[:i]), folder


def test_no_module_imports_itself_in_a_roundabout_way() -> None:
    left = {name: imported(name, ANY_IMPORT) for name in FILES}
    while ready := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in ready:
            del left[name]
    assert not left


def module_of(variable: str) -> str:
    [found] = [each for each in FILES if "_" + re.sub(r"\W", "_", each[:-3]) == variable]
    return found


@pytest.mark.parametrize("page", ["main", "snapshot", "demo", "login"])
def test_each_module_is_in_one_file_of_a_page_behind_all_that_it_imports(page: str) -> None:
    bundles = Bundles(STATIC, f"pages/{page}.js", page)
    files = [bundles.begin(), bundles.rest() if bundles.later else ""]
    written = [re.findall(r"^const (\w+) = \(\(\) => \{$", file, re.MULTILINE) for file in files]
    order = [module_of(each) for file in written for each in file]
    assert order == [*bundles.first, *bundles.later]
    assert len(order) == len(set(order))
    for i, name in enumerate(order):
        assert imported(name, STATIC_IMPORT) <= set(order[:i]), name
        assert imported(name, ANY_IMPORT) <= set(order), name
    assert bundles.first[-1] == f"pages/{page}.js"


def test_a_page_begins_without_what_it_imports_later() -> None:
    bundles = Bundles(STATIC, "pages/main.js", "main")
    assert {"compare/comparison.js", "history/history.js"} <= set(bundles.later)
    assert not {"compare/comparison.js", "history/history.js"} & set(bundles.first)
    assert "import('./main-later.js')" in bundles.begin()
    assert "import('" not in bundles.rest(), "all of it is there by then"


@pytest.mark.parametrize(
    "line",
    [
        "export default function f() {}",
        "export let count = 0;",
        "import * as all from './b.js';",
        "export * from './b.js';",
        "export { b } from './b.js';",
    ],
)
def test_what_cannot_be_put_together_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "b.js").write_text("export const b = 1;\n")
    (tmp_path / "a.js").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"a\.js cannot be put together"):
        Bundles(tmp_path, "a.js", "a").begin()


def test_a_form_goes_nowhere_before_its_module_is_there() -> None:
    """Outside of a dialog a form of this method does nothing; any other one loads the page anew."""
    templates = STATIC.parent / "templates"
    forms = [
        form
        for each in sorted(templates.glob("*.html"))
        for form in re.findall(r"<form[^>]*", each.read_text(encoding="utf-8"))
    ]
    assert len(forms) >= 6
    for form in forms:
        assert 'method="dialog"' in form or 'method="post" action=' in form, form
