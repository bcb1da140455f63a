"""What a model writes loads nothing: `watched` fails where a page asks for something elsewhere."""

import json

from playwright.sync_api import Page, expect

from tests.pages import READY

ELSEWHERE = "http://127.0.0.1:9"
TEXT = f"""
![pixel]({ELSEWHERE}/pixel.png) <img src="{ELSEWHERE}/a.png">
[![both]({ELSEWHERE}/b.png)]({ELSEWHERE})

<style>@import url("{ELSEWHERE}/c.css"); body {{ background: url({ELSEWHERE}/d.png) }}</style>
<link rel="prefetch" href="{ELSEWHERE}/e"> <iframe src="{ELSEWHERE}/f"></iframe>
<svg><image href="{ELSEWHERE}/g.png"/></svg> <video poster="{ELSEWHERE}/h.png"></video>
<script src="{ELSEWHERE}/i.js"></script> <object data="{ELSEWHERE}/j"></object>

| ![in a table]({ELSEWHERE}/k.png) |
|---|
| end |
"""


def test_no_image_of_an_answer_is_asked_for(page: Page) -> None:
    answer = {
        "role": "assistant",
        "content": TEXT,
        "blocks": [],
        "shown": 0,
        "state": "stopped",
    }
    chat = json.dumps({"messages": [{"role": "user", "content": TEXT}, answer]})
    page.evaluate("chat => sessionStorage.setItem('kto-playground.v1.chat', chat)", chat)
    page.reload()
    page.wait_for_selector(READY)
    shown = page.locator('[data-testid="message"][data-role="assistant"]')
    expect(shown.locator("table a")).to_have_text("in a table")
    expect(shown.locator("a").first).to_have_attribute("href", f"{ELSEWHERE}/pixel.png")
    loading = "img, iframe, link, style, script, image, video, object"
    assert page.locator('[data-testid="message"]').locator(loading).count() == 0
