"""Text Generation Inference as an engine: our samplers in TGI's words, its state, its errors."""

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, Self

from huggingface_hub import TextGenerationOutput, TextGenerationStreamOutput

from playground.domain.errors import EngineError
from playground.domain.messages import Applied
from playground.domain.prompt_formats import PromptFormat, recognise
from playground.domain.samplers import Sampler
from playground.engines.base import (
    Candidate,
    Chunk,
    EngineAddress,
    EngineInfo,
    EngineState,
    Finish,
    GenerationRequest,
    Piece,
    Probabilities,
    Seeds,
    Step,
    Written,
)
from playground.engines.http import MISREAD, PACE_S, translate
from playground.engines.names import LONGEST, shown_words
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
        "Far weaker than OpenAI's. TGI divides the penalty by the number of tokens so far.",
    ),
    "presence_penalty": Applied("unsupported", "TGI has no presence penalty; it is not sent."),
    "repetition_penalty": _NATIVE,
    "min_p": Applied("unsupported", "TGI has no min_p; it is not sent."),
}

# Its generator starts anew with each request, but sums differ with what else is in the batch.
_SEEDS: Final = Seeds(
    "alone",
    "The same seed repeats only if nothing else is being generated at the same time, for anybody.",
)
_TOP_TOKENS: Final = 5  # MAX_TOP_N_TOKENS, unless its operator raised it; /info does not tell
# As many as are worth asking for, where its operator allows them: most presets' top_k is 40 or 50,
# and with 30 none of the answers of `make emulation` is off.
_WANTED: Final = 50
_MOST_TOLD: Final = re.compile(r"`top_n_tokens` must be >= 0 and <= (\d+)")
# Between which the logarithm of the likeliest token's probability is: of a vocabulary of any size,
# and what rounding may make of 1.
_LEAST: Final = -50.0
_ROUNDED: Final = 0.02
# How long the state waits for the answer about log-probabilities, which may stand in a queue.
_TRIAL_S: Final = 2.0
# Between two log-probabilities that mean the same, or a sum of probabilities and 1.
_SAME: Final = 0.02
# TGI writes in pieces of so many (infer/mod.rs of 3.3.7) and holds to max_new_tokens within the
# first one only. Nothing here asks for more at once: `generation.bridge` asks several times.
_LONGEST: Final = 1024
_EMULATED: Final[Mapping[str, str]] = {
    "min_p": "TGI has no min_p: the playground applies it, exactly, to the tokens that TGI draws.",
    "presence_penalty": "TGI has no presence penalty: the playground applies it to the tokens that "
    "TGI draws; the receipt says how exactly.",
    "frequency_penalty": "TGI's own is far weaker than OpenAI's: the playground applies OpenAI's "
    "to the tokens that TGI draws; the receipt says how exactly.",
}

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
        self._trial: tuple[object, asyncio.Task[Probabilities | None]] | None = None
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
        assert request.max_new_tokens <= _LONGEST, "it would not be a limit"
        told = {"top_n_tokens": request.likeliest} if request.likeliest else {}
        return {
            **map_sampler(request.sampler, self._samplers),
            "max_new_tokens": request.max_new_tokens,
            "seed": request.seed,
            "stop": list(request.stop),
            "return_full_text": False,
            "details": True,
            **told,
        }

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """The generation; the text of special tokens, such as the one that ends it, is left out."""
        async with closing(self._outputs(request)) as batches:
            async for batch in batches:
                if isinstance(batch, Finish):
                    yield batch
                else:
                    text = "".join([o.token.text for o in batch if not o.token.special])
                    yield Chunk(text, len(batch))

    async def steps(
        self, request: GenerationRequest
    ) -> AsyncGenerator[Sequence[Step] | Finish, None]:
        """The generation token by token; a special token has no text."""
        async with closing(self._outputs(request)) as batches:
            async for batch in batches:
                if isinstance(batch, Finish):
                    yield batch
                    continue
                try:
                    with _understood("generate_stream"):
                        steps = [_step(output) for output in batch]
                except errors.TGIError as error:
                    raise self._translated(error) from error
                yield steps

    async def tokens(self, text: str) -> list[Piece]:
        """The tokens of a text, BOS included."""
        try:
            tokens = await self._client.tokenize(text)
        except errors.TGIError as error:
            raise self._translated(error) from error
        return [Piece(token.id, token.start, token.stop) for token in tokens]

    async def _outputs(
        self, request: GenerationRequest
    ) -> AsyncGenerator[list[TextGenerationStreamOutput] | Finish, None]:
        try:
            number = request_id.get()
            allowance = Allowance(request.max_new_tokens)
            batches = self._client.stream_batches(
                request.prompt,
                self.parameters(request),
                pace=PACE_S,
                headers={"x-request-id": number} if number else None,
            )
            async with closing(batches):
                async for batch in batches:
                    allowance.taken("".join([o.token.text for o in batch]), len(batch))
                    yield batch
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
        sent = {**self.parameters(replace(request, likeliest=likeliest)), **(extra or {})}
        try:
            output = await self._client.generate(request.prompt, sent)
            with _understood("generate"):
                return _written(output)
        except errors.TGIError as error:
            raise self._translated(error) from error

    async def aclose(self) -> None:
        """Close all connections."""
        self._readiness.close()
        if self._trial is not None:
            self._trial[1].cancel()
        await self._client.aclose()

    async def _ask(self) -> EngineInfo:
        try:
            await self._client.health()
            raw = await self._client.info()
            info = _info(raw, self._format, self._quantisation, None)
            if any(way.how != "native" or way.reason for way in info.applied.values()):
                told_of = await self._tried((info.name, info.model_id, info.model_sha))
                info = _info(raw, self._format, self._quantisation, told_of)
        except errors.TGIError as error:
            raise translate(error) from error
        self._samplers = info.applied
        return info

    async def _tried(self, identity: object) -> Probabilities | None:
        """What log-probabilities a model tells, tried once; ``None`` while it is not known."""
        if self._trial is not None:
            known, trial = self._trial
            failed = trial.done() and (trial.cancelled() or trial.result() is None)
            if known != identity or failed:
                trial.cancel()
                self._trial = None
        if self._trial is None:
            self._trial = (identity, asyncio.create_task(self._try()))
        trial = self._trial[1]
        await asyncio.wait([trial], timeout=_TRIAL_S)
        return trial.result() if trial.done() and not trial.cancelled() else None

    async def _try(self) -> Probabilities | None:
        """One token among a few likely ones, at a temperature that shows in its probability.

        On a CPU the likeliest tokens are told with the model's own probabilities, which do not add
        up to 1 there and are not what the token itself is told with.
        """
        most = _WANTED
        while most:
            asked = {
                "max_new_tokens": 1,
                "seed": 1,
                "temperature": 3.0,
                "top_k": most,
                "top_n_tokens": most,
                "details": True,
            }
            try:
                output = await self._client.generate("Once upon a time", asked)
            except errors.ValidationFailed as error:
                said = _MOST_TOLD.search(str(error))
                most = min(int(said[1]), most - 1) if said else 0
            except errors.TGIError:
                return None
            else:
                try:
                    shown = _written(output)
                    first: Any = output.details.tokens[0]  # type: ignore[union-attr]
                    top = shown.likeliest[0]
                    known = abs(top[first["id"]] - first["logprob"]) < _SAME
                    final = known and abs(sum(map(math.exp, top.values())) - 1) < _SAME
                except MISREAD:
                    return Probabilities("none")
                return Probabilities("final" if final else "raw", most)
        return Probabilities("none")

    def _translated(self, error: errors.TGIError) -> EngineError:
        return self._readiness.doubt(translate(error))


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
            f"What answers at /{route} is not TGI ({decoding.misread(error)}); is the address "
            "right?",
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


def _step(output: TextGenerationStreamOutput) -> Step:
    token, top = output.token, output.top_tokens or ()
    numbers([token.id, *[each.id for each in top]])
    likeliest = [Candidate(t.id, t.text, likeliness(t.logprob), t.special) for t in top]
    known = [each.logprob for each in likeliest]
    # Of what a vocabulary holds one has a share that can be told from none, and all have no more
    # than the whole of it.
    if known and not (
        _LEAST < max(known) < _ROUNDED and sum(map(math.exp, known)) < math.exp(_ROUNDED)
    ):
        raise ValueError("its probabilities are none")
    return Step(
        token.id,
        "" if token.special else token.text,
        min(0.0, likeliness(token.logprob)),
        token.special,
        tuple(likeliest),
    )


def _info(
    raw: Mapping[str, Any],
    form: PromptFormat | None,
    quantisation: str,
    probabilities: Probabilities | None,
) -> EngineInfo:
    """What /info says. Raises ProtocolError when it is not TGI's.

    ``samplers`` is no field of TGI's: by it the stand-in says that it takes a parameter, and
    in the meaning that the playground gives it.

    Args:
        probabilities: ``None`` where they are not known.
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
                name: _NATIVE if name in extended else _way(name, stock, probabilities)
                for name, stock in _STOCK.items()
            },
            seeds=_SEEDS,
            probabilities=probabilities or Probabilities("final", _TOP_TOKENS),
            prompt_format=form or recognise(model_id),
            slots=None,
            raw=shown_words(raw),
            longest_request=_LONGEST,
        )


def _way(name: str, stock: Applied, probabilities: Probabilities | None) -> Applied:
    """How a parameter of stock TGI is applied, where the playground may do it."""
    if name not in _EMULATED or probabilities is None:
        return stock
    if probabilities.kind == "final":
        return Applied("emulated", _EMULATED[name])
    why = (
        "This one tells other probabilities than those that it draws from, as TGI does on a CPU"
        if probabilities.kind == "raw"
        else "This one does not tell the likeliest tokens (MAX_TOP_N_TOKENS)"
    )
    return Applied(stock.how, f"{stock.reason} {why}, so it is not emulated either.")
