"""Servers of OpenAI's completions as engines: vLLM, SGLang, and what else takes a raw prompt there.

What each takes and means is data, in `dialects`; here is what all of them have in common.
"""

import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import urlsplit

from playground.domain.errors import EngineError
from playground.domain.prompt_formats import PromptFormat, recognise
from playground.engines import tokens
from playground.engines.base import (
    Chunk,
    EngineAddress,
    EngineInfo,
    EngineState,
    Finish,
    GenerationRequest,
    Written,
)
from playground.engines.completions import (
    choose,
    is_missing,
    read_answer,
    read_event,
    refusal,
    shown,
    understood,
    wrong,
)
from playground.engines.dialects import SGLANG, SGLANG_DETERMINISTIC, dialect_of
from playground.engines.http import EngineHTTP, translated
from playground.engines.names import shown_words
from playground.engines.readiness import LOADING_S, PROBE_S, Readiness
from playground.engines.streams import closing

# A long list of models is a service's, and not asked for each second.
_LONG: Final = 50
_LONG_HOLDS_S: Final = 60.0
# Names that servers have for a model's context, in /v1/models.
_CONTEXT: Final = ("max_model_len", "n_ctx", "context_length", "context_window")
# The context of a model that does not tell: the settings' limit holds, which is lower.
_UNKNOWN_CONTEXT: Final = 1_000_000
# What these servers say of whose their models are.
OWNERS: Final = ("vllm", "sglang", "llamacpp")
# Of what SGLang says of itself; the rest may hold its keys.
_SHOWN: Final = (
    "version",
    "context_length",
    "quantization",
    "dtype",
    "max_running_requests",
    "enable_deterministic_inference",
)


class OpenAIEngine:
    """A server that completes a raw prompt at /v1/completions.

    Args:
        url: With or without the /v1 at its end.
        kind: "vllm", "sglang" or "openai".
        model: ``None`` takes the one it has.
        prompt_format: ``None`` where the model decides.
        quantisation: As its operator says it; it counts where the server does not tell.
        read_timeout: Longest silence of an answer in seconds.
        probe_timeout: Seconds within which a server that is there says so.
        loading_for: Seconds for which a server that was never ready and refuses connections may be
            loading; afterwards it is offline.
    """

    def __init__(
        self,
        url: str,
        *,
        kind: str = "openai",
        api_key: str | None = None,
        model: str | None = None,
        prompt_format: PromptFormat | None = None,
        quantisation: str = "",
        read_timeout: float = 60.0,
        probe_timeout: float = PROBE_S,
        loading_for: float = LOADING_S,
    ) -> None:
        self._url = root(url)
        self._host = urlsplit(self._url).hostname or ""
        self._kind = kind
        self._model = model
        self._format = prompt_format
        self._quantisation = quantisation
        self._http = EngineHTTP(
            self._url, api_key=api_key, read_timeout=read_timeout, refusal=refusal
        )
        self._dialect = dialect_of(kind, self._host, "")
        self._counts = tokens.Counts(self._count)
        self._readiness = Readiness(
            self._url,
            self._ask,
            self._counts.clear,
            starting=f"{self._dialect.label or 'the engine'} is still loading: it opens its port "
            "only when the model is there, and the first start may also download it.",
            probe_timeout=probe_timeout,
            loading_for=loading_for,
        )
        self._served = model or ""  # the model's name as it is asked for
        self._bos = ""  # where the server puts it in front of a text
        self._named_itself = False
        self._holds_until = 0.0
        self._card_shown: dict[str, Any] = {}  # when it was asked for all of it

    @classmethod
    def at(cls, address: EngineAddress, *, loading_for: float = LOADING_S) -> Self:
        """The engine of an address, not asked yet."""
        return cls(
            address.url,
            kind=address.kind,
            api_key=address.api_key,
            model=address.model,
            prompt_format=address.prompt_format,
            quantisation=address.quantisation,
            loading_for=loading_for,
        )

    async def state(self) -> EngineState:
        """The state, at most a second old; of a service with many models a minute."""
        return await self._readiness.state()

    async def count_tokens(self, text: str) -> int:
        """The tokens of a text with the BOS that the server adds.

        Where it does not count them this is an estimate, rather too high, and `exact_counts` of
        what it says of itself is false.
        """
        if not (await self._ready()).exact_counts:
            return tokens.estimate(text)
        with self._noted():
            return await self._counts.of(text)

    async def pieces(self, text: str) -> list[str]:
        """The text cut where its tokens begin, or into words where the server does not tell."""
        if not (await self._ready()).exact_counts:
            return tokens.words(text)
        with self._noted():
            starts = tokens.starts(text, await self._spelled(text, add_special_tokens=False))
        return tokens.words(text) if starts is None else tokens.cut(text, starts)

    def parameters(self, request: GenerationRequest) -> dict[str, object]:
        """All that is sent but the model and the prompt."""
        return self._dialect.parameters(request)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """The generation. It is complete when the server has said why it ended."""
        await self._ready()
        sent = self.parameters(request)
        written, reason = 0, ""
        allowance = tokens.Allowance(request.max_new_tokens)
        usage: Mapping[str, int] = {}
        with self._noted():
            batches = self._http.stream(
                "v1/completions", self._body(request, sent), read_event, lambda event: event.done
            )
            try:
                async with closing(batches):
                    async for batch in batches:
                        text = "".join([event.text for event in batch])
                        count = sum([event.tokens for event in batch])
                        for event in batch:
                            reason, usage = event.reason or reason, event.usage or usage
                        written += count
                        allowance.taken(text, count or len(batch))
                        if text or count:
                            yield Chunk(text, count)
            except EngineError as error:
                if error.kind != "incomplete" or not reason:
                    raise  # else only the [DONE] is missing
            if not reason:
                raise EngineError(
                    "The text is not complete: the server ended the stream without saying why. "
                    "Try again, or look at its log.",
                    kind="incomplete",
                    retryable=True,
                )
            read = usage.get("prompt_tokens")
            seed = sent.get("seed")
            yield Finish(
                reason,
                usage.get("completion_tokens") or written,
                await self.count_tokens(request.prompt) if read is None else read,
                seed if isinstance(seed, int) else None,
            )

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        """A whole answer; with its tokens and their probabilities from vLLM alone."""
        await self._ready()
        sent = {**self.parameters(request), "stream": False}
        del sent["stream_options"]
        if likeliest:
            sent |= {"logprobs": likeliest, "return_tokens_as_token_ids": True}
        with self._noted():
            answer = await self._http.post(
                "v1/completions", self._body(request, {**sent, **(extra or {})})
            )
            with understood("v1/completions"):
                return read_answer(answer)

    async def aclose(self) -> None:
        """Close all connections."""
        self._readiness.close()
        await self._http.aclose()

    def _body(self, request: GenerationRequest, sent: Mapping[str, object]) -> dict[str, object]:
        # Some formats begin with what is the model's BOS as well; with the server's there were two.
        prompt = request.prompt.removeprefix(self._bos)
        return {"model": self._served, "prompt": prompt, **sent}

    async def _ready(self) -> EngineInfo:
        """What the server said of itself, asked for where that is not known yet."""
        info = self._readiness.info
        if info is not None:
            return info
        state = await self._readiness.state()
        if state.info is None:
            raise EngineError(
                state.reason,
                kind="loading" if state.state == "loading" else "offline",
                retryable=True,
            )
        return state.info

    async def _ask(self) -> EngineInfo:
        known = self._readiness.info
        if known is not None and time.monotonic() < self._holds_until:
            return known
        card = await self._card()
        if known is not None and self._card_shown == shown(card):
            return known
        owner = str(card.get("owned_by"))
        self._named_itself = self._named_itself or owner == self._kind
        # A server that once named itself and does not now has made room for another.
        strange = owner in OWNERS or self._named_itself
        if self._kind != "openai" and owner != self._kind and strange:
            raise wrong(
                f"What answers at {self._url} is not {self._dialect.label}: its model belongs to "
                f"{owner}. PLAYGROUND_ENGINE=auto finds out what it is."
            )
        with translated(), understood("v1/models"):
            info = await self._introduced(card, owner)
        self._card_shown = shown(card)
        return info

    async def _card(self) -> dict[str, Any]:
        """What the server says of the model that is to be asked for."""
        try:
            answer = await self._http.get("v1/models")
        except EngineError as error:
            if self._model is None or not is_missing(error):
                raise
            return {"id": self._model}  # a server that lists none
        with translated(), understood("v1/models"):
            cards = [{**card, "id": str(card["id"])} for card in answer["data"]]
        holds = _LONG_HOLDS_S if len(cards) > _LONG else 0.0
        self._holds_until = time.monotonic() + holds
        return choose(cards, self._model, self._url)

    async def _introduced(self, card: dict[str, Any], owner: str) -> EngineInfo:
        """All that is to be known of a server and its model."""
        dialect = dialect_of(self._kind, self._host, owner)
        more: dict[str, Any] = {}
        if dialect.kind == "vllm":
            more = await self._optional("version")
        elif dialect is SGLANG:
            about = await self._optional("server_info") or await self._optional("get_server_info")
            more = {name: about[name] for name in _SHOWN if about.get(name) is not None}
            if more.get("enable_deterministic_inference") is True:
                dialect = SGLANG_DETERMINISTIC
        self._dialect = dialect
        self._served = card["id"]
        exact = dialect.tokenizes and await self._tells_tokens()
        lengths = [{**card, **(card.get("meta") or {})}.get(name) for name in _CONTEXT]
        total = next((n for n in lengths if isinstance(n, int) and n > 0), _UNKNOWN_CONTEXT)
        told = shown(card)
        slots = more.get("max_running_requests")
        return EngineInfo(
            kind=dialect.kind,
            name=f"{dialect.label or self._host} {more.get('version', '')}".rstrip(),
            model_id=told["id"],
            model_sha=None,
            quantisation=str(more.get("quantization") or "").upper() or self._quantisation,
            max_input_tokens=total - 1,
            max_total_tokens=total,
            max_stop_sequences=dialect.stop_sequences,
            applied=dialect.applied,
            seeds=dialect.seeds,
            probabilities=dialect.probabilities,
            # An alias may say nothing; what it stands for is the model's name or folder.
            prompt_format=self._format or recognise(f"{told['id']} {told.get('root') or ''}"),
            slots=slots if isinstance(slots, int) else None,
            raw=shown_words({"model": told, **more}),
            exact_counts=exact,
        )

    async def _optional(self, path: str) -> dict[str, Any]:
        """What a server says of itself, where it does: a proxy may let /v1 alone through."""
        try:
            answer = await self._http.get(path)
        except EngineError as error:
            if error.kind not in ("protocol", "refused", "unauthorized"):
                raise
            return {}
        return answer if isinstance(answer, dict) else {}

    async def _tells_tokens(self) -> bool:
        """Whether it tells them; and take note of the BOS that it puts in front."""
        try:
            with_bos = await self._spelled("a", add_special_tokens=True)
            without = await self._spelled("a", add_special_tokens=False)
        except EngineError as error:
            if error.kind not in ("protocol", "refused", "unauthorized"):
                raise
            return False
        if not with_bos:
            return False
        self._bos = with_bos[0] if with_bos[1:] == without else ""
        return True

    async def _count(self, text: str) -> int:
        answer = await self._tokenized(text.removeprefix(self._bos), add_special_tokens=True)
        return len(answer["tokens"])

    async def _spelled(self, text: str, **options: object) -> list[str]:
        """The tokens of a text in the words of their vocabulary, or each decoded by itself."""
        answer = await self._tokenized(text, return_token_strs=True, **options)
        with translated(), understood("tokenize"):
            if answer.get("token_strs") is None and answer["tokens"]:
                answer = await self._http.post(
                    "detokenize",
                    {
                        "model": self._served,
                        "tokens": [[each] for each in answer["tokens"]],
                        "skip_special_tokens": False,
                    },
                )
                return [str(each) for each in answer["text"]]
            return [str(each) for each in answer.get("token_strs") or ()]

    async def _tokenized(self, text: str, **options: object) -> dict[str, Any]:
        body = {"model": self._served, "prompt": text, **options}
        answer = await self._http.post("tokenize", body)
        with translated(), understood("tokenize"):
            if not isinstance(answer["tokens"], list):
                raise TypeError("its tokens are no list")
            return dict(answer)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Errors leave as the playground's; after one the state may be another."""
        try:
            with translated():
                yield
        except EngineError as error:
            self._holds_until = 0.0
            raise self._readiness.doubt(error) from error.__cause__


def root(url: str) -> str:
    """An address without the /v1 at its end, under which some know it."""
    return url.rstrip("/").removesuffix("/v1")
