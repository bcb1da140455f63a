"""llama.cpp's server as an engine, by its own /completion: our samplers in its words, its slots.

Its defaults are not neutral, and some can be changed where it is started. So everything is sent,
what is unset with its neutral value.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self

import anyio

from playground.domain.errors import EngineError
from playground.domain.prompt_formats import PromptFormat
from playground.engines import llamacpp_answers as answers
from playground.engines.base import (
    Chunk,
    EngineAddress,
    EngineInfo,
    EngineState,
    Finish,
    GenerationRequest,
    Written,
)
from playground.engines.http import EngineHTTP, translated
from playground.engines.readiness import LOADING_S, PROBE_S, Readiness
from playground.engines.streams import closing
from playground.engines.tokens import Allowance, Counts
from playground.formats.llamacpp import name_values

# That of the project's table; llama.cpp's own has the temperature last.
_ORDER: Final = ("penalties", "temperature", "top_k", "top_p", "min_p")

# A penalty's window, in tokens, where the context's size is not known yet.
_WINDOW: Final = 100_000
# While it reads a long prompt it says that it is there; without these it would be silent.
_PING_S: Final = 10


class LlamaCppEngine:
    """A llama.cpp server.

    It takes more requests than it has slots, but notices late that one of those has left. So no
    more are sent at a time than it has slots, and the others wait here, who came first is first.

    Args:
        prompt_format: ``None`` where the model decides.
        quantisation: As its operator says it; it counts where the server does not tell.
        starting: While it gives a state, that is the engine's: of one that starts the server, say.
        read_timeout: Longest silence of an answer in seconds.
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
        starting: Callable[[], EngineState | None] | None = None,
        read_timeout: float = 60.0,
        probe_timeout: float = PROBE_S,
        loading_for: float = LOADING_S,
    ) -> None:
        # Connections that carried a stream are closed by the server, which says that they are not.
        self._http = EngineHTTP(
            url,
            api_key=api_key,
            read_timeout=read_timeout,
            refusal=answers.refusal,
            close_streams=True,
        )
        self._format = prompt_format
        self._quantisation = quantisation
        self._starting = starting
        self._counts = Counts(self._count)
        self._readiness = Readiness(
            url,
            self._ask,
            self._counts.clear,
            starting="llama.cpp is still starting.",
            probe_timeout=probe_timeout,
            loading_for=loading_for,
        )
        self._slots = anyio.CapacityLimiter(1)
        self._said: dict[str, object] = {}  # of itself, when it was asked for all of it
        self._bos = ""  # where the server puts it in front of a text, and it has words

    @classmethod
    def at(
        cls,
        address: EngineAddress,
        *,
        starting: Callable[[], EngineState | None] | None = None,
        loading_for: float = LOADING_S,
    ) -> Self:
        """The engine of an address, not asked yet."""
        return cls(
            address.url,
            api_key=address.api_key,
            prompt_format=address.prompt_format,
            quantisation=address.quantisation,
            starting=starting,
            loading_for=loading_for,
        )

    @property
    def waiting(self) -> int:
        """Answers that wait for a slot."""
        return self._slots.statistics().tasks_waiting

    async def state(self) -> EngineState:
        """The state, at most a second old."""
        if self._starting is not None and (state := self._starting()) is not None:
            return state
        return await self._readiness.state()

    async def count_tokens(self, text: str) -> int:
        """The tokens of a text, with the BOS that the server adds to a prompt."""
        return await self._counts.of(text)

    async def pieces(self, text: str) -> list[str]:
        """The text cut where its tokens begin; a character of several tokens stays whole."""
        with self._noted():
            tokens = await self._tokenized(text, add_special=False, with_pieces=True)
            return answers.pieces(text, tokens)

    def parameters(self, request: GenerationRequest) -> dict[str, object]:
        """What is sent as parameters: `name_values`, and what else llama.cpp has to be told."""
        info = self._readiness.info
        return {
            **name_values(request.sampler),
            "repeat_last_n": info.max_total_tokens if info else _WINDOW,
            "samplers": list(_ORDER),
            "mirostat": 0,
            "dynatemp_range": 0.0,
            "n_predict": request.max_new_tokens,
            "seed": request.seed % answers.SEEDS,
            "stop": [sequence for sequence in request.stop if sequence],
            # The same seed gives another answer where a part of the prompt was read before.
            "cache_prompt": False,
        }

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk | Finish, None]:
        """The generation, once there is a slot for it."""
        async with self._slot():
            parameters = self.parameters(request)
            with self._noted():
                batches = self._http.stream(
                    "completion",
                    {
                        "prompt": self._without_bos(request.prompt),
                        **parameters,
                        "stream": True,
                        "return_progress": True,  # its first event comes before the prompt is read
                        "sse_ping_interval": _PING_S,
                    },
                    answers.event,
                    lambda event: event.finish is not None,
                )
                tokens = 0
                allowance = Allowance(request.max_new_tokens)
                async with closing(batches):
                    async for batch in batches:
                        text = "".join([event.text for event in batch])
                        last = batch[-1]
                        allowance.taken(text, len(batch))
                        if text or last.tokens > tokens:
                            yield Chunk(text, max(0, last.tokens - tokens))
                        tokens = max(tokens, last.tokens)
                        if last.finish is not None:
                            yield last.finish

    async def write(
        self,
        request: GenerationRequest,
        *,
        likeliest: int = 0,
        extra: Mapping[str, object] | None = None,
    ) -> Written:
        """A whole answer with its tokens; of what it draws from, the probabilities at the end."""
        prompt = self._without_bos(request.prompt)
        probabilities = {"n_probs": likeliest, "post_sampling_probs": True} if likeliest else {}
        async with self._slot():
            parameters = self.parameters(request)
            with self._noted():
                read = await self._tokenized(prompt, add_special=True)
                answer = await self._http.post(
                    "completion",
                    {
                        "prompt": prompt,
                        **parameters,
                        **probabilities,
                        **(extra or {}),
                        "stream": False,
                        "return_tokens": True,
                    },
                )
                with answers.understood("completion"):
                    return answers.written(answer, read)

    async def aclose(self) -> None:
        """Close all connections."""
        self._readiness.close()
        await self._http.aclose()

    async def _ask(self) -> EngineInfo:
        """What the server says of itself."""
        props = await self._http.get("props")
        known = self._readiness.info
        with translated(), answers.understood("props"):
            said = answers.told(props)
        if known is None or said != self._said:
            models = await self._http.get("v1/models")
            with translated(), answers.understood("props"):
                known = answers.info(props, models, self._format, self._quantisation)
            self._bos = await self._added(str(props.get("bos_token") or ""))
            self._said = said
        assert known.slots is not None
        self._slots.total_tokens = known.slots
        return known

    async def _added(self, bos: str) -> str:
        """The BOS, "" where the server does not put it in front of a text."""
        with_it = await self._tokenized("a", add_special=True)
        without = await self._tokenized("a", add_special=False)
        return bos if len(with_it) > len(without) else ""

    def _without_bos(self, prompt: str) -> str:
        """A prompt as it is sent.

        Some formats begin with what is the model's BOS as well; where the server adds that, there
        would be two.
        """
        return prompt.removeprefix(self._bos)

    async def _count(self, text: str) -> int:
        with self._noted():
            return len(await self._tokenized(self._without_bos(text), add_special=True))

    async def _tokenized(
        self, text: str, *, add_special: bool, with_pieces: bool = False
    ) -> Sequence[Any]:
        """The tokens of a text, as a prompt is read."""
        answer = await self._http.post(
            "tokenize",
            {
                "content": text,
                "add_special": add_special,
                "parse_special": True,
                "with_pieces": with_pieces,
            },
        )
        with translated(), answers.understood("tokenize"):
            tokens = answer["tokens"]
            if not isinstance(tokens, list):
                raise TypeError("its tokens are no list")
            return tokens

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """A place among as many as the server has slots."""
        if self._readiness.info is None:
            await self._readiness.state()
        turn = object()
        await self._slots.acquire_on_behalf_of(turn)
        try:
            yield
        finally:
            self._slots.release_on_behalf_of(turn)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Errors leave as the playground's, and the state is asked anew where it may be another."""
        try:
            with translated():
                yield
        except EngineError as error:
            self._readiness.doubt(error)
            raise
