"""The page /d/<token>: a set-up that its owner fixed, to be tried without an account."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response

from playground.api.demos import read_demo
from playground.api.services import Services
from playground.domain.errors import Busy, NotFound, StoreError
from playground.domain.messages import PaneRequest
from playground.domain.names import unturned
from playground.sharing.demo import ANSWER_TOKENS
from playground.store.demos import DemoLink
from playground.ui import standalone
from playground.ui.not_found import nothing_here

_SENTENCE: Final = "A set-up to try: you write the messages, everything else is fixed."


def demo_pages(services: Services, version: str) -> APIRouter:
    """The page of a demo link. A link that is off, over or unknown is the same 404."""
    router = APIRouter()
    root = services.settings.root_path

    @router.api_route("/d/{token}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request, token: str) -> Response:
        try:
            link = await read_demo(services, request, token)
        except NotFound:
            return nothing_here(version, root)
        except Busy as error:
            later = {"Retry-After": str(error.retry_after)}
            return standalone.answer(_message("Not so fast", error, version, root), 429, later)
        except StoreError as error:
            return standalone.answer(_message("Not at the moment", error, version, root), 503)
        return standalone.answer(demo(link, version=version, root_path=root))

    return router


def demo(link: DemoLink, *, version: str, root_path: str) -> str:
    """The page of a link that works."""
    fixed = link.demo
    panes = [
        replace(pane, max_new_tokens=min(pane.max_new_tokens or ANSWER_TOKENS, link.budget))
        for pane in fixed.panes
    ]
    return standalone.document(
        "demo",
        title=fixed.title,
        description=_SENTENCE,
        script="demo",
        version=version,
        root_path=root_path,
        token=link.token,
        system=fixed.system,
        notes=fixed.notes,
        until=None if link.expires is None else datetime.fromtimestamp(link.expires, UTC),
        panes=[{"name": _name(pane), "summary": _summary(pane)} for pane in panes],
        rows=_rows(panes),
    )


def _rows(panes: Sequence[PaneRequest]) -> list[tuple[str, list[str]]]:
    """Every knob with its value in each pane, unset ones as a dash."""
    return [
        *(
            (parameter.name, [_value(getattr(pane.sampler, parameter.name)) for pane in panes])
            for parameter, _ in panes[0].sampler
        ),
        ("max new tokens", [str(pane.max_new_tokens) for pane in panes]),
        ("seed", ["random" if pane.seed is None else str(pane.seed) for pane in panes]),
        ("stop sequences", [_quoted(pane.stop) or "none" for pane in panes]),
        ("emulation", ["allowed" if pane.emulate else "off" for pane in panes]),
    ]


def _name(pane: PaneRequest) -> str:
    return f"{pane.preset or 'Custom'}{', edited' if pane.edits else ''}"


def _summary(pane: PaneRequest) -> str:
    values = [f"{p.name} {value:g}" for p, value in pane.sampler if value is not None]
    return " · ".join([*values, f"at most {pane.max_new_tokens} tokens"])


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _quoted(stops: Sequence[str]) -> str:
    """Stop sequences as the browser's lib/text.js writes them: so the end of a line is seen."""
    return unturned(", ".join(json.dumps(stop, ensure_ascii=False) for stop in stops))


def _message(title: str, error: Exception, version: str, root_path: str) -> str:
    """A page that says why there is no demo on it."""
    return standalone.document(
        "message",
        title=title,
        version=version,
        root_path=root_path,
        text=str(error),
        login=False,
    )
