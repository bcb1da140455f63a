"""Pages outside Gradio: a snapshot, a demo, the login. They look like the playground's own page.

They need nothing of Gradio's files, so they are small and quick, and a strict policy holds for
them: no script and no style but this server's files, no other host, no frame.
"""

from collections.abc import Mapping
from typing import Final

from fastapi import Response

from playground.domain.models import ModelLabel
from playground.ui.content_policy import OWN_PAGES
from playground.ui.page import PRODUCT
from playground.ui.rendering import render

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": OWN_PAGES,
}


def document(
    template: str,
    *,
    title: str,
    version: str,
    root_path: str,
    script: str = "",
    description: str | None = None,
    model: ModelLabel | None = None,
    **values: object,
) -> str:
    """A whole page as HTML: a template that extends standalone.html, by its name.

    Args:
        title: A text, which a preview of the link shows, too.
        version: Of the browser's files (`page.static_version`).
        root_path: As in the settings.
        script: The browser's module in static/pages that starts the page, without its ending.
        description: A text that a preview of the link shows below the title.
        model: What the page's head names; without one it is the product.
        values: Of the template itself.
    """
    return render(
        template,
        title=title,
        description=description,
        model=model,
        product=PRODUCT,
        root_path=root_path,
        files=f"{root_path}/ui/{version}",
        script=script,
        **values,
    )


def answer(html: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A page as a response, with the headers that all of these pages have."""
    return Response(html, status, {**HEADERS, **(headers or {})}, "text/html")
