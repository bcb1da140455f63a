"""Text Generation Inference as an engine: our samplers in TGI's words, its state, its errors."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Self

from huggingface_hub import TextGenerationOutput

from playground.domain.errors import EngineError
from playground.domain.messages import Applied
from playground.domain.prompt_formats import PromptFormat, recognise
from playground.domain.samplers import Sampler
from playground.engines.base import (
    Chunk,
    EngineAddress,
    EngineInfo,
    EngineState,
    Finish,
    GenerationRequest,
    Probabilities,
    Seeds,
    Written,
)
from playground.engines.http import PACE_S, translate
from playground.engines.streams import closing
from playground.formats.tgi import name_values
from playground.telemetry.logging import request_id
from tgi import errors
from tgi.client import TGIClient

# How long a state holds before it is asked for again.
_FRESH_S: Final = 1.0
# TGI opens its port when the weights are loaded, and its first start downloads 14 GB (15 minutes at
# 125 Mbit/s): so long a refused connection may mean that it is loading, or a wrong address.
_LOADING_S: Final = 900.0
_COUNTS_KEPT: Final = 256

_NATIVE: Final = Applied("native")
_STOCK: Final[Mapping[str, Applied]] = {
    "temperature": _NATIVE,
    "top_p": _NATIVE,
    "top_k": _NATIVE,
    "frequency_penalty": Applied(
        "native",
        "TGI divides the penalty by the number of tokens so far, which makes it far weaker than "
        "OpenAI's of the same value.",
    ),
    "presence_penalty": Applied("unsupported", "TGI has no presence penalty; it is not sent."),
    "repetition_penalty": _NATIVE,
    "min_p": Applied("unsupported", "TGI has no min_p; it is not sent."),
}

# Its generator starts anew with each request, but sums differ with what else is in the batch.
_SEEDS: Final = Seeds("alone", "The same seed repeats while no other answer is being written.")
_TOP_TOKENS: Final = 5  # MAX_TOP_N_TOKENS, unless its operator raised it; /info does not tell

# What answers in TGI's words without being TGI, by /info's `router`.
_NAMES: Final[Mapping[object, str]] = {"tgi-stand-in": "TGI stand-in"}


class TGIEngine:
    """A TGI server, or one that speaks its API and says in /info what more it takes.

    Args:
        prompt_format: ``None`` where the model decides.
        quantisation: As its operator says it; TGI does not tell.
        probe_timeout: Seconds within which a server that is there says so.
        loading_for: Seconds for which a server that was never ready and refuses connections may be
            loading; afterwards it is offline.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        prompt_format: PromptFormat | None = None,
        quantisation: str = "",
        probe_timeout: float = 5.0,
        loading_for: float = _LOADING_S,
    ) -> None:
        self._url = url
        self._client = TGIClient(url, api_key=api_key)
        self._format = prompt_format
        self._quantisation = quantisation
        self._state = EngineState("offline", time.time(), "The engine was not asked yet.")
        self._probe_timeout = probe_timeout
        self._loading_for = loading_for
        self._began = time.monotonic()
        self._asked = -_FRESH_S
        self._was_ready = False
        self._probing: asyncio.Task[None] | None = None
        self._samplers: Mapping[str, Applied] = _STOCK
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    @classmethod
    def at(cls, address: EngineAddress, *, loading_for: float = _LOADING_S) -> Self:
        """The engine of an address, not asked yet."""
        return cls(
            address.url,
            api_key=address.api_key,
            prompt_format=address.prompt_format,
            quantisation=address.quantisation,
            loading_for=loading_for,
        )

    async def state(self) -> EngineState:
        """The state, at most a second old. Callers at the same time share one question."""
        if self._probing is None and time.monotonic() - self._asked >= _FRESH_S:
            self._probing = asyncio.create_task(self._probe())
        if self._probing is not None:
            await asyncio.shield(self._probing)
        return self._state

    async def count_tokens(self, text: str) -> int:
        """The tokens of a text, with the BOS that /tokenize adds as /generate does."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in self._counts:
            self._counts.move_to_end(key)
            return self._counts[key]
        try:
            count = await self._client.count_tokens(text)
        except errors.TGIError as error:
            raise self._translated(error) from error
        self._counts[key] = count
        if len(self._counts) > _COUNTS_KEPT:
            self._counts.popitem(last=False)
        return count

    async def pieces(self, text: str) -> list[str]:
        """The text cut where its tokens begin; a character of several tokens stays whole."""
        try:
            tokens = await self._client.tokenize(text)
        except errors.TGIError as error:
            raise self._translated(error) from error
        return cut(text, [token.start for token in tokens])

    def parameters(self, request: GenerationRequest) -> dict[str, object]:
        """TGI's parameters for a request; `map_sampler` says how the sampler's are made."""
        return {
            **map_sampler(request.sampler, self._samplers),
            "max_new_tokens": request.max_new_tokens,
            "seed": request.seed,
            "stop": list(request.stop),
            "return_full_text": False,
            "details": True,
        }

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """The generation; the text of special tokens, such as the one that ends it, is left out."""
        try:
            number = request_id.get()
            batches = self._client.stream_batches(
                request.prompt,
                self.parameters(request),
                pace=PACE_S,
                headers={"x-request-id": number} if number else None,
            )
            async with closing(batches):
                async for batch in batches:
                    text = "".join([o.token.text for o in batch if not o.token.special])
                    yield Chunk(text, len(batch))
                    details = batch[-1].details
                    if details is not None:
                        yield Finish(
                            str(details.finish_reason),
                            details.generated_tokens,
                            details.input_length,
                            details.seed,
                        )
        except errors.TGIError as error:
            raise self._translated(error) from error

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        """A whole answer with its tokens, by /generate."""
        sent = {**self.parameters(request), **(extra or {})}
        if likeliest:
            sent["top_n_tokens"] = likeliest
        try:
            output = await self._client.generate(request.prompt, sent)
        except errors.TGIError as error:
            raise self._translated(error) from error
        return _written(output)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._probing is not None:
            self._probing.cancel()
        await self._client.aclose()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(self._probe_timeout):
                await self._client.health()
                info = _info(await self._client.info(), self._format, self._quantisation)
        except errors.TGIError as error:
            self._set(*self._away(error))
        except TimeoutError:
            self._set(
                "offline",
                f"{self._url} does not answer within {self._probe_timeout:g} s: it is overloaded, "
                "or something else listens there.",
            )
        else:
            self._was_ready = True
            self._samplers = info.applied
            self._set("ready", "", info)
        finally:
            self._asked = time.monotonic()
            self._probing = None

    def _away(self, error: errors.TGIError) -> tuple[Any, str]:
        """The state that an error means, and the reason."""
        if isinstance(error, errors.Unhealthy):
            return "loading", str(error)
        refused = isinstance(error, errors.ConnectFailed)
        waited = time.monotonic() - self._began
        if isinstance(error, errors.UnknownHost):
            return "offline", f"{error} The page notices when it answers."
        if refused and not self._was_ready and waited < self._loading_for:
            return "loading", (
                f"{error} If the address is right, TGI is still loading: it opens its port only "
                "when the model is there, and the first start also downloads it."
            )
        return "offline", f"{error} The page notices when it answers again."

    def _set(self, state: Any, reason: str, info: EngineInfo | None = None) -> None:
        if info is None or self._state.info is None or info.model_id != self._state.info.model_id:
            self._counts.clear()
        since = self._state.since if state == self._state.state else time.time()
        self._state = EngineState(state, since, reason, info)

    def _translated(self, error: errors.TGIError) -> EngineError:
        """The playground's error; the next question for the state is asked anew."""
        if isinstance(error, errors.ConnectFailed | errors.Unhealthy | errors.IncompleteStream):
            self._asked = -_FRESH_S
        return translate(error)


def cut(text: str, starts: Sequence[int]) -> list[str]:
    """The text in pieces that begin at these bytes of its UTF-8, none of them empty."""
    pieces, begun, at = [], 0, 0
    wanted = sorted({start for start in starts if start > 0}, reverse=True)
    for position, character in enumerate(text):
        if wanted and at >= wanted[-1]:
            pieces.append(text[begun:position])
            begun = position
            while wanted and at >= wanted[-1]:
                wanted.pop()
        at += len(character.encode("utf-8", "surrogatepass"))
    return [piece for piece in (*pieces, text[begun:]) if piece]


def map_sampler(sampler: Sampler, applied: Mapping[str, Applied]) -> dict[str, object]:
    """A sampler in TGI's words: what the server applies and what has an effect, nothing else."""
    return name_values(sampler, [name for name, way in applied.items() if way.how == "native"])


def _written(output: TextGenerationOutput) -> Written:
    details = output.details
    assert details is not None, "details were asked for"
    # huggingface_hub leaves lists of lists as they came, in dictionaries; its types are such too.
    tops: list[list[Any]] = details.top_tokens or []
    return Written(
        output.generated_text,
        details.generated_tokens,
        tuple(token.id for token in details.tokens),
        tuple({each["id"]: each["logprob"] for each in top} for top in tops),
    )


def _info(raw: Mapping[str, Any], form: PromptFormat | None, quantisation: str) -> EngineInfo:
    """What /info says. Raises ProtocolError when it is not TGI's.

    ``samplers`` is no field of TGI's: by it the stand-in says that it takes a parameter, and
    in the meaning that the playground gives it.
    """
    extended = raw.get("samplers") or {}
    try:
        model_id = str(raw["model_id"])
        return EngineInfo(
            kind="tgi",
            name=f"{_NAMES.get(raw.get('router'), 'TGI')} {raw['version']}",
            model_id=model_id,
            model_sha=raw.get("model_sha"),
            quantisation=quantisation,
            max_input_tokens=int(raw["max_input_tokens"]),
            max_total_tokens=int(raw["max_total_tokens"]),
            max_stop_sequences=int(raw["max_stop_sequences"]),
            applied={
                name: _NATIVE if name in extended else stock for name, stock in _STOCK.items()
            },
            seeds=_SEEDS,
            probabilities=Probabilities("final", _TOP_TOKENS),
            prompt_format=form or recognise(model_id),
            slots=None,
            raw=raw,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise errors.ProtocolError(
            f"What answers at /info is not TGI ({error!r}); is the address right?", status=200
        ) from error
