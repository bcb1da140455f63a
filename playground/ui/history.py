"""The tab History as HTML. Its list is drawn by the browser, which keeps what it shows."""


def history() -> str:
    """The search, what is done with all entries, and the place of the list."""
    return """<div class="history" id="history">
<div class="history-head">
<label for="history-search" class="visually-hidden">Search titles and texts</label>
<input id="history-search" type="search" placeholder="Search titles and texts"
 autocomplete="off" spellcheck="false">
<p id="history-count" role="status"></p>
<button type="button" class="quiet" id="history-import">Import…</button>
<span id="history-more"></span></div>
<p class="problem" id="history-problem" role="alert" hidden></p>
<div class="row" id="history-rescue"></div>
<div class="notice" id="history-notice" role="status" hidden></div>
<div id="history-list" aria-busy="true"><p class="note">Reading the history…</p></div>
</div>"""
