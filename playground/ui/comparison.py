"""The tab Compare as HTML. The columns in it are drawn by the browser, which knows how many."""

from html import escape
from typing import Final

STARTERS: Final = (
    "Tell me a story about a lighthouse.",
    "Name ten animals.",
    "How do I choose a temperature?",
)


def comparison() -> str:
    """The board of columns, empty, and the composer that all columns share."""
    starters = "".join(
        f'<button type="button" class="starter">{escape(text)}</button>' for text in STARTERS
    )
    return f"""<div class="comparison" id="comparison">
<div class="board" tabindex="0" role="group" aria-label="Columns"></div>
<div class="board blind-board" tabindex="0" role="group" aria-label="Answers" hidden></div>
<div class="compare-empty" hidden><h2>One prompt, side by side</h2>
<p>Every column answers with its own sampler settings, all at once.</p>
<div class="starters">{starters}</div></div>
<div class="compare-dock">
<p class="notice" id="compare-notice" role="status" hidden></p>
<div class="ballot" hidden></div>
<form class="composer" id="compare-composer">
<label for="compare-prompt" class="visually-hidden">One prompt for all columns</label>
<textarea id="compare-prompt" rows="1" placeholder="One prompt for all columns"
 enterkeyhint="send"></textarea>
<div class="texts" id="compare-texts" hidden>
<label for="compare-system">system text</label>
<textarea id="compare-system" rows="1"
 placeholder="none; goes in front of the first prompt"></textarea>
<label for="compare-stop-sequences">stop sequences</label>
<textarea id="compare-stop-sequences" rows="1"
 placeholder="none; one a line, at most 3"></textarea>
</div><div class="row">
<button type="button" class="quiet" id="compare-options" aria-expanded="false"></button>
<div class="options">
<span class="pair"><label><input type="checkbox" id="compare-same-seed"> same seed</label>
<input id="compare-seed" type="text" inputmode="numeric" placeholder="random"
 aria-label="Seed of all columns"><button type="button" class="quiet"
 id="compare-new-seed">New seed</button></span>
<label><input type="checkbox" id="compare-blind"> blind</label>
<label class="choice">difference <select id="compare-difference">
<option value="first">first token</option><option value="words">words</option>
<option value="off">off</option></select></label>
<label class="choice" id="compare-against-label">against <select id="compare-against"></select>
</label>
<button type="button" class="quiet" id="compare-texts-open" aria-controls="compare-texts"
 aria-expanded="false"></button></div>
<span id="compare-more"></span>
<button type="submit" class="primary" id="compare-send">Send</button>
<button type="button" class="primary" id="compare-stop" hidden>Stop all</button>
</div></form></div></div>"""
