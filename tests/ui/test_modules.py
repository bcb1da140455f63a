"""The browser's modules that the page's head names."""

import re

from playground.ui.page import STATIC, head, modules


def test_the_head_names_every_module_that_the_page_begins_with() -> None:
    named = re.findall(r"/ui/v1/([\w-]+\.js)", head("v1"))
    assert named[0] == "main.js"
    assert sorted(named) == sorted(set(named))
    for name in named:
        text = (STATIC / name).read_text(encoding="utf-8")
        for line in re.findall(r"from '\./(.+?)';", text):
            assert line in named, f"{name} imports {line}"


def test_what_is_imported_later_is_not_among_them() -> None:
    assert "comparison.js" not in modules("main.js")
    assert "dom.js" in modules("comparison.js")
