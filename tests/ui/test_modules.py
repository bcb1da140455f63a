"""The browser's modules: which folder imports which, and which ones a page's head names."""

import re
from posixpath import dirname, normpath
from typing import Final

import pytest

from playground.ui.page import STATIC, head, modules

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


def test_the_head_names_every_module_that_the_page_begins_with() -> None:
    named = re.findall(r"/ui/v1/([\w/-]+\.js)", head("v1"))
    assert named[0] == "pages/main.js"
    assert sorted(named) == sorted(set(named))
    for name in named:
        assert imported(name, STATIC_IMPORT) <= set(named), name


def test_what_is_imported_later_is_not_among_them() -> None:
    assert "compare/comparison.js" not in modules("pages/main.js")
    assert "lib/dom.js" in modules("compare/comparison.js")


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
