r"""The grammar of an answer's Markdown, and its HTML.

CommonMark with tables, strikethrough and task lists; line breaks are kept, bare addresses are
links, ``<br>`` breaks the line in a cell, and emphasis may stand beside CJK letters and
punctuation. Maths is TeX in ``$…$``, ``$$…$$``, ``\(…\)`` or ``\[…\]``; it goes out as it is, in
``<code class="math">``, and the browser sets it. Raw HTML is text, links go to http, https and
mailto only, images become links, and fenced code is coloured (highlight.py). Link reference
definitions are left out: one at the end of an answer would change blocks that are already shown.

The browser has the same grammar for the block under way (ui/static/answers/grammar.js): what is
changed here is changed there.
"""

import re
from collections.abc import Callable, MutableMapping, Sequence
from html import escape
from types import MethodType
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.common.utils import isPunctChar, isWhiteSpace, unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, emphasis, strikethrough
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from playground.generation.highlight import highlight

_LINK: Final = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_LINK_ATTRIBUTES: Final = {"rel": "noopener noreferrer nofollow", "target": "_blank"}


# What is rendered in a way of our own.


def _render_code(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    code, info = tokens[i].content, unescapeAll(tokens[i].info).split()
    language = info[0] if info else ""
    body = highlight(code, language, env["allowance"])
    caption = f"<figcaption>{escape(language)}</figcaption>" if language else ""
    return (
        f'<figure class="code" dir="ltr">{caption}<pre tabindex="0"><code>{body}</code></pre>'
        "</figure>\n"
    )


def _render_link_open(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    tokens[i].attrs |= _LINK_ATTRIBUTES
    return renderer.renderToken(tokens, i, options, env)


def _render_image(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    """A link to the image, or its text alone where a link cannot stand: nothing is loaded."""
    source = str(tokens[i].attrs.get("src", ""))
    text = renderer.renderInlineAsText(tokens[i].children or [], options, env) or source
    depth = sum(token.nesting for token in tokens[:i] if token.type.startswith("link_"))
    if depth or not source:
        return escape(text)
    attributes = " ".join(f'{name}="{value}"' for name, value in _LINK_ATTRIBUTES.items())
    return f'<a href="{escape(source)}" {attributes}>{escape(text)}</a>'


def _render_maths(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    token = tokens[i]
    kind = "math" if token.type == "math" else "math display"
    code = f'<code class="{kind}">{escape(token.content)}</code>'
    return f"<p>{code}</p>\n" if token.block else code


def _render_task(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    mark, words = ("\u2611", "done") if tokens[i].content == "x" else ("\u2610", "to do")
    return f'<span class="task" role="img" aria-label="{words}">{mark}</span> '


def _render_table_open(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    return '<div class="scroll" tabindex="0">' + renderer.renderToken(tokens, i, options, env)


def _render_table_close(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    i: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    return "</table></div>\n"


# Blocks.


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Tables; one ends where filling up its rows would take more cells than it has characters.

    GFM fills a short row up to the width of the head: 3 kB of text can ask for 60,000 cells, which
    take seconds.
    """
    begins = table(state, start, end, True)
    if silent or not begins:
        return begins
    mark = state.src[state.bMarks[start + 1] : state.eMarks[start + 1]]
    columns = max(1, mark.count("|") - 1)
    last = start + 2
    while last < end and (last - start) * columns <= state.eMarks[last] - state.bMarks[start]:
        last += 1
    return table(state, start, last, False)


CLOSERS: Final = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}
_LONGEST_MATHS: Final = 4000  # characters; nothing is looked for beyond


_SIGN: Final = re.compile(r"[\\^_=+<>{}|]")
_WORD: Final = re.compile(r"[^\W\d_]{2}")


def _is_prose(text: str) -> bool:
    """Whether it reads as words and amounts, as between the signs of $5 or 10$."""
    return _SIGN.search(text) is None and _WORD.search(text) is not None


def _maths_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Displayed maths with lines of its own, up to the line that ends with its closer.

    A blank line is never within it.
    """
    if state.is_code_block(start):
        return False
    begin = state.bMarks[start] + state.tShift[start]
    opener = state.src[begin : begin + 2]
    if opener not in ("$$", "\\["):
        return False
    closer = CLOSERS[opener]
    stop = state.src.find(closer, begin + 2, begin + _LONGEST_MATHS)
    if stop < 0:
        return False
    lines, line, at = [], start, begin + 2
    while stop > state.eMarks[line]:
        lines.append(state.src[at : state.eMarks[line]])
        line += 1
        if line >= end or state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            return False
        at = state.bMarks[line] + state.tShift[line]
    lines.append(state.src[at:stop])
    content = "\n".join(lines).strip()
    if (
        stop < at
        or not content
        or _is_prose(content)
        or state.src[stop + 2 : state.eMarks[line]].strip(" \t")
    ):
        return False
    if not silent:
        token = state.push("math_display", "", 0)
        token.block, token.content, token.map = True, content, [start, line + 1]
        state.line = line + 1
    return True


# Inline.


def _maths(state: StateInline, silent: bool) -> bool:
    src, pos = state.src, state.pos
    opener = src[pos : pos + 2]
    if opener not in CLOSERS:
        opener = src[pos]
        if opener != "$":
            return False
    begin, closer = pos + len(opener), CLOSERS[opener]
    stop = src.find(closer, begin, min(state.posMax, begin + _LONGEST_MATHS))
    content = src[begin:stop] if stop >= 0 else ""
    after = stop + len(closer)
    if not content.strip() or "`" in content or _is_prose(content):
        return False
    if opener == "$":
        following = src[after : after + 1]
        apart = content == content.strip() and content[-1] != "\\" and "\n" not in content
        if not apart or following == "$" or following.isalnum():
            return False
    if not silent:
        token = state.push("math" if opener in ("$", "\\(") else "math_display", "", 0)
        token.content = content.strip()
    state.pos = after
    return True


_SCHEME: Final = re.compile(r"(?:^|[^\w])(https?)\Z", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^\s<>\"'`{}|\\^\[\]\u3000-\u303f\uff00-\uffef]+")
_TRAILING: Final = ".,:;!?*_~"


def _address(state: StateInline, silent: bool) -> bool:
    """An address that stands in a text as it is."""
    src, pos = state.src, state.pos
    if silent or state.linkLevel > 0 or not src.startswith("://", pos):
        return False
    scheme = _SCHEME.search(state.pending)
    found = _ADDRESS.match(src, pos + 3, state.posMax)
    if scheme is None or found is None:
        return False
    rest = found[0]
    while rest:
        if rest[-1] in _TRAILING or (rest[-1] == ")" and rest.count(")") > rest.count("(")):
            rest = rest[:-1]
        else:
            break
    if not rest:
        return False
    text = f"{scheme[1]}://{rest}"
    state.pending = state.pending[: -len(scheme[1])]
    state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(text)}
    state.push("text", "", 0).content = text
    state.push("link_close", "a", -1)
    state.pos = pos + 3 + len(rest)
    return True


_BREAK: Final = re.compile(r"<br ?/?>", re.IGNORECASE)


def _cell_break(state: StateInline, silent: bool) -> bool:
    """``<br>`` in a table's cell, where no other line break can stand."""
    found = _BREAK.match(state.src, state.pos, state.posMax) if state.env.get("cell") else None
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


_CJK: Final = re.compile(
    "[\u1100-\u11ff\u2e80-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uffef\U00020000-\U0003ffff]"
)


def _scan(state: StateInline, start: int, can_split: bool) -> Scanned:
    """What a run of delimiters can do.

    CJK punctuation counts as a letter, and beside a CJK letter other punctuation does not keep a
    run from opening or closing.
    """
    scanned = StateInline.scanDelims(state, start, can_split)
    end = start + scanned.length
    last = state.src[start - 1] if start > 0 else " "
    following = state.src[end] if end < state.posMax else " "
    cjk = [_CJK.match(each) is not None for each in (last, following)]
    if not any(cjk):
        return scanned
    blank = [isWhiteSpace(ord(each)) for each in (last, following)]
    point = [
        isPunctChar(each) and not is_cjk
        for each, is_cjk in zip((last, following), cjk, strict=True)
    ]
    left = not blank[1] and (not point[1] or blank[0] or point[0] or cjk[0])
    right = not blank[0] and (not point[0] or blank[1] or point[1] or cjk[1])
    return Scanned(
        left and (can_split or not right or point[0]),
        right and (can_split or not left or point[1]),
        scanned.length,
    )


def _emphasis(state: StateInline, silent: bool) -> bool:
    state.scanDelims = MethodType(_scan, state)  # type: ignore[method-assign]
    return emphasis.tokenize(state, silent)


def _strikethrough(state: StateInline, silent: bool) -> bool:
    state.scanDelims = MethodType(_scan, state)  # type: ignore[method-assign]
    return strikethrough.tokenize(state, silent)


# The whole.


_NESTING: Final = 40  # a list or a quote takes one or two of them
_DEEPEST: Final = _NESTING - 4
# What a line deeper than that would begin lists and quotes with.
_MARKS: Final = re.compile(r"(^|\n)((?:[ \t]*(?:>|(?:[-+*]|[0-9]{1,9}[.)])(?=[ \t])))+)[ \t]*")
_MARK: Final = re.compile(r"[-+*>]|[0-9]+[.)]")


def _flat(found: re.Match[str]) -> str:
    """The beginning of a line as it is read: its innermost bullet or number, or nothing."""
    mark = next((each for each in reversed(_MARK.findall(found[2])) if each != ">"), "")
    shown = mark if mark[:1].isdigit() else "\u2022"
    return f"{found[1]}{shown} " if mark else found[1]


def _inline(state: StateCore) -> None:
    """As the parser's own, and says of each text whether it is a cell's.

    In a paragraph as deep as lists and quotes go, further marks of such are drawn.
    """
    before = ""
    for i, token in enumerate(state.tokens):
        if token.type == "inline":
            if before == "paragraph_open" and state.tokens[i - 1].level > _DEEPEST:
                token.content = _MARKS.sub(_flat, token.content)
            state.env["cell"] = before in ("td_open", "th_open")
            token.children = token.children or []
            state.md.inline.parse(token.content, state.md, state.env, token.children)
        before = token.type


_TASK: Final = re.compile(r"\[([ xX])\] (?=\S)")


def _finish(state: StateCore) -> None:
    """Directions of writing, tasks, and a table's empty heads, which are no heads."""
    depth = 0  # of lists: what is in one has its direction
    tokens = state.tokens
    for i, token in enumerate(tokens):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
            token.attrSet("dir", "auto")
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type in ("td_open", "th_open"):
            token.attrSet("dir", "auto")
            if token.type == "th_open" and not tokens[i + 1].content:
                token.tag = tokens[i + 2].tag = "td"
        elif token.type in ("paragraph_open", "heading_open") and depth == 0:
            token.attrSet("dir", "auto")
        elif token.type == "inline" and i > 1 and tokens[i - 2].type == "list_item_open":
            _mark_task(tokens[i - 2], token)


def _mark_task(item: Token, inline: Token) -> None:
    children = inline.children or []
    found = _TASK.match(children[0].content) if children and children[0].type == "text" else None
    if found is None:
        return
    children[0].content = children[0].content[found.end() :]
    task = Token("task", "", 0)
    task.content = found[1].lower()
    children.insert(0, task)
    item.attrSet("class", "task")


_Rule = Callable[[StateBlock, int, int, bool], bool]


def _unless_deep(rule: _Rule) -> _Rule:
    """Some twenty lists or quotes deep, a line that would begin a further one is text."""

    def limited(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        return state.level <= _DEEPEST and rule(state, start, end, silent)

    return limited


def make_parser() -> MarkdownIt:
    """A parser of this grammar; to render, it wants an `Allowance` in its environment."""
    # More makes brackets slow, and what lay deeper would not be shown: lists and quotes end before.
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": _NESTING})
    markdown.enable(["table", "strikethrough"]).disable("reference")
    blocks, inline, core = markdown.block.ruler, markdown.inline.ruler, markdown.core.ruler
    given = {rule.name: rule for rule in blocks.__rules__}  # each says what it interrupts
    blocks.at("table", _table, {"alt": given["table"].alt})
    blocks.before("fence", "maths", _maths_block, {"alt": given["fence"].alt})
    for name in ("blockquote", "list"):
        blocks.at(name, _unless_deep(given[name].fn), {"alt": given[name].alt})
    inline.after("text", "address", _address)
    inline.before("escape", "maths", _maths)
    inline.before("html_inline", "cell_break", _cell_break)
    inline.at("emphasis", _emphasis)
    inline.at("strikethrough", _strikethrough)
    core.at("inline", _inline)
    core.push("finish", _finish)
    markdown.validateLink = lambda url: _LINK.match(url) is not None  # type: ignore[method-assign]
    for name, rule in (
        ("fence", _render_code),
        ("code_block", _render_code),
        ("link_open", _render_link_open),
        ("image", _render_image),
        ("math", _render_maths),
        ("math_display", _render_maths),
        ("task", _render_task),
        ("table_open", _render_table_open),
        ("table_close", _render_table_close),
    ):
        markdown.add_render_rule(name, rule)
    # Its lists of rules are made at the first use, which must not be that of two threads at once.
    markdown.render("a")
    return markdown


def level_headings(tokens: Sequence[Token], above: list[int]) -> None:
    """Gives headings levels from 3 on, below the page's own, without one that is left out.

    Args:
        above: The levels, as they were written, of the headings that the next one can stand under.
    """
    for i, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        level = int(token.tag[1])
        while above and above[-1] >= level:
            above.pop()
        above.append(level)
        token.tag = tokens[i + 2].tag = f"h{min(2 + len(above), 6)}"
