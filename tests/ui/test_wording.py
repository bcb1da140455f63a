"""What the page says to its reader: no word of its makers, and no name of a field."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from playground.domain.presets import BUNDLED
from playground.domain.samplers import BY_NAME
from tests.servers import ROOT

UI = ROOT / "playground" / "ui"

# What readers did not understand, or what only this program's own texts call so.
PRIVATE = re.compile(
    r"^Own\b|\b(?:[Nn]eutrali[sz]e|Begin with this one|[Pp]rove it|[Pp]arts? from|not told"
    r"|the stroke|distinct-\d|panes?|seals?)\b"
)
# Names with underscores that the field itself uses, as the page's labels do.
STANDARD = frozenset(BY_NAME)
FIELD = re.compile(r"(?<![\w./`“<-])[a-z]+(?:_[a-z0-9]+)+\b(?![\w./(=-])")

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|[`{}]|\s+|[\w$]+|.", re.DOTALL
)
_REGEX = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_BEFORE_REGEX = frozenset({*"(,=:[!&|?{};>", "return"})
_IN_TEMPLATE = re.compile(r"((?:[^`\\$]|\\.|\$(?!\{))*)(`|\$\{)", re.DOTALL)


def script_texts(source: str) -> Iterator[str]:
    """The texts in a module, with a sign in the place of each value in them."""
    at, before, depth = 0, "(", 0
    templates: list[tuple[int, list[str]]] = []  # which are open: the braces around, and the parts
    while at < len(source):
        regex = _REGEX.match(source, at) if before in _BEFORE_REGEX else None
        token = regex or _TOKEN.match(source, at)
        assert token is not None
        text, at = token[0], token.end()
        if text.isspace() or text.startswith(("//", "/*")):
            continue
        before = "/" if regex else text
        if regex:
            continue
        if text[0] in "'\"":
            yield text[1:-1]
        depth += (text == "{") - (text == "}")
        if text == "`":
            templates.append((depth, []))
        if text == "`" or (text == "}" and templates and templates[-1][0] == depth):
            part = _IN_TEMPLATE.match(source, at)
            assert part is not None
            templates[-1][1].append(part[1])
            at = part.end()
            if part[2] == "`":
                yield "…".join(templates.pop()[1])
            else:
                depth += 1


def page_texts(source: str) -> Iterator[str]:
    """The texts in a template of HTML, and those of attributes that are shown or read out."""
    source = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "…", source, flags=re.DOTALL)
    for tag in re.findall(r"<[^>]*>", source):
        yield from re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', tag)
    yield from re.split(r"<(?:style|script|code|pre)\b.*?</\w+>|<[^>]*>", source, flags=re.DOTALL)


def python_texts(source: str) -> Iterator[str]:
    """The texts in a module, without those that document it."""
    tree = ast.parse(source)
    documents = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents:
            yield from [node.value] if isinstance(node.value, str) else []


def said() -> Iterator[tuple[Path, str]]:
    """All that the page's sources may say, with where it stands."""
    for path in sorted(UI.glob("static/*/*.js")):
        if path.parent.name != "vendor":
            yield from ((path, text) for text in script_texts(path.read_text(encoding="utf-8")))
    for path in sorted(UI.glob("templates/*.html")):
        yield from ((path, text) for text in page_texts(path.read_text(encoding="utf-8")))
    for path in (*sorted(UI.glob("*.py")), ROOT / "playground" / "domain" / "samplers.py"):
        yield from ((path, text) for text in python_texts(path.read_text(encoding="utf-8")))
    for preset in tomllib.loads(BUNDLED.read_text(encoding="utf-8"))["preset"]:
        yield from ((BUNDLED, preset.get(each, "")) for each in ("name", "source", "description"))


def wrong(text: str) -> list[str]:
    """What a reader would not know of a text; of a name without a blank in it, that is no text."""
    words = [found[0] for found in PRIVATE.finditer(text)]
    words += [each for each in FIELD.findall(text) if each not in STANDARD]
    return words if " " in text.strip() or text[:1].isupper() else []


def test_no_text_of_the_page_has_a_word_of_its_makers() -> None:
    texts = list(said())
    heard = {text for _, text in texts}
    assert {"Which answer is best?", "One prompt for all columns", "Answer …", "Log in"} <= heard
    assert [(path.name, text, found) for path, text in texts if (found := wrong(text))] == []


def test_a_word_of_the_makers_is_found_wherever_it_stands() -> None:
    script = "f(/'/.test(a) ? `Own ${b ? `x_y: {c}` : 'Prove it'} of ${d}` : ''); // Neutralise"
    assert list(script_texts(script)) == ["x_y: {c}", "Prove it", "Own … of …", ""]
    assert [wrong(each) for each in script_texts(script)] == [["x_y"], ["Prove it"], ["Own"], []]
    assert "a_b c" in page_texts('<p title="a_b c">top_p <b>{{ x }}</b></p>')
    assert wrong("a_b c") == ["a_b"]
    assert wrong("top_p is set") == []
    assert wrong("max_new_tokens") == []  # a name alone is none that is read
