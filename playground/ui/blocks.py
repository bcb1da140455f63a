"""The page: Gradio's Blocks, tabs and theme around panes that our own browser modules fill.

Gradio draws the frame once. No event of the page goes through its queue: the modules in static/
talk to the routes under /api.
"""

import re
from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from playground.auth.hosts import path_below_root
from playground.auth.responses import error_answer
from playground.domain.presets import Preset
from playground.engines.base import EngineAddress
from playground.ui import forms
from playground.ui.content_policy import GradioPolicy
from playground.ui.gradio import gr
from playground.ui.page import PRODUCT, STATIC, head
from playground.ui.rendering import render
from playground.ui.theme import theme

_NEEDED: Final = re.compile(r"/|/config|/theme\.css|/favicon\.ico|/(?:static|assets|svelte)/.+")


def mount(
    app: FastAPI,
    presets: Sequence[Preset],
    engines: Sequence[EngineAddress],
    version: str,
    root_path: str,
) -> None:
    """Put the page at the application's root.

    Args:
        version: Of the browser's files (`page.static_version`).
        root_path: As in the settings.
    """
    lifespan = app.router.lifespan_context
    gr.mount_gradio_app(
        app,
        build(presets, engines),
        path="/",
        root_path=root_path or None,
        theme=theme(),
        head=head(version, root_path),
        favicon_path=str(STATIC / "favicon.svg"),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        show_error=False,
    )
    # Gradio would start its queue, through which no event of the page goes, and which looks for one
    # a thousand times a second: 4 % of a core for nothing.
    app.router.lifespan_context = lifespan
    mounted = app.routes[-1]
    assert isinstance(mounted, Mount)
    mounted.app = _only_the_page(GradioPolicy(mounted.app))


def _only_the_page(gradio: ASGIApp) -> ASGIApp:
    """What of Gradio the page is made of; the rest of it is not there, whoever asks."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _NEEDED.fullmatch(path_below_root(scope)) is None:
            await error_answer(404, "Not Found", "not_found")(scope, receive, send)
        else:
            await gradio(scope, receive, send)

    return app


def _html(value: str, elem_id: str | None = None, js_on_load: str | None = None) -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, js_on_load=js_on_load, apply_default_css=False)


def build(presets: Sequence[Preset], engines: Sequence[EngineAddress]) -> gr.Blocks:
    """The page's Blocks, for `gr.mount_gradio_app`.

    Gradio 6.31 draws what is in a tab when the tab is first opened, whatever `render_children`
    says, so the browser modules take hold of a form when it appears.
    """
    with gr.Blocks(title=PRODUCT, analytics_enabled=False, fill_width=True) as blocks:
        _html(render("masthead", product=PRODUCT), elem_id="masthead")
        with gr.Tabs(elem_id="views"):
            with gr.Tab("Chat", elem_id="view-chat"), gr.Row(elem_id="chat"):
                with gr.Column(elem_id="talk"):
                    _html(forms.conversation(presets))
                with gr.Column(elem_id="samplers"):
                    _html(render("drawer_close"))
                    with gr.Tabs(elem_id="presets", overflow_behavior="wrap"):
                        for preset in presets:
                            with gr.Tab(
                                preset.name,
                                id=preset.id,
                                elem_id=f"preset-{preset.id}",
                            ):
                                _html(forms.preset_panel(preset))
                        with gr.Tab("Own", id=forms.OWN, elem_id=f"preset-{forms.OWN}"):
                            _html(forms.own_panel())
                    _html(forms.request_panel(presets, engines))
            with gr.Tab("Compare", elem_id="view-compare"):
                _html(forms.comparison())
            with gr.Tab("History", elem_id="view-history"):
                _html(render("history"))
            with gr.Tab("About", elem_id="view-about"):
                _html(render("about"))
    return blocks
