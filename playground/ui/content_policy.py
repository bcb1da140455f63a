"""What browsers may do on the pages: their Content-Security-Policy.

Nothing from elsewhere, no script but this server's files, no frame of another site. Gradio's page
needs more than our own:

1. It holds scripts. They are named by their hashes, so that one that gets into the page by any
   other way does not run, and no handler in an attribute either.
2. Gradio's component for HTML makes a function of each text (`Function`), hence 'unsafe-eval'.
3. Gradio's scripts make styles, hence 'unsafe-inline' for these alone.
4. Gradio's scripts write HTML, so that Trusted Types hold on our own pages alone.
"""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Final

_EVERYWHERE: Final = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; form-action 'self'"
)
# An attribute may set a style: the columns of a Markdown table are aligned so.
OWN_PAGES: Final = (
    f"{_EVERYWHERE}; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types rendered-markdown"
)
_GRADIO: Final = (
    f"{_EVERYWHERE}; style-src 'self' 'unsafe-inline'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'self'; frame-ancestors 'self'; script-src 'self' 'unsafe-eval'"
)
_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


def gradio_policy(page: bytes) -> str:
    """The policy of Gradio's page, with the hashes of the scripts that stand in it."""
    digests = (sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    return " ".join([_GRADIO, *(f"'sha256-{b64encode(each).decode()}'" for each in digests)])
