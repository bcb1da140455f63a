"""The page: Gradio's Blocks, tabs and theme around panes that our own browser modules fill.

Gradio draws the frame once. No event of the page goes through its queue: the modules in static/
talk to the routes under /api.
"""

from collections.abc import Mapping, Sequence

from playground.domain.presets import Preset
from playground.ui import forms
from playground.ui.gradio import gr
from playground.ui.page import PRODUCT
from playground.ui.rendering import render


def _html(value: str, elem_id: str | None = None, js_on_load: str | None = None) -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, js_on_load=js_on_load, apply_default_css=False)


def build(presets: Sequence[Preset], engines: Mapping[str, str]) -> gr.Blocks:
    """The page's Blocks.

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
                        with gr.Tab("Custom", id=forms.OWN, elem_id=f"preset-{forms.OWN}"):
                            _html(forms.own_panel())
                    _html(forms.request_panel(presets, engines))
            with gr.Tab("Compare", elem_id="view-compare"):
                _html(forms.comparison())
            with gr.Tab("History", elem_id="view-history"):
                _html(render("history"))
            with gr.Tab("About", elem_id="view-about"):
                _html(render("about"))
    return blocks
