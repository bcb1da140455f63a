"""The page's forms as HTML, made from the sampler table and the presets."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Final

from playground.domain.presets import Preset
from playground.domain.samplers import PARAMETERS, Parameter, Sampler

STARTERS: Final = (
    "What does min_p do that top_p doesn't?",
    "Tell me a story about a lighthouse.",
    "How do I choose a temperature?",
    "Name ten animals.",
)
OWN: Final = "-own"  # no preset of the server can have this id
DRAWER_CLOSE: Final = '<button type="button" class="drawer-close">Done</button>'


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def knob(preset_id: str, parameter: Parameter, value: float | None) -> str:
    """One parameter: a slider and a field beside it; an empty field is unset and shows a dash."""
    name = parameter.name
    field = f"knob-{escape(preset_id)}-{name}"
    at = parameter.neutral if value is None else value
    return f"""<div class="knob" data-parameter="{name}">
<label for="{field}">{name}</label>
<input class="value" id="{field}" type="text" inputmode="decimal" autocomplete="off"
 value="{_text(value)}" placeholder="–" aria-describedby="{field}-help {field}-how">
<input class="slide" type="range" min="{parameter.minimum:g}" max="{parameter.maximum:g}"
 step="{parameter.step:g}" value="{at:g}" aria-label="{name}, slider">
<small class="help" id="{field}-help">{escape(parameter.help)}
 {parameter.minimum:g} to {parameter.maximum:g}; {parameter.neutral:g} has no effect.</small>
<small class="how" id="{field}-how"></small>
</div>"""


def preset_panel(preset: Preset) -> str:
    """All seven parameters of a preset, its source, and the way back from edits."""
    return _panel(preset.id, preset.sampler, escape(preset.source))


def own_panel() -> str:
    """The panel of the presets that live in the browser, which fills it."""
    return _panel(OWN, Sampler(), "")


def _panel(slot: str, sampler: Sampler, source: str) -> str:
    knobs = "".join(knob(slot, parameter, value) for parameter, value in sampler)
    return f"""<section class="preset" data-preset="{escape(slot)}">
<div class="choice-of"></div>
<p class="source">{source}</p>
<div class="preset-actions"></div>
<p class="panel-note" role="status" hidden></p>
<p class="warning" data-role="missing" hidden></p>
{knobs}
<p class="edited" hidden><span></span> <button type="button" class="quiet">Restore</button></p>
</section>"""


def request_panel(presets: Sequence[Preset]) -> str:
    """What belongs to a request beside the sampler, and the tables that the browser works from."""
    parameters = [asdict(parameter) for parameter in PARAMETERS]
    values = [
        {
            "id": preset.id,
            "name": preset.name,
            "source": preset.source,
            "default": preset.default,
            "sampler": preset.sampler.set_values(),
            "max_new_tokens": preset.max_new_tokens,
        }
        for preset in presets
    ]
    return f"""<form class="request" id="request-form" autocomplete="off"
 data-parameters="{escape(json.dumps(parameters))}" data-presets="{escape(json.dumps(values))}">
<div class="line"><label for="max-new-tokens">max new tokens</label>
<input class="value" id="max-new-tokens" type="text" inputmode="numeric"></div>
<div class="line"><label for="seed">seed</label>
<input class="value" id="seed" type="text" inputmode="numeric" placeholder="random"></div>
<div class="area"><label for="stop">stop sequences</label>
<textarea id="stop" rows="1" placeholder="none; one a line, at most 3"></textarea></div>
<div class="area"><label for="system">system text</label>
<textarea id="system" rows="1" placeholder="none" aria-describedby="system-note"></textarea>
<small id="system-note">The model has no system role: this goes in front of your first
message.</small></div>
<p class="error" role="alert" hidden></p>
</form>"""


def masthead() -> str:
    """The header: the model, its facts, and the engine's state in words."""
    return """<header class="masthead">
<h1>KTO Mistral 7B</h1>
<p class="facts">Contextual_KTO_Mistral_PairRM · FP8 · 8k context · Apache-2.0 ·
 AlpacaEval 2.0 33.23</p>
<button type="button" id="share" aria-haspopup="dialog">Share</button>
<p id="engine-state" role="status" data-state="unknown"><i class="dot" aria-hidden="true"></i>
<span>Looking for the engine</span><span aria-hidden="true"></span></p>
</header>"""


def conversation(presets: Sequence[Preset]) -> str:
    """The conversation, empty with a few ways to start, and the composer below it."""
    starters = "".join(
        f'<button type="button" class="starter">{escape(text)}</button>' for text in STARTERS
    )
    return f"""<div class="talk">
<div class="log" role="log" aria-label="Conversation" data-testid="pane-0"></div>
<div class="empty" hidden><h2>Ask the model something</h2>
<p class="model-note"></p><div class="starters">{starters}</div></div>
<button type="button" class="jump quiet" hidden>Jump to the latest</button>
<div class="dock">
<p class="engine-note" role="status" hidden></p>
<p class="notice" id="notice" role="status" hidden><span></span>
<button type="button" class="quiet" hidden>Undo</button></p>
<button type="button" class="drawer-open" aria-controls="samplers" aria-expanded="false">
<span>{escape(presets[0].name)}</span><span>Samplers</span></button>
<form class="composer" id="composer">
<label for="chat-prompt" class="visually-hidden">Message</label>
<textarea id="chat-prompt" rows="1" placeholder="Message" enterkeyhint="send"></textarea>
<div class="row"><span id="context-meter" hidden><meter min="0" max="1" value="0"
 aria-label="Share of the context that is used"></meter><span></span></span>
<span class="hint">Shift+Enter: new line</span>
<button type="button" class="quiet" id="chat-new" hidden>New chat</button>
<button type="submit" class="primary" id="chat-send">Send</button>
<button type="button" class="primary" id="chat-stop" hidden>Stop</button></div>
</form></div></div>"""


def about() -> str:
    """The page About, which the browser fills when it is opened."""
    return """<div class="about"><section aria-labelledby="about-model">
<h2 id="about-model">The model</h2>
<div id="card" class="prose-block" aria-busy="true"><p>Reading the model card…</p></div></section>
<section aria-labelledby="about-engine"><h2 id="about-engine">The engine</h2>
<div id="engine-info"><p>No engine has answered yet.</p></div></section></div>"""
