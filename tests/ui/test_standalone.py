"""Pages outside Gradio: the same colours, nothing from elsewhere, nothing that a text could add."""

import re
from typing import Any, Final

import pytest
from jinja2 import UndefinedError

from playground.ui.page import STATIC
from playground.ui.standalone import HEADERS, answer, document
from playground.ui.theme import theme

CSS: Final = (STATIC / "styles/standalone.css").read_text(encoding="utf-8")
VARIABLE: Final = re.compile(r"--([\w-]+): ([^;]+);")


def page(**values: Any) -> str:
    named = {"title": "T", "text": "", "login": False, "home": True, "root_path": "", **values}
    return document("message", version="v1", **named)


def test_a_value_that_a_template_misses_is_a_fault() -> None:
    with pytest.raises(UndefinedError, match="text"):
        document("message", title="T", version="v1", root_path="", login=False, home=False)


def variables(css: str) -> dict[str, str]:
    return dict(VARIABLE.findall(css))


def test_the_colours_are_the_themes_own() -> None:
    found = {name: value for name, value in variables(CSS).items() if not name.startswith("font")}
    assert len(found) > 15
    for name, value in found.items():
        light, dark = (getattr(theme(), name.replace("-", "_") + each) for each in ("", "_dark"))
        assert value == (light if light == dark else f"light-dark({light}, {dark})"), name


def test_what_the_pages_styles_expect_of_gradio_is_there() -> None:
    css = [
        (STATIC / name).read_text(encoding="utf-8")
        for name in ("styles/page.css", "styles/compare.css")
    ]
    used = set(re.findall(r"var\(--([\w-]+)\)", "".join(css)))
    defined = set(re.findall(r"[\s{;]--([\w-]+):", "".join(css)))
    assert used - defined - variables(CSS).keys() == set()


def test_the_dark_marks_of_gradios_class_hold_by_the_readers_system() -> None:
    compare = (STATIC / "styles/compare.css").read_text(encoding="utf-8")
    marks = re.findall(r"body\.dark (.*::highlight.+)", compare)
    assert marks
    assert re.findall(r"body\.plain:not\(\.light\) (.*::highlight.+)", CSS) == marks


def test_a_text_stays_a_text() -> None:
    html = page(title='</title><u "', description='"><s>', text="<b>{{ 7 * 7 }}", root_path='/"<i>')
    assert not re.search("<[usbi][ >]", html)
    assert "<p>&lt;b&gt;{{ 7 * 7 }}</p>" in html
    assert '<meta name="robots" content="noindex">' in html


@pytest.mark.parametrize("root", ["", "/play/ground"])
def test_every_address_is_below_the_root(root: str) -> None:
    html = page(root_path=root, script="demo")
    addresses = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert f"{root}/ui/v1/bundles/standalone.css" in addresses
    assert f"{root}/ui/v1/bundles/demo.js" in addresses
    assert all(address.startswith(f"{root}/") for address in addresses)


def test_the_headers_keep_a_page_to_itself() -> None:
    response = answer("x", 404, {"Retry-After": "3"})
    assert response.status_code == 404
    assert response.headers["retry-after"] == "3"
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert policy.count("unsafe") == 1  # a style attribute, as Markdown's tables have
