"""The page /d/<token>: a set-up that its owner fixed, to be tried without an account."""

from datetime import UTC, datetime
from html import escape
from typing import Final

from fastapi import APIRouter, Request, Response

from playground.api.demos import read_demo
from playground.api.services import Services
from playground.domain.errors import Busy, NotFound, StoreError
from playground.domain.messages import PaneRequest
from playground.store.demos import DemoLink
from playground.ui import standalone

_SENTENCE: Final = (
    "A set-up of KTO Mistral 7B to try: you write the messages, everything else is fixed."
)


def demo_pages(services: Services, version: str) -> APIRouter:
    """The page of a demo link. A link that is off, over or unknown is the same 404."""
    router = APIRouter()
    root = services.settings.root_path

    @router.api_route("/d/{token}", methods=["GET", "HEAD"], response_class=Response)
    async def page(request: Request, token: str) -> Response:
        try:
            link = await read_demo(services, request, token)
        except NotFound as error:
            return standalone.answer(_sheet("There is nothing here", error, version, root), 404)
        except Busy as error:
            later = {"Retry-After": str(error.retry_after)}
            return standalone.answer(_sheet("Not so fast", error, version, root), 429, later)
        except StoreError as error:
            return standalone.answer(_sheet("Not at the moment", error, version, root), 503)
        return standalone.answer(demo(link, version=version, root_path=root))

    return router


def demo(link: DemoLink, *, version: str, root_path: str) -> str:
    """The page of a link that works."""
    fixed = link.demo
    single = len(fixed.panes) == 1
    return standalone.document(
        title=fixed.title,
        description=_SENTENCE,
        body=(
            f'<div id="demo" class="demo {"talk" if single else "comparison"}"'
            f' data-token="{escape(link.token)}">{_head(link)}'
            f"{_conversation() if single else _board(fixed.panes)}"
            f'<div class="{"dock" if single else "compare-dock"}">{_COMPOSER}</div></div>'
        ),
        head=f'<link rel="stylesheet" href="{escape(root_path)}/ui/{version}/styles/demo.css">',
        scripts=["pages/demo.js"],
        version=version,
        root_path=root_path,
    )


_COMPOSER: Final = """<p class="engine-note" id="demo-note" role="status" hidden></p>
<p class="notice" id="demo-notice" role="status" hidden></p>
<form class="composer" id="demo-composer">
<label for="demo-prompt" class="visually-hidden">Message</label>
<textarea id="demo-prompt" rows="1" placeholder="Message" enterkeyhint="send"></textarea>
<div class="row"><span id="demo-left" role="status"></span>
<span class="hint">Shift+Enter: new line</span>
<button type="button" class="quiet" id="demo-new" hidden>New conversation</button>
<button type="submit" class="primary" id="demo-send">Send</button>
<button type="button" class="primary" id="demo-stop" hidden>Stop</button></div>
</form>
<noscript><p>This page is driven by scripts of this server, which your browser does not run.</p>
</noscript>"""


def _conversation() -> str:
    return '<div class="log" role="log" aria-label="Conversation" data-testid="pane-0"></div>'


def _board(panes: tuple[PaneRequest, ...]) -> str:
    columns = "".join(
        f'<section class="column" role="group" aria-label="Column {i + 1} of {len(panes)}">'
        f'<header><div class="title"><h2>{escape(_name(pane))}</h2></div>'
        f'<p class="values">{escape(_summary(pane))}</p></header>'
        f'<div class="log" role="log" aria-label="Conversation of column {i + 1}"'
        f' data-testid="pane-{i}"></div></section>'
        for i, pane in enumerate(panes)
    )
    return f'<div class="board" tabindex="0" role="group" aria-label="Columns">{columns}</div>'


def _head(link: DemoLink) -> str:
    fixed = link.demo
    until = ""
    if link.expires is not None:
        at = datetime.fromtimestamp(link.expires, UTC)
        until = (
            f'<p class="soft">Open until <time datetime="{at.isoformat()}">'
            f"{at:%d %b %Y, %H:%M} UTC</time>.</p>"
        )
    system = ""
    if fixed.system:
        system = (
            '<h2>System text</h2><p class="system" tabindex="0" id="demo-system">'
            f"{escape(fixed.system)}</p>"
        )
    notes = "".join(f'<p class="notice">{escape(note)}</p>' for note in fixed.notes)
    summary = "Every value of every column"  # whose heads say what is set
    if len(fixed.panes) == 1:
        summary = f"{_name(fixed.panes[0])}: {_summary(fixed.panes[0])}"
    return f"""<section class="demo-head">
<h1>{escape(fixed.title)}</h1>
<p>You write the messages. Every knob is fixed by the owner of this link, and so is how many tokens
its answers may take together.</p>{until}
<p class="soft" id="demo-model" hidden></p>{notes}{system}
<details class="fixed"><summary>{escape(summary)}</summary>
<div class="scroll" tabindex="0">{_table(fixed.panes)}</div></details></section>"""


def _table(panes: tuple[PaneRequest, ...]) -> str:
    """Every knob with its value in each pane, unset ones as a dash."""
    rows = [
        (parameter.name, [_value(getattr(pane.sampler, parameter.name)) for pane in panes])
        for parameter, _ in panes[0].sampler
    ]
    rows += [
        ("max new tokens", [str(pane.max_new_tokens) for pane in panes]),
        ("seed", ["random" if pane.seed is None else str(pane.seed) for pane in panes]),
        ("stop sequences", [", ".join(map(repr, pane.stop)) or "none" for pane in panes]),
    ]
    head = "".join(f'<th scope="col">{escape(_name(pane))}</th>' for pane in panes)
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        f"{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"


def _name(pane: PaneRequest) -> str:
    return f"{pane.preset or 'Own values'}{', edited' if pane.edited else ''}"


def _summary(pane: PaneRequest) -> str:
    values = [f"{p.name} {value:g}" for p, value in pane.sampler if value is not None]
    return " · ".join([*values, f"at most {pane.max_new_tokens} tokens"])


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _sheet(title: str, error: Exception, version: str, root_path: str) -> str:
    """A page that says why there is no demo on it."""
    return standalone.document(
        title=title,
        body=f'<div class="sheet"><h1>{escape(title)}</h1><p>{escape(str(error))}</p></div>',
        version=version,
        root_path=root_path,
    )
