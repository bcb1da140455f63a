"""Pages outside Gradio: a snapshot, a demo, the login. They look like the playground's own page.

They need nothing of Gradio's files, so they are small and quick, and a strict policy holds for
them: no script and no style but this server's files, no other host, no frame.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from fastapi import Response

from playground.ui.page import modules

NAME: Final = "KTO Mistral playground"
# An attribute may set a style: the columns of a Markdown table are aligned so.
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
}


def document(
    *,
    title: str,
    body: str,
    version: str,
    head: str = "",
    root_path: str = "",
    scripts: Sequence[str] = (),
    description: str | None = None,
) -> str:
    """A whole page as HTML.

    title, description: texts; a description is also what a preview of the link shows.
    body, head: HTML; the body stands in ``<main>``, below the name that leads to the playground.
    version: of the browser's files (`page.static_version`). root_path: as in the settings.
    scripts: the browser's modules that start the page, by their paths in static/.
    """
    files = f"{escape(root_path)}/ui/{version}"
    styles = "".join(
        f'<link rel="stylesheet" href="{files}/{name}.css">'
        for name in ("styles/standalone", "styles/page", "styles/compare", "highlight")
    )
    imported = dict.fromkeys(name for script in scripts for name in modules(script))
    starts = "".join(f'<script type="module" src="{files}/{name}"></script>' for name in scripts)
    preloads = "".join(
        f'<link rel="modulepreload" href="{files}/{name}">'
        for name in imported
        if name not in scripts
    )
    preview = f'<meta property="og:title" content="{escape(title)}">'
    if description is not None:
        said = escape(description)
        preview += (
            f'<meta name="description" content="{said}">'
            f'<meta property="og:description" content="{said}">'
        )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{escape(title)}</title>
{preview}<meta property="og:site_name" content="{NAME}">
<link rel="icon" type="image/svg+xml" href="{files}/favicon.svg">
{styles}{starts}{preloads}{head}</head>
<body class="plain"><div class="gradio-container">
<header class="masthead"><a class="home" href="{escape(root_path)}/">KTO Mistral 7B</a>
<p class="facts">Contextual_KTO_Mistral_PairRM</p></header>
<main>{body}</main>
</div></body></html>
"""


def answer(html: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A page as a response, with the headers that all of these pages have."""
    return Response(html, status, {**HEADERS, **(headers or {})}, "text/html")
