"""The block under way: drawn in the browser as what it is becoming, by the server's grammar."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from playground.domain.messages import Block, Delta
from playground.generation.markdown import Blocks
from playground.ui.page import static_version
from tests.generation.test_markdown import TEXTS

pytestmark = pytest.mark.browser

# draws(texts): each as a block under way. whole(texts): each as if nothing followed. start() begins
# an answer; take(events) gives it events, and tells how high it has become, and its HTML.
HELPERS = """async (root) => {
    const load = (name) => import(`${root}/answers/${name}.js`);
    const { Pane } = await load('pane');
    const { newAnswer } = await load('versions');
    const { loadPreview, preview, renderWhole } = await load('preview');
    const { setMaths } = await load('maths');
    await loadPreview();
    const formula = document.createElement('p');
    const code = document.createElement('code');
    formula.append(Object.assign(code, { className: 'math', textContent: 'x' }));
    document.body.append(formula);
    const log = document.createElement('div');
    log.className = 'log';
    document.querySelector('main').replaceChildren(log);
    const pane = new Pane(log, { presetName: (name) => name });
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const body = () => log.lastElementChild.querySelector('.body');
    Object.assign(window, {
        maths: async () => {
            setMaths(formula);
            while (!formula.querySelector('math')) await frame();
            formula.remove();
        },
        setMaths,
        draws: (texts) => texts.map(preview),
        whole: (texts) => texts.map(renderWhole),
        start: () => {
            pane.show([{ role: 'user', content: 'Q' }, newAnswer()]);
            pane.begin(pane.lastAnswer);
        },
        take: async (events) => {
            for (const event of events) pane.receive(event);
            pane.rested = 0;
            await frame();
            return { height: body().getBoundingClientRect().height, html: body().innerHTML };
        },
    });
}"""


@pytest.fixture(scope="module")
def drawing(chromium: Browser, site: str) -> Iterator[Page]:
    page = chromium.new_page()
    page.goto(site + "/s/none")
    page.evaluate(HELPERS, f"{site}/ui/{static_version()}")
    yield page
    page.close()


def uncoloured(html: str) -> str:
    """HTML without the levels of headings and what colours code."""
    html = re.sub(r"<span class=\"hl[^>]*>([^<]*)</span>", r"\1", html)
    html = re.sub(r"<(/?)h[3-6]\b", r"<\1h3", html)
    return html.replace("&#x27;", "'").replace("&#39;", "'")


def pieces(text: str) -> list[tuple[str, str]]:
    """The text of each block, as it was streamed, with the block's HTML."""
    found, running, blocks = [], "", Blocks()
    for event in (*blocks.feed(text), *blocks.flush()):
        if isinstance(event, Delta):
            running += event.text
        else:
            found.append((running, event.html))
            running = ""
    return found


@given(texts=st.lists(TEXTS, min_size=60, max_size=60))
@settings(max_examples=5, suppress_health_check=list(HealthCheck), deadline=None)
def test_a_text_is_the_same_in_the_browser_wherever_a_block_ends(
    drawing: Page, texts: list[str]
) -> None:
    cases = [case for text in texts for case in pieces(text)]
    drawn = drawing.evaluate("(texts) => whole(texts)", [text for text, _ in cases])
    for (text, html), shown in zip(cases, drawn, strict=True):
        assert uncoloured(shown) == uncoloured(html), text


@pytest.mark.parametrize("mark", ["- ", "1. ", "> ", "* > 1. "])
def test_no_text_is_lost_however_deep_it_lies_and_no_mark_is_raw(drawing: Page, mark: str) -> None:
    words = [f"w{i}e" for i in range(60)]
    quote = ">" in mark
    text = "".join(
        f"{mark * (i + 1) if quote else ' ' * len(mark) * i + mark}{word}\n"
        for i, word in enumerate(words)
    )
    [(_, html)] = pieces(text)
    assert [word for word in words if word not in html] == []
    seen = re.sub(r"<[^>]*>", "", html)
    assert not re.search(r"(?m)^[ \t]*(?:[-+*]|&gt;) ", seen), seen
    assert ("\u2022 w59e" in seen) == (mark == "- ")
    [drawn] = drawing.evaluate("(texts) => whole(texts)", [text])
    assert uncoloured(drawn) == uncoloured(html)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```py\nx = 1", "<code>x = 1</code>"),
        ("```py\nx = 1\n``", "<code>x = 1</code>"),
        ("```py\nx = 1\n```", "<code>x = 1</code>"),
        ("| a | b", '<th dir="auto">b</th>'),
        ("So:\n|", '<p dir="auto">So:</p>'),
        ("| a", '<th dir="auto">a</th>'),
        ("| a | b |\n|--", '<th dir="auto">b</th>'),
        ("So:\n| a | b |", '<p dir="auto">So:</p>\n<div class="scroll" tabindex="0"><table>'),
        ("So:\n| a | b |\n", '<th dir="auto">b</th>'),
        ("So:\n| a | b |\n| -", '<th dir="auto">b</th>'),
        ("| a | b |\n|---|---|\n| 1 | 2", '<td dir="auto">2</td>'),
        ("- a\n- **b**", "<strong>b</strong></li>"),
        ("- a\n  -", '<ul dir="auto">\n<li>a</li>\n</ul>'),  # no heading, as a whole text has it
        ("1. a\n2", '<ol dir="auto">\n<li>a</li>\n</ol>'),  # no second line of the item
        ("a\n=", '<p dir="auto">a</p>'),
        ("a *b* **c", "<em>b</em> **c"),
        ("a $x", "a $x</p>"),
        ("a $x$", '<code class="math">x</code>'),
        ("$$\nx^2\n- y", '<code class="math display open">x^2\n- y</code>'),
        ("$$\nx^2\n$", '<code class="math display open">x^2</code>'),
        ("- a\n- [x", "<li>a</li>\n</ul>"),
        ("- [x] a", 'aria-label="done">☑</span> a'),
        ("$$\nx\n| y\n", '<code class="math display open">x\n| y</code>'),
        ("$$\nx\n| y", '<code class="math display open">x\n| y</code>'),
        ("see [a *b*](https://c.d/e", '<p dir="auto">see a <em>b</em></p>'),
        ("| a |\n|---|\n| [b](ht", '<td dir="auto">b</td>'),
        ("`[a](http", "`[a](http</p>"),
        ("x \\[a](http", "x [a](http</p>"),
        ("f[a](x", "f[a](x</p>"),
    ],
)
def test_a_block_under_way_is_drawn_as_what_it_is_becoming(
    drawing: Page, text: str, expected: str
) -> None:
    [html] = drawing.evaluate("(texts) => draws(texts)", [text])
    assert expected in html


ANSWER = """A function:

```python
def add(a, b):
    return a + b
```

| City | Inhabitants |
|:-----|------------:|
| Berlin | **3,700,000** |

1. **Lion**: a *big* cat
2. Wolf
   - grey

> A quote
## Next
Text with [a link](https://a.b/c), `code` and $x^2$.

$$
x = \\frac{1}{2}
$$
"""


def test_nothing_jumps_while_an_answer_is_written(drawing: Page) -> None:
    """It only grows, and a block that has ended stays as it was drawn."""
    drawing.evaluate("start()")
    drawing.evaluate("maths()")  # what sets it is fetched with the first formula
    blocks, before, ended = Blocks(), 0.0, 0
    for piece in (*re.findall(r"\s?\S{1,4}|\s", ANSWER), ""):
        for event in blocks.feed(piece) if piece else blocks.flush():
            data: dict[str, object] = {"pane": 0}
            if isinstance(event, Delta):
                name, data["text"] = "delta", event.text
            else:
                name, data["index"], data["html"] = "block", event.index, event.html
                ended += 1
            drawn = drawing.evaluate("(event) => take([event])", {"name": name, "data": data})
            if isinstance(event, Block):
                assert drawn["height"] == pytest.approx(before, abs=0.5), event.html
            assert drawn["height"] >= before - 0.5, drawn["html"]
            before = drawn["height"]
    assert ended == 8
    page = drawing.locator(".log")
    assert page.locator("math").count() == 2
    assert page.locator("mfrac").count() == 1


# How high an exponent stands over its letter, in em; null where no font for maths is installed.
EXPONENT = """() => {
    const power = document.querySelector('.log msup');
    const { fontSize } = getComputedStyle(power);
    const paper = document.createElement('canvas').getContext('2d');
    const width = (family) => {
        paper.font = `40px ${family}`;
        return paper.measureText('mil').width;
    };
    const known = ['Cambria Math', 'STIX Two Math', 'Latin Modern Math', 'DejaVu Math TeX Gyre'];
    if (!known.some((name) => width(`"${name}", monospace`) !== width('monospace'))) return null;
    return power.getBoundingClientRect().height / parseFloat(fontSize);
}"""


def test_a_formula_is_set_in_a_font_for_maths(drawing: Page) -> None:
    """Without one an exponent floats above its letter, and a root beside what is below it."""
    drawing.evaluate("start()")
    drawing.evaluate("maths()")
    drawing.evaluate("take([{ name: 'delta', data: { pane: 0, text: '$b^2$ is a square' } }])")
    height = drawing.evaluate(EXPONENT)
    if height is None:
        pytest.skip("no font for maths is installed")
    assert height < 1.3


def test_a_formula_asks_for_nothing_and_does_nothing(drawing: Page) -> None:
    """What MathML could do beyond showing a formula is left out, and what is wrong stays text."""
    asked: list[str] = []
    drawing.on("request", lambda request: asked.append(request.url))
    formulas = [
        r"\href{https://a.b}{x}",
        r"\includegraphics{https://a.b/c.png}",
        r"\def\a{\a\a}\a",
        r"\color{red;background:url(https://a.b)}x",
        r"\text{<img src=x onerror=alert(1)>}",
        r"\frac{1}{",
    ]
    drawing.evaluate("start()")
    text = "\n\n".join(f"$${each}$$" for each in formulas)
    html = drawing.evaluate(
        "(text) => take([{ name: 'delta', data: { pane: 0, text } }])", text + "\n\nEnd"
    )["html"]
    assert html.count("<math") == 1  # the text with brackets
    assert not re.search(r"<(?:img|a)\b|href=|\bon\w+=\"", html)
    assert asked == []


def test_a_block_is_read_for_its_direction_once_however_many_formulas_it_has(
    drawing: Page,
) -> None:
    """A browser reads all of a block of `dir=auto` anew at each change in it."""
    drawing.evaluate("maths()")
    changes, left = drawing.evaluate("""() => {
        const made = (tag, fields) => Object.assign(document.createElement(tag), fields);
        const [list, item, block] = ['ul', 'li', 'p'].map((tag) => made(tag, {}));
        item.dir = block.dir = 'auto';
        const formula = { className: 'math', textContent: 'x' };
        for (let i = 0; i < 3; i += 1) block.append(made('code', formula));
        item.append(block);
        list.append(item);
        document.body.append(list);
        const observer = new MutationObserver(() => {});
        observer.observe(list, { subtree: true, attributes: true, childList: true });
        setMaths(list);
        const changes = observer.takeRecords().map(({ type, target }) => [type, target.localName]);
        list.remove();
        const blocks = [...list.querySelectorAll('[dir=auto]')];
        return [changes, blocks.map(({ localName }) => localName)];
    }""")
    assert changes[2:-2] == [["childList", "p"]] * 3
    around = [["attributes", "p"], ["attributes", "li"]]
    assert (changes[:2], changes[-2:]) == (around, around)
    assert left == ["li", "p"]


def test_a_block_gets_its_direction_when_it_is_whole(drawing: Page, site: str) -> None:
    text = '- `<p dir="auto">`\n- b\n\n| a | b |\n|--:|---|\n| c | <b dir="auto"> |\n\n3. d'
    html = "".join(block for _, block in pieces(text))
    given, shown = drawing.evaluate(
        """async ([root, html]) => {
            const { markdown } = await import(`${root}/lib/dom.js`);
            const setter = Object.getOwnPropertyDescriptor(Element.prototype, 'innerHTML');
            const given = [];
            Object.defineProperty(Element.prototype, 'innerHTML', { ...setter, set(value) {
                given.push(String(value));
                setter.set.call(this, value);
            } });
            try {
                return [given, markdown(html, '').innerHTML];
            } finally {
                Object.defineProperty(Element.prototype, 'innerHTML', setter);
            }
        }""",
        [f"{site}/ui/{static_version()}", html],
    )
    assert len(given) == 1
    assert re.findall(r'<\w+[^>]* dir="auto"', html)
    assert not re.findall(r'<\w+[^>]* dir="auto"', given[0])
    assert shown == html.replace("&quot;", '"')


def test_a_formula_covers_nothing_but_its_answer(drawing: Page) -> None:
    """It may reach out of its own place, by a shift or where its height is said to be none."""
    drawing.evaluate("start()")
    drawing.evaluate("maths()")
    text = r"""$\smash{\rule{20em}{20em}}$ a $\rule[30em]{900em}{900em}$

b $\kern-30em\rule{60em}{1em}$

"""
    taken = drawing.evaluate("(text) => take([{ name: 'delta', data: { pane: 0, text } }])", text)
    assert taken["html"].count("<math") == 3
    assert taken["height"] < 2000
    own_colours = """() => [...document.querySelectorAll('.math mspace[mathbackground]')]
        .map((rule) => getComputedStyle(rule))
        .map((style) => style.backgroundColor === style.color)"""
    assert drawing.evaluate(own_colours) == [True] * 3  # on light and dark
    above, left = drawing.evaluate("""() => {
        const { left, top } = document.querySelector('[data-role=assistant] .body').getBoundingClientRect();
        return [[left + 10, top - 10], [left - 10, top + 10]].map(([x, y]) => {
            const there = document.elementsFromPoint(x, y);
            return there.length > 0 && there.every((each) => !each.closest('.math'));
        });
    }""")  # noqa: E501
    assert above
    assert left


def test_a_line_of_blanks_is_drawn_at_once(drawing: Page) -> None:
    """It was tried as marks at each of its blanks: this one would take longer than any test may."""
    [html] = drawing.evaluate("(texts) => draws(texts)", ["a\n" + " " * 400_000 + "x"])
    assert "x" in html
