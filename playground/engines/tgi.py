"""Text Generation Inference as an engine: our samplers in TGI's words, its state, its errors."""

import math
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
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
from playground.engines.http import MISREAD, PACE_S, translate
from playground.engines.names import LONGEST
from playground.engines.readiness import LOADING_S, PROBE_S, Readiness
from playground.engines.streams import closing
from playground.engines.tokens import Allowance, Counts, cut, likeliness, numbers, room, told
from playground.formats.tgi import name_values
from playground.telemetry.logging import request_id
from tgi import decoding, errors
from tgi.client import TGIClient

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
_PIECE: Final = 1024  # tokens
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
        probe_timeout: float = PROBE_S,
        loading_for: float = LOADING_S,
    ) -> None:
        self._client = TGIClient(url, api_key=api_key)
        self._format = prompt_format
        self._quantisation = quantisation
        self._samplers: Mapping[str, Applied] = _STOCK
        self._counts = Counts(self._client.count_tokens)
        self._readiness = Readiness(
            url,
            self._ask,
            self._counts.clear,
            starting="TGI is still loading: it opens its port only when the model is there, and "
            "the first start also downloads it.",
            probe_timeout=probe_timeout,
            loading_for=loading_for,
        )

    @classmethod
    def at(cls, address: EngineAddress, *, loading_for: float = LOADING_S) -> Self:
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
        return await self._readiness.state()

    async def count_tokens(self, text: str) -> int:
        """The tokens of a text, with the BOS that /tokenize adds as /generate does."""
        try:
            return await self._counts.of(text)
        except errors.TGIError as error:
            raise self._translated(error) from error

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
            allowance = Allowance(_written_at_most(request.max_new_tokens))
            batches = self._client.stream_batches(
                request.prompt,
                self.parameters(request),
                pace=PACE_S,
                headers={"x-request-id": number} if number else None,
            )
            async with closing(batches):
                async for batch in batches:
                    text = "".join([o.token.text for o in batch if not o.token.special])
                    allowance.taken(text, len(batch))
                    yield Chunk(text, len(batch))
                    details = batch[-1].details
                    if details is not None:
                        with _understood("generate_stream"):
                            if not isinstance(details.seed, int | None):
                                raise TypeError("its seed is no number")
                            finish = Finish(
                                str(details.finish_reason)[:LONGEST],
                                told(details.generated_tokens),
                                told(details.input_length),
                                details.seed,
                            )
                        yield finish
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
            with _understood("generate"):
                return _written(output)
        except errors.TGIError as error:
            raise self._translated(error) from error

    async def aclose(self) -> None:
        """Close all connections."""
        self._readiness.close()
        await self._client.aclose()

    async def _ask(self) -> EngineInfo:
        try:
            await self._client.health()
            info = _info(await self._client.info(), self._format, self._quantisation)
        except errors.TGIError as error:
            raise translate(error) from error
        self._samplers = info.applied
        return info

    def _translated(self, error: errors.TGIError) -> EngineError:
        return self._readiness.doubt(translate(error))


def _written_at_most(asked: int) -> int:
    """How many tokens TGI writes that is asked for so many: it holds to a limit in the first piece.

    It writes in pieces (infer/mod.rs of 3.3.7) and measures each against the request's own limit.
    """
    return asked if asked <= _PIECE else math.ceil(asked / _PIECE) * _PIECE


def map_sampler(sampler: Sampler, applied: Mapping[str, Applied]) -> dict[str, object]:
    """A sampler in TGI's words: what the server applies and what has an effect, nothing else."""
    return name_values(sampler, [name for name, way in applied.items() if way.how == "native"])


@contextmanager
def _understood(route: str) -> Iterator[None]:
    """Raises ProtocolError where an answer is not TGI's."""
    try:
        yield
    except MISREAD as error:
        raise errors.ProtocolError(
            f"What answers at /{route} is not TGI ({decoding.excerpt(repr(error))}); is the "
            "address right?",
            status=200,
        ) from error


def _written(output: TextGenerationOutput) -> Written:
    details = output.details
    if details is None:
        raise TypeError("it tells no details, which were asked for")
    # huggingface_hub leaves lists of lists as they came, in dictionaries; its types are such too.
    tops: list[list[Any]] = details.top_tokens or []
    return Written(
        output.generated_text,
        told(details.generated_tokens),
        numbers([token.id for token in details.tokens]),
        tuple({each["id"]: likeliness(each["logprob"]) for each in top} for top in tops),
    )


def _info(raw: Mapping[str, Any], form: PromptFormat | None, quantisation: str) -> EngineInfo:
    """What /info says. Raises ProtocolError when it is not TGI's.

    ``samplers`` is no field of TGI's: by it the stand-in says that it takes a parameter, and
    in the meaning that the playground gives it.
    """
    with _understood("info"):
        extended = raw.get("samplers") or {}
        model_id = str(raw["model_id"])
        return EngineInfo(
            kind="tgi",
            name=f"{_NAMES.get(str(raw.get('router')), 'TGI')} {raw['version']!s:.40}",
            model_id=model_id[:LONGEST],
            model_sha=sha[:LONGEST] if isinstance(sha := raw.get("model_sha"), str) else None,
            quantisation=quantisation,
            max_input_tokens=room(raw["max_input_tokens"]),
            max_total_tokens=room(raw["max_total_tokens"]),
            max_stop_sequences=told(raw["max_stop_sequences"]),
            applied={
                name: _NATIVE if name in extended else stock for name, stock in _STOCK.items()
            },
            seeds=_SEEDS,
            probabilities=Probabilities("final", _TOP_TOKENS),
            prompt_format=form or recognise(model_id),
            slots=None,
            raw=raw,
        )
