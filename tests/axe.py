"""What axe finds on a page: faults that keep people with a screen reader or weak eyes out."""

from functools import cache
from typing import Any, Final

from playwright.sync_api import Page

from tests.servers import ROOT

_SOURCE: Final = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# Colours may still be on their way to those of another theme.
_RUN: Final = """async (only) => {
    await Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {})));
    const options = { resultTypes: ['violations'], ...(only.length ? { runOnly: only } : {}) };
    const window = document.querySelector('dialog[open]'); // behind which nothing is reached
    const { violations } = await axe.run(window ?? document, options);
    return violations.map(({ id, nodes }) =>
        [id, ...nodes.slice(0, 3).map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`)]);
}"""


@cache
def _source() -> str:
    return _SOURCE.read_text("utf-8")


def findings(page: Page, *only: str) -> list[Any]:
    """Of all rules, or of these: each that is broken, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_source())
    found: list[Any] = page.evaluate(_RUN, list(only))
    return found


def in_both_themes(page: Page) -> list[Any]:
    """The same in light and in dark, where colours alone can be at fault."""
    found = findings(page)
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.body.matches('.plain') || document.body.classList.add('dark')")
    found += findings(page, "color-contrast")
    page.emulate_media(color_scheme="light")
    page.evaluate("document.body.classList.remove('dark')")
    return found
