"""Blind comparisons: what would tell the panes apart is given away sealed, and opened on request.

The browser shuffles nothing and hides nothing: it never has what it must not show. The server
shuffles the panes, and seals with authenticated encryption (Fernet) which pane of the request an
answer is, its receipt and its figures. So it keeps no state, and any replica that has the same
secret opens what another one sealed.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from playground.domain.errors import InvalidRequest
from playground.domain.messages import (
    Block,
    Delta,
    Done,
    Event,
    Failed,
    Notice,
    PaneRequest,
    Receipt,
    Sealed,
    Waiting,
)
from playground.engines.streams import closing
from playground.generation.comparison import Batches
from playground.generation.events import named

# A day to vote in.
LIFETIME_S: Final = 86_400
# What a seal holds is filled up to this many bytes and the room for the prompt, the same for all
# panes of a request: a receipt's own length would tell its parameters.
_SIZE: Final = 8192
_LABEL: Final = b"kto-mistral-playground: sealed answers, version 1"


class Seal:
    """Seals what must not be read yet, and opens it.

    Args:
        secret: Shared by all replicas, at least 16 characters; a random one without it.
    """

    def __init__(self, secret: str | None) -> None:
        material = secret.encode() if secret else secrets.token_bytes(32)
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL).derive(material)
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, content: Mapping[str, object], room: int) -> str:
        """The content as a text that tells nothing, its length included when it fits `room`."""
        return self._fernet.encrypt(orjson.dumps(content).ljust(room)).decode()

    def open(self, token: str, field: str) -> Any:
        """What was sealed.

        Raises:
            InvalidRequest: It cannot be opened; names `field`.
        """
        try:
            return orjson.loads(self._fernet.decrypt(token.encode(), ttl=LIFETIME_S))
        except InvalidToken as error:
            raise InvalidRequest(
                "This seal cannot be opened: it is older than a day, was changed, or was made by "
                "a server with another PLAYGROUND_SECRET.",
                field=field,
            ) from error


def room(panes: Sequence[PaneRequest]) -> int:
    """Bytes that the largest receipt of these panes fits into, whatever its parameters are."""
    # The prompt, its system text and what is continued stand in a receipt as JSON.
    texts = (orjson.dumps([message.content for message in pane.messages]) for pane in panes)
    return _SIZE + 3 * max(map(len, texts))


def shuffled(count: int) -> list[int]:
    """The positions 0 to count - 1 in an order that nobody can foresee."""
    order = list(range(count))
    secrets.SystemRandom().shuffle(order)
    return order


async def sealed(
    batches: Batches,
    order: Sequence[int],
    seal: Seal,
    size: int,
) -> Batches:
    """The batches with every receipt and ending sealed.

    Texts stay as they are. That an answer failed is seen, and why comes with the reveal. A notice
    would tell by itself whose answer it is, so it comes with the ending, below the seal.

    Args:
        batches: As `compare` gives them.
        order: Each pane's place in the request.
        seal: What seals them.
        size: Bytes that each is filled up to; see `room`.
    """
    notices: dict[int, list[str]] = {}
    async with closing(batches) as stream:
        async for batch in stream:
            told: list[tuple[int, Event]] = []
            for pane, event in batch:
                if isinstance(event, Notice):
                    notices.setdefault(pane, []).append(event.text)
                elif isinstance(event, Waiting | Delta | Block | Sealed):
                    told.append((pane, event))
                else:
                    said = [] if isinstance(event, Receipt) else notices.pop(pane, [])
                    told.append((pane, _sealed(event, order[pane], said, seal, size)))
            if told or not batch:  # an empty batch says that there is silence
                yield told


def _sealed(
    event: Receipt | Done | Failed, place: int, notices: Sequence[str], seal: Seal, size: int
) -> Sealed:
    name, data = named(event)
    content: dict[str, object] = {"pane": place, name: data}
    if notices:
        content["notices"] = notices
    shown: dict[str, object] = {}
    if isinstance(event, Failed):
        shown = {
            "kind": event.kind if event.kind == "stopped" else "sealed",
            "message": "This answer failed. The reveal says why.",
            "retryable": event.retryable,
        }
    return Sealed(name, seal.close(content, size), shown)
