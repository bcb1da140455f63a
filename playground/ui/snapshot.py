"""The page /s/<token>: a frozen conversation. The browser draws it from GET /api/shares/<token>."""

import json
from html import escape
from typing import Final

from playground.samplers import BY_NAME
from playground.ui import plain

_PRIVATE: Final = "A shared conversation"
_ABOUT: Final = {
    "chat": "A conversation with KTO Mistral 7B, frozen with the receipt of every answer.",
    "comparison": "Answers of KTO Mistral 7B side by side, frozen with the receipt of each.",
}


def snapshot(
    token: str, *, title: str, kind: str, private: bool, version: str, root_path: str
) -> str:
    """The page of a snapshot that its reader may see.

    kind: "chat" or "comparison". What stands in the page's head is shown by whoever previews the
    link: of a private one it says nothing of the content.
    """
    names = escape(json.dumps(list(BY_NAME)))
    return plain.document(
        title=_PRIVATE if private else title,
        description="Open the link to read it." if private else _ABOUT[kind],
        body=(
            f'<div id="snapshot" data-token="{escape(token)}" data-parameters="{names}">'
            '<p class="soft" role="status">Opening the snapshot…</p></div>'
            "<noscript><p>This page is drawn by scripts of this server, which your browser does "
            "not run.</p></noscript>"
        ),
        head=f'<link rel="stylesheet" href="{escape(root_path)}/ui/{version}/snapshot.css">',
        scripts=["snapshot.js"],
        version=version,
        root_path=root_path,
    )


def missing(*, login: str | None, version: str, root_path: str) -> str:
    """The page of a link that leads nowhere, whatever the reason. login: its address, if any."""
    hint = (
        f'<p>If it was shared with members only, <a href="{escape(login)}">log in</a> first.</p>'
        if login
        else ""
    )
    return plain.document(
        title="Nothing here",
        body=(
            '<div class="sheet"><h1>There is nothing here</h1>'
            "<p>This link was mistyped, has expired, or was withdrawn by whoever made it.</p>"
            f'{hint}<p><a href="{escape(root_path)}/">Open the playground</a></p></div>'
        ),
        version=version,
        root_path=root_path,
    )
