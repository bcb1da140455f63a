"""An answer made of several of the engine's streams, each behind what was accepted before.

A stream begins behind a text. What tokens the engine reads it as is asked at the same time, and
nothing of the stream is taken before that is known. Where it reads others than were accepted, the
answer goes on behind those, and `Emulation.reread` counts it. Inside a character no text ends:
there the engine is asked anew before the character, until it writes its same beginning again.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from hashlib import blake2b
from random import Random
from typing import Final

from playground.domain.messages import Emulation, Notice
from playground.engines.base import (
    Candidate,
    Chunk,
    EngineInfo,
    Finish,
    GenerationRequest,
    Step,
    SteppedEngine,
)
from playground.engines.streams import closing
from playground.generation.bridge.plan import EmulationPolicy, Plan

# A stream of a longer answer is left at the first place that reads back as it was written, from so
# many tokens before its end on; one that does not is tried again so many later.
_SEAM: Final = 64
_NEXT_TRY: Final = 8
# So many tokens more count as written, so that chance gives up no answer at its beginning.
_SPARED: Final = 20
_STUCK: Final = 200
# What the engine must write by itself is waited for where it comes once in so many times at least,
# and so many times longer than that takes on average.
_RAREST: Final = 1 / 16
_PATIENCE: Final = 4

_GIVEN_UP: Final = (
    "After {tokens} tokens the engine's own sampling writes the rest of this answer: {why}, so "
    "{parameters} could no longer be emulated."
)


class Bridge:
    """One answer, written once.

    Args:
        plan: A bridged one.
        prompt_tokens: As the engine counts them, BOS included.
        telling: Whether `told` is kept.
    """

    def __init__(
        self,
        engine: SteppedEngine,
        info: EngineInfo,
        plan: Plan,
        prompt_tokens: int,
        policy: EmulationPolicy,
        *,
        telling: bool = False,
    ) -> None:
        self._engine, self._info, self._plan, self._policy = engine, info, plan, policy
        self._prompt_tokens = prompt_tokens
        self._target = plan.target
        self._sampler = plan.request.sampler
        self._draw = Random(f"{plan.request.seed}, accepting")
        self._text = ""  # of what was accepted, in whole characters
        self._inside: list[Step] = []  # accepted, behind that text
        self._counts: Counter[int] = Counter()
        self._ids: list[int] = []
        self._context: list[int] | None = None  # tokens of the prompt and the text, as last read
        self._since: list[int] = []  # those accepted behind them
        self._telling, self._place = telling, dict[int, float]()
        self._told: list[dict[int, float]] = []
        self._streams = 0
        self._here = 0  # streams since something was accepted
        self._word: Candidate | None = None  # is to come next
        self._guesses: list[str] = []  # of its text
        self._expected: list[int] = []  # the engine is to write these by itself
        self._patience = 0
        self._try_at = 0
        self._unjudged = False  # the next token is taken as it comes
        self._narrow = plan.narrow  # of the stream under way
        self._wide = False  # the next stream is to draw from all tokens
        self._texts: dict[int, str] = {}  # of tokens, as they came
        self._error = self._waited = 0.0
        self._restarts = self._proposed = self._accepted = self._reread = 0
        self._given_up_at: int | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens that were accepted so far."""
        return tuple(self._ids)

    @property
    def told(self) -> tuple[dict[int, float], ...]:
        """At each token the log-probabilities that were asked for, of the likeliest ones."""
        return tuple(self._told)

    @property
    def emulation(self) -> Emulation | None:
        """What it has taken so far, ``None`` where nothing was to be emulated."""
        if self._plan.target is None:
            return None
        judged = len(self._ids) if self._given_up_at is None else self._given_up_at
        return Emulation(
            tuple(self._plan.emulated),
            self._restarts,
            self._proposed,
            self._accepted,
            min(1.0, self._error / max(1, judged)),
            self._reread,
            1000 * self._waited,
            self._given_up_at,
        )

    async def write(self) -> AsyncGenerator[Chunk | Notice | Finish, None]:
        """The answer; its end says how many tokens it has in all."""
        ended = False
        while not ended:
            if self._plan.max_new_tokens <= len(self._ids):
                yield self._finish("length")
                return
            guess = self._guess()
            if self._word is not None and self._word.special:
                # The token that ends an answer, or one like it, which has no text to go on behind.
                self._accept(self._word.id)
                yield Chunk("", 1 + len(self._inside))
                yield self._finish("eos_token")
                return
            ended = True
            async with closing(self._stream(guess)) as items:
                async for item in items:
                    if item is None:
                        ended = False
                        break
                    yield item

    async def _stream(
        self, guess: str | None
    ) -> AsyncGenerator[Chunk | Notice | Finish | None, None]:
        """One of the engine's streams, as far as it is taken; ``None`` asks for the next one."""
        began, taken = time.monotonic(), 0
        again = self._streams > 0
        request = self._next(guess)
        check = asyncio.create_task(self._check(guess)) if self._unread(guess) else None
        try:
            if request.max_new_tokens < 1:  # the word that is to come is the last one
                assert check is not None
                if await check:
                    yield self._take_word(guess)
                    yield self._finish("length")
                else:
                    yield None
                return
            async with closing(self._engine.steps(request)) as stream:
                async for batch in stream:
                    if again:
                        self._waited += time.monotonic() - began
                        again = False
                    if check is not None:
                        right, check = await check, None
                        if guess is not None:
                            if not right:
                                yield None
                                return
                            yield self._take_word(guess)
                    if isinstance(batch, Finish):
                        # One that gives less than it was asked for has no more to give.
                        whole = taken >= request.max_new_tokens
                        more = whole and len(self._ids) < self._plan.max_new_tokens
                        if batch.reason == "length" and more and self._restartable:
                            self._drop_inside()
                            yield None
                            return
                        if self._inside:
                            yield Chunk("", len(self._inside))
                        yield self._finish(batch.reason)
                        return
                    for step in batch:
                        accepted, notice = self._judge(step)
                        if notice is not None:
                            yield notice
                        if not accepted:
                            yield None
                            return
                        taken += 1
                        if chunk := self._take(step):
                            yield chunk
                        # At a token, not at a batch: where it is left must not hang on the time.
                        if await self._at_seam(request, taken):
                            yield None
                            return
        finally:
            if check is not None:
                check.cancel()
                await asyncio.wait([check])

    def _guess(self) -> str | None:
        """The text by which the token that is to come is tried next, ``None`` where it is not."""
        word = self._word
        if word is None or word.special or self._expected:
            return None
        if self._guesses and not self._inside:
            return self._guesses.pop(0)
        self._expect(word.id, math.exp(word.logprob))
        return None

    def _expect(self, token: int | None, likely: float) -> None:
        """Have the engine write what is inside a character again, and this token behind it."""
        self._word = None
        if self._target is not None and self._target.temperature == 0:
            likely = 0.0  # it would write the same again for ever
        for step in self._inside:
            likely *= math.exp(step.logprob)
        expected = [step.id for step in self._inside] + ([] if token is None else [token])
        self._drop_inside()
        if likely < _RAREST:
            self._error += 1
            self._unjudged = True
        else:
            self._expected = expected
            self._patience = math.ceil(_PATIENCE / likely)

    def _next(self, guess: str | None) -> GenerationRequest:
        """The next request: as many tokens as are left, and a seed that was not used yet."""
        plan, written = self._plan, len(self._ids) + (guess is not None)
        left = plan.max_new_tokens - written
        room = self._info.max_total_tokens - self._length - (guess is not None)
        seed = plan.request.seed
        if self._streams:
            digest = blake2b(f"{seed}, stream {self._streams}".encode(), digest_size=4).digest()
            seed = int.from_bytes(digest)
            self._restarts += 1
        self._streams += 1
        self._here += 1
        wide = plan.wide if self._wide and self._target else None
        self._narrow = 0 if wide or self._target is None else plan.narrow
        return replace(
            plan.request,
            prompt=plan.request.prompt + self._text + (guess or ""),
            sampler=wide or self._sampler,
            max_new_tokens=min(left, max(room, 1), self._info.longest_request or left),
            seed=seed,
            likeliest=plan.request.likeliest if self._target else 0,
        )

    @property
    def _length(self) -> int:
        """Tokens of prompt and answer."""
        read = self._prompt_tokens if self._context is None else len(self._context)
        return read + len(self._since) + len(self._inside)

    @property
    def _restartable(self) -> bool:
        return self._length < min(self._info.max_input_tokens, self._info.max_total_tokens - 1)

    def _unread(self, guess: str | None) -> bool:
        """Whether it must be asked as what tokens the engine reads the text."""
        return bool(self._streams > 1 and (self._since or guess is not None))

    async def _check(self, guess: str | None) -> bool:
        """Whether the text reads back as it was written, and the guess as the token meant.

        What it reads as is where the answer goes on from, either way.
        """
        prompt, text = self._plan.request.prompt, self._text
        asked = [prompt + text] + ([] if guess is None else [prompt + text + guess])
        if self._context is None:
            asked.append(prompt)
        read = await asyncio.gather(*[self._engine.tokens(each) for each in asked])
        ids = [[piece.id for piece in pieces] for pieces in read]
        before = ids[-1] if self._context is None else self._context
        whole = ids[0]
        if whole != before + self._since:
            self._reread += 1
        self._context, self._since = whole, []
        return guess is None or (self._word is not None and ids[1] == [*whole, self._word.id])

    async def _at_seam(self, request: GenerationRequest, taken: int) -> bool:
        """Whether the engine is left here, as its stream will not hold the rest of the answer."""
        longest = self._info.longest_request
        more = len(self._ids) - taken + request.max_new_tokens < self._plan.max_new_tokens
        begin = request.max_new_tokens - _SEAM
        if not more or longest is None or taken < begin or self._inside or not self._restartable:
            return False
        if taken < self._try_at:
            return False
        prompt = self._plan.request.prompt
        pieces = await self._engine.tokens(prompt + self._text)
        if self._context is None:
            self._context = [piece.id for piece in await self._engine.tokens(prompt)]
        ids = [piece.id for piece in pieces]
        if ids != self._context + self._since:
            self._try_at = taken + _NEXT_TRY
            return False
        self._context, self._since, self._try_at = ids, [], 0
        return True

    def _judge(self, step: Step) -> tuple[bool, Notice | None]:
        """Whether a token is taken; where it is not, what comes next is made ready."""
        if self._expected:
            if step.id == self._expected[len(self._inside)]:
                if len(self._inside) + 1 == len(self._expected):
                    self._expected = []
                return True, None
            self._drop_inside()
            self._patience -= 1
            if self._patience <= 0:
                self._expected = []
                self._error += 1
            return False, None
        if self._unjudged or self._target is None:
            self._unjudged = False
            return True, None
        if self._telling:
            self._place = self._target.log_probabilities(step, self._counts)
        verdict = self._target.judge(step, self._counts, self._draw, self._narrow)
        self._proposed += 1
        if verdict.way == "accept":
            self._accepted += 1
            self._error += verdict.error
            return True, None
        if why := self._hopeless():
            return self._give_up(why)
        # Inside a character the next stream is to write again what this one could.
        kept = bool(self._inside) and not self._narrow
        self._wide = kept or (verdict.wide and verdict.token is None)
        if self._inside:
            word = verdict.token
            likely = 1.0 if word is None else math.exp(word.logprob)
            if likely * math.exp(sum(each.logprob for each in self._inside)) < _RAREST:
                self._error += verdict.kept_error
                return True, None
            self._expect(None if word is None else word.id, likely)
            return False, None
        if verdict.token is not None:
            self._error += verdict.error
            self._word = verdict.token
            self._guesses = self._ways(verdict.token)
        return False, None

    def _hopeless(self) -> str:
        """Why this answer cannot be emulated any longer, "" where it can."""
        if not self._restartable:
            return "its text has become longer than a prompt may be"
        written = len(self._ids)
        often = self._restarts > self._policy.restarts * (written + _SPARED)
        if often or self._here >= _STUCK:
            return f"{self._restarts} of them had to be asked for anew"
        return ""

    def _give_up(self, why: str) -> tuple[bool, Notice]:
        self._given_up_at = len(self._ids)
        self._target = None
        parameters = " and ".join(self._plan.emulated)
        notice = Notice(_GIVEN_UP.format(tokens=self._given_up_at, why=why, parameters=parameters))
        if (self._plan.held_back or self._plan.narrow) and self._restartable:
            self._sampler = self._plan.native
            self._drop_inside()
            return False, notice
        return True, notice

    def _ways(self, word: Candidate) -> list[str]:
        """What the token's text may be, the likeliest first; each is checked."""
        alone = [] if "\ufffd" in word.text else [word.text, f" {word.text}"]
        known = [self._texts[word.id]] if word.id in self._texts else []
        return [each for each in dict.fromkeys((*known, *alone)) if each]

    def _take(self, step: Step) -> Chunk | None:
        """A token becomes part of the answer; its text, where a character is complete with it."""
        self._accept(step.id)
        if not step.text:
            self._inside.append(step)
            return None
        if not self._inside:
            self._texts[step.id] = step.text
        tokens = len(self._inside) + 1
        self._since += [each.id for each in self._inside] + [step.id]
        self._inside = []
        self._text += step.text
        return Chunk(step.text, tokens)

    def _accept(self, token: int) -> None:
        self._ids.append(token)
        self._counts[token] += 1
        self._here = 0
        if self._telling:
            self._told.append(self._place)

    def _take_word(self, text: str | None) -> Chunk:
        """The token that was to come is there, by its text."""
        word, self._word, self._guesses = self._word, None, []
        assert word is not None
        assert text is not None
        assert self._context is not None
        self._accept(word.id)
        self._context.append(word.id)
        self._text += text
        self._texts[word.id] = text
        return Chunk(text)

    def _drop_inside(self) -> None:
        """Take back what was accepted of a character that is not complete."""
        for step in self._inside:
            self._ids.pop()
            del self._told[len(self._ids) :]
            self._counts[step.id] -= 1
            if not self._counts[step.id]:
                del self._counts[step.id]
        self._inside = []

    def _finish(self, reason: str) -> Finish:
        return Finish(reason, len(self._ids), self._prompt_tokens, self._plan.request.seed)
