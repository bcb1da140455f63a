"""The model's card: from the Hub when it can be reached, a short text of ours otherwise."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from huggingface_hub import constants

from playground.generation.markdown import render

_TIMEOUT_S: Final = 4.0
_RETRY_S: Final = 300.0

_log = logging.getLogger(__name__)

_BUNDLED: Final = """
An open-weights chat model of 7 billion parameters, based on Mistral-7B-Instruct-v0.2 and aligned
with **KTO** (Kahneman-Tversky Optimization): a loss that asks only whether an answer is good or
bad, where others need pairs of a better and a worse one. Three rounds of it were run on the prompts
and answers of the Snorkel-Mistral-PairRM-DPO dataset, each with the model before it as its
reference.

| | |
|---|---|
| Parameters | 7 billion |
| Context | 8,192 tokens |
| AlpacaEval 2.0 | 33.23 |
| Licence | Apache-2.0 |
| Published | March 2024 |

It is made for following instructions and for conversation in English. It knows nothing of what
happened after its training, it can be wrong in a convincing tone, and nothing filters its answers.

The prompt is in the style of TuluV2, and the human speaks first:

```text
<|user|>
Hi! I'm looking for a cake recipe.
<|assistant|>
What kind of cake?
<|user|>
Chocolate cake.
<|assistant|>
```

The card documents no system role: a system text goes in front of the first message.
"""


@dataclass(frozen=True, slots=True)
class Card:
    """A card as HTML, where it came from, and its address on the Hub."""

    html: str
    source: Literal["hub", "bundled"]
    url: str


class ModelCards:
    """The card of one model, fetched at most once for all readers and kept."""

    def __init__(self, model_id: str) -> None:
        self._model_id = model_id
        self._card: Card | None = None
        self._fetch: asyncio.Task[Card | None] | None = None
        self._failed_at = -_RETRY_S

    async def card(self) -> Card:
        """The Hub's card if it comes within 4 s or came before, else ours. Never raises."""
        if self._card is None and self._fetch is None:
            if time.monotonic() - self._failed_at < _RETRY_S:
                return self._bundled()
            self._fetch = asyncio.create_task(self._fetch_card())
        if self._fetch is not None:
            await asyncio.wait([self._fetch], timeout=_TIMEOUT_S)
        return self._card or self._bundled()

    async def _fetch_card(self) -> Card | None:
        try:
            text = await asyncio.to_thread(_download, self._model_id)
            self._card = self._made(render(text), "hub")
        except Exception as error:  # which HTTP client the Hub's package uses is its own affair
            _log.info("The card of %s is not to be had: %s", self._model_id, error)
            self._failed_at = time.monotonic()
        finally:
            self._fetch = None
        return self._card

    def _bundled(self) -> Card:
        return self._made(render(_BUNDLED.strip()), "bundled")

    def _made(self, blocks: Sequence[str], source: Literal["hub", "bundled"]) -> Card:
        return Card("".join(blocks), source, f"{constants.ENDPOINT}/{self._model_id}")


def _download(model_id: str) -> str:
    """The card's text without its metadata. One try: `hf_hub_download` makes six, in 30 s."""
    # Here, since most readers never ask for it: 5 MB, and a tenth of the start.
    from huggingface_hub import ModelCard, get_session, hf_hub_url

    url = hf_hub_url(model_id, "README.md")
    response = get_session().get(url, timeout=_TIMEOUT_S, follow_redirects=True)
    response.raise_for_status()
    return ModelCard(response.text, ignore_metadata_errors=True).text
