"""Markdown while it is written: where blocks end, and what their HTML may hold."""

import itertools
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.ruler import Ruler

from playground.domain.messages import Block, Delta
from playground.generation.grammar import level_headings, make_parser
from playground.generation.highlight import Allowance
from playground.generation.markdown import Blocks, render


def feed(pieces: list[str]) -> list[Delta | Block]:
    blocks = Blocks()
    events = [event for piece in pieces for event in blocks.feed(piece)]
    return [*events, *blocks.flush()]


def html(events: list[Delta | Block]) -> list[str]:
    return [event.html for event in events if isinstance(event, Block)]


def outline(events: list[Delta | Block]) -> list[str]:
    """The deltas' text between the blocks, "|" for each block."""
    return [event.text if isinstance(event, Delta) else "|" for event in events]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Hello", " *you*"], ["Hello", " *you*", "|"]),
        (["One\n\nTwo"], ["One\n\n", "|", "Two", "|"]),
        (["# Title\nText"], ["# Title\n", "|", "Text", "|"]),
        (
            ["Text\n```py\nx\n", "```\nMore"],
            ["Text\n", "|", "```py\nx\n", "```\n", "|", "More", "|"],
        ),
        (["- a\n- b\n\nText"], ["- a\n- b\n\n", "|", "Text", "|"]),
        (["- a\n\n", "-", " b"], ["- a\n\n", "- b", "|"]),
        (["- a\n\n", "**b", "**"], ["- a\n\n", "|", "**b", "**", "|"]),
        (["Text:\n", "1. a\n", "2. b"], ["Text:\n", "|", "1. a\n", "2. b", "|"]),
        (["| a |\n|---|\n| 1 |\n\nText"], ["| a |\n|---|\n| 1 |\n\n", "|", "Text", "|"]),
        (["> a\n> b\n\nText"], ["> a\n> b\n\n", "|", "Text", "|"]),
        (["Title\n===\nText\n\n"], ["Title\n===\nText\n\n", "|"]),
        (["Title\n---\n"], ["Title\n---\n", "|"]),
        (["\n\n"], ["\n\n"]),
        # Lines that are no end of a block, and leave the next end where it is.
        (["```\n```X\n```\nText"], ["```\n```X\n```\n", "|", "Text", "|"]),
        (
            ["```\n\t```\nlong line of code\n```\nText"],
            ["```\n\t```\nlong line of code\n```\n", "|", "Text", "|"],
        ),
        (["-\n>\n1. a\n"], ["-\n>\n1. a\n", "|"]),
        (["-\n|-|\n1. a\n"], ["-\n|-|\n1. a\n", "|"]),
        (["a\n\u00a0\nb\n\nText"], ["a\n\u00a0\nb\n\n", "|", "Text", "|"]),
    ],
)
def test_a_block_ends_where_the_next_begins(pieces: list[str], expected: list[str]) -> None:
    assert outline(feed(pieces)) == expected


def test_goes_on_with_new_text_behind_a_flush() -> None:
    blocks = Blocks()
    for piece in ("- a\n\n", "1"):
        blocks.feed(piece)
    assert outline(blocks.flush()) == ["1", "|"]
    assert outline([*blocks.feed("b"), *blocks.flush()]) == ["b", "|"]


def test_a_long_line_is_not_kept_back() -> None:
    blocks = Blocks()
    blocks.feed("a\n```")
    assert outline(blocks.feed("x" * 100)) == ["```" + "x" * 100]


def test_blocks_are_numbered() -> None:
    events = feed(["a\n\nb\n\n# c\n"])
    assert [event.index for event in events if isinstance(event, Block)] == [0, 1, 2]


LINES = st.sampled_from(
    [
        *("\n", "\n\n", "a", "b c", "text\n", " ", "  ", "    ", "\t", "\r\n", "\r"),
        *("- ", "* ", "+ ", "1. ", "2) ", "2. ", "10. ", "-", "- x\n", "# ", "## ", "> "),
        *("```", "```py\n", "~~~", "\n```\n", "---", "===", "***", "--- | ---\n", "|", "| a |\n"),
        *("|---|---|\n", "*x*", "`c`", "[a](http://x)", "![i](http://y)", "<b>", "[r]: http://z"),
        *("$$", "$$\n", "\n$$", "\\[", "\\[\n", "x^2\\]\n", "$x$", "\\(a_1\\)", "$5 ", "<br>"),
        *("https://a.b/c. ", "- [ ] ", "- [x] y\n", "**「あ」**", "**(b)**は", "~~z~~"),
    ]
)
TEXTS = st.lists(LINES, max_size=25).map("".join)


def whole(text: str) -> str:
    """The text rendered at once."""
    markdown, above = make_parser(), list[int]()
    tokens = markdown.parse(text.replace("\r\n", "\n").replace("\r", " "))
    level_headings(tokens, above)
    return str(markdown.renderer.render(tokens, markdown.options, {"allowance": Allowance()}))


@given(text=TEXTS)
@settings(max_examples=500)
def test_the_blocks_joined_are_the_whole_text_rendered(text: str) -> None:
    assert "".join(render(text)) == whole(text)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=20))
@settings(max_examples=300)
def test_any_cut_of_the_text_gives_the_same(text: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    events = feed([text[a:b] for a, b in itertools.pairwise(bounds)])
    assert html(events) == render(text)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == text


def test_a_block_replaces_what_it_was_made_of() -> None:
    running, parts = "", []
    for event in feed(list("Intro:\n\n- a\n- b\n\nText\n# Title\n```\ncode\n```\nEnd")):
        if isinstance(event, Delta):
            running += event.text
        else:
            parts.append(running)
            assert "".join(render(running)) == event.html
            running = ""
    assert parts == ["Intro:\n\n", "- a\n- b\n\n", "Text\n", "# Title\n", "```\ncode\n```\n", "End"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed("".join(render(text)))
    return parser.tags


HARMLESS = {
    *("p", "em", "strong", "s", "a", "br", "hr", "ul", "ol", "li", "blockquote", "span"),
    *("code", "pre", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "div"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a <b onclick=x>b</b>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html,<script>)",
        "[x](vbscript:x) [y](file:///etc/passwd) [z](/path) [w](//host)",
        "<javascript:alert(1)>",
        "![x](javascript:alert(1))",
        "![x](http://host/pixel.png)",
        '[x](http://host/"onmouseover=alert(1))',
        '![" onload="x](http://host/" onload="y)',
        '```"><script>\nx\n```',
        "```py onload=x\n<script>\n```",
        "~~~html\n<script>alert(1)</script>\n~~~",
        "[![i](http://a/i.png)](http://b)",
        '$"><script>x^2</script>$ \\[<img src=x onerror=alert(1)>=\\]',
        "javascript://a.b/%0aalert(1) data:text/html,x ftp://a.b",
        "|a|\n|---|\n|<br onload=x><img src=x>|",
    ],
)
def test_nothing_in_a_text_runs_or_loads(text: str) -> None:
    for tag, attributes in tags(text):
        assert tag in HARMLESS
        assert set(attributes) <= {"href", "rel", "target", "title", "class", "dir", "tabindex"}
        if tag == "a":
            assert re.match(r"(https?://|mailto:)", attributes["href"] or "")
            assert attributes["rel"] == "noopener noreferrer nofollow"
            assert attributes["target"] == "_blank"


@given(text=st.text(alphabet='<>"&()[]!`~ahref=:/x \n', max_size=60))
@example(text="~~struck~~")
def test_no_tag_but_ours_ever_appears(text: str) -> None:
    assert {tag for tag, _ in tags(text)} <= HARMLESS


def test_links_are_kept_and_images_become_links() -> None:
    assert tags("[x](https://a.b) <mailto:c@d.e>")[1:] == [
        ("a", {"href": h, "rel": "noopener noreferrer nofollow", "target": "_blank"})
        for h in ("https://a.b", "mailto:c@d.e")
    ]
    [picture] = render("![A *cat*](https://a.b/c.png)")
    assert '<a href="https://a.b/c.png"' in picture
    assert ">A cat</a>" in picture
    assert [tag for tag, _ in tags("[![cat](http://a/i.png)](http://b)")] == ["p", "a"]


def test_code_is_coloured_by_classes() -> None:
    [code] = render("```python\nif x:\n    y = '<'\n```")
    assert code.startswith('<figure class="code" dir="ltr"><figcaption>python</figcaption><pre')
    assert '<span class="hl-k">if</span>' in code
    assert "style=" not in code
    assert re.sub(r"<[^>]*>", "", code) == "pythonif x:\n    y = '&lt;'\n\n"


@pytest.mark.parametrize("info", ["", "nosuchlanguage", "python"])
def test_code_keeps_every_character(info: str) -> None:
    source = "\n\n  <a> & 'b'\t\n\n"
    [code] = render(f"```{info}\n{source}```")
    text = re.sub(r"<figcaption>.*?</figcaption>|<[^>]*>", "", code)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&#x27;", "'"), ("&#39;", "'")):
        text = text.replace(entity, character)
    assert text.replace("&amp;", "&") == source + "\n"


def test_the_work_for_a_token_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the characters that are parsed: twice as long an answer takes twice as many."""
    parsed = 0
    parse = MarkdownIt.parse

    def counting(self: MarkdownIt, src: str, env: object = None) -> object:
        nonlocal parsed
        parsed += len(src)
        return parse(self, src, env)  # type: ignore[arg-type]

    monkeypatch.setattr(MarkdownIt, "parse", counting)
    kinds = {
        "paragraphs": "Some words of text.\n\n",
        "lines": "Some words of text.\n",
        "list": "- an item\n",
        "loose list": "1. an item\n\n   and more\n\n",
        "table": "| a | b |\n",
        "quote": "> words\n",
        "code": "x = 1\n\n# y\n",
        "no breaks": "--\n",
    }
    heads = {"table": "| a | b |\n|---|---|\n", "code": "```py\n", "no breaks": "> a\n"}
    for kind, line in kinds.items():
        head = heads.get(kind, "")
        work = []
        for length in (100, 400):
            parsed = 0
            feed(list(head + line * length))
            work.append(parsed / len(line * length))
        assert max(work) < 4, f"{kind}: a character is parsed {work} times"


def test_a_wide_table_makes_no_more_cells_than_its_text_has_characters() -> None:
    """GFM fills up short rows: 65,536 cells of nothing could be asked for with 3 kB."""
    for columns in (50, 1000):
        text = "|a" * columns + "|\n" + "|-" * columns + "|\n" + "b\n" * 2000
        assert 2 * columns <= "".join(render(text)).count("</t") <= len(text)


def test_rows_of_a_whole_table_are_all_in_it() -> None:
    rows = ["| 1 |  |", "| | |", "1 | 2", "|3|4|", "5"]
    [shown] = render("| a | b |\n|---|:-:|\n" + "\n".join(rows))
    assert shown.count("<tr>") == 1 + len(rows)


def test_rules_are_put_together_before_anybody_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads that do it at once, one has only some of them."""
    parser = make_parser()
    compiled: list[Ruler[object]] = []
    monkeypatch.setattr(Ruler, "__compile__", compiled.append)
    parser.render("# A *b*\n\n| c |\n|---|\n| `d` |\n")
    assert compiled == []


def text_of(markup: str) -> str:
    """HTML without directions of writing, in one line."""
    return markup.replace(' dir="auto"', "").replace("\n", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**太字（例）**は", "<p><strong>太字（例）</strong>は</p>"),
        ("这是**“词”**的", "<p>这是<strong>“词”</strong>的</p>"),
        ("**「あ」**なので**「い」**です", "<strong>「い」</strong>です"),
        ("**중요(예)**은", "<strong>중요(예)</strong>은"),
        ("a**(b)**c", "a**(b)**c"),  # as CommonMark has it
        ("One\nTwo", "<p>One<br />Two</p>"),
        ("| a |\n|---|\n| b<br>c<BR/>d |", "b<br />c<br />d"),
        ("a <br> b", "a &lt;br&gt; b"),
        ("- [ ] a\n- [x] b\n- [y] c", ">☐</span> a</li>"),
        ("- [ ] a\n- [x] b\n- [y] c", '<li class="task"><span class="task" role="img" aria-label'),
        ("- [y] c", "<ul><li>[y] c</li></ul>"),
        ("See https://a.b/c_(d), or (http://x.y).", ">https://a.b/c_(d)</a>, or ("),
        ("See https://a.b/c_(d), or (http://x.y).", ">http://x.y</a>)."),
        ("**https://a.b/**", ">https://a.b/</a></strong>"),
        ("`https://a.b` [x https://c.d](https://e.f)", "<code>https://a.b</code>"),
        ("xhttps://a.b", "<p>xhttps://a.b</p>"),
        ("| | a |\n|---|---|\n| 1 | 2 |", "<tr><td></td><th>a</th></tr>"),
    ],
)
def test_what_is_added_to_commonmark(text: str, expected: str) -> None:
    assert expected in text_of("".join(render(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a*b*c$", '<code class="math">a*b*c</code>'),
        ("\\(a_1 \\cdot b\\)", '<code class="math">a_1 \\cdot b</code>'),
        ("so \\[ x^2 \\].", 'so <code class="math display">x^2</code>.'),
        ("a\n$$\nx\n- y\n= z\n$$\nb", '<p><code class="math display">x\n- y\n= z</code></p>'),
        ("\\[\n# x\n\\]", '<p><code class="math display"># x</code></p>'),
        ("- a\n\n  $$\n  x\n  $$", '<p><code class="math display">x</code></p>\n</li>'),
    ],
)
def test_maths_is_kept_as_it_is(text: str, expected: str) -> None:
    assert expected in "".join(render(text))


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5.",
        "$5 and $10",
        "between $5 or 10$ a day",
        "$HOME/bin:$PATH",
        "\\[citation needed\\]",
        "\\$x\\$",
        "`$x$`",
        "$ x $",
        "$$\nx\n\ny\n$$",
    ],
)
def test_what_only_looks_like_maths_stays_text(text: str) -> None:
    assert "math" not in "".join(render(text))


def test_headings_leave_no_level_out() -> None:
    found = re.findall(r"<(h\d)", "".join(render("## A\n#### B\n### C\n# D\n- # E\n")))
    assert found == ["h3", "h4", "h4", "h3", "h3"]


def test_every_block_has_the_direction_of_its_text() -> None:
    markup = "".join(render("# a\n\nb\n\n- c\n\n  d\n\n| e |\n|---|\n| f |\n\n> g\n"))
    for tag in ("h3", "ul", "th", "td"):
        assert f'<{tag} dir="auto">' in markup
    assert markup.count('<p dir="auto">') == 2  # a list gives its items its own


def test_a_list_in_lists_loses_none_of_its_items() -> None:
    text = "".join(f"{'  ' * i}- item {i}\n" for i in range(19))
    assert "".join(render(text)).count("item") == 19
