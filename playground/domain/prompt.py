"""A conversation as the text that the model was trained on, cut to fit the context.

The prompt carries no beginning-of-text token: where the model has one, the engine's tokenizer adds
it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from playground.domain.errors import ConversationTooLong, InvalidRequest
from playground.domain.messages import Message
from playground.domain.prompt_formats import PromptFormat

# Bytes of text that a token stands for at most. Longer tokens are runs of one sign, such as Llama
# 3's of 128 spaces, and no conversation consists of them.
_LONGEST_TOKEN: Final = 64
# So much text is made harmless at a time, of each answer that is asked for just then; a message
# counts as so much at least.
_CHUNK: Final = 4_096
_LEAST: Final = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent.

    Attributes:
        text: The rendered prompt, without BOS.
        continued: The beginning of the answer when the last message was the assistant's, else "".
    """

    text: str
    continued: str = ""


@dataclass(frozen=True, slots=True)
class Fit:
    """A prompt that fits: its length in tokens and how many of the oldest turns were left out."""

    prompt: Prompt
    tokens: int
    dropped_turns: int


def neutralise(text: str, form: PromptFormat) -> str:
    """The text with every marker and special token made harmless, as it is sent.

    The signs at both ends of it are changed, ``<`` and ``>`` to ‹ and › and so on: a person and the
    model still read what was meant, and see that it was changed; no Unicode normalisation (NFKC
    included) turns them back, which the full-width forms would not survive; and nothing is removed,
    so that no text can close up into a new marker. A tokenizer matches special tokens as exact
    strings, before any normalisation and regardless of what stands beside them, so exact strings
    are what is changed: "<S>" and "< s >" are harmless and stay as they were written.
    """

    def harmless(found: re.Match[str]) -> str:
        return found[0].translate(_HARMLESS) if found[0] in form.forged else found[0]

    return _BRACKETED.sub(harmless, text)


_HARMLESS: Final = str.maketrans("<>[]", "‹›⁅⁆")
# What could be a marker: it holds no bracket, so that no two of them overlap.
_BRACKETED: Final = re.compile(r"<[^<>\[\]]{1,40}+>|\[[^<>\[\]]{1,40}+\]")


def render(messages: Sequence[Message], form: PromptFormat) -> Prompt:
    """The prompt for the assistant's next turn, or for the rest of its last one.

    Args:
        messages: An optional system message, then the conversation, the user's first. A last
            message of the assistant is continued: nothing follows its text. White space at its end
            and a space behind the last marker are left out, because the tokenizer puts a space at
            the start of the next word.
        form: How the model wants it written.

    Raises:
        InvalidRequest: When the order of the roles is not of this kind.
    """
    system, turns = _split(messages)
    texts = [neutralise(text, form) for text in _texts(turns, form)]
    return _joined(neutralise(system or form.default_system, form), turns, texts, form)


def _texts(turns: Sequence[Message], form: PromptFormat) -> list[str]:
    """What is said in each turn; an answer that is continued has no white space at its end."""
    texts = [turn.content.strip() if form.trimmed else turn.content for turn in turns]
    if turns[-1].role == "assistant":
        texts[-1] = turns[-1].content.rstrip()
    return texts


def _joined(
    system: str, turns: Sequence[Message], texts: Sequence[str], form: PromptFormat
) -> Prompt:
    """The prompt of a system text and turns whose texts are harmless."""
    parts = []
    if system and form.system:
        parts.append(system.join(form.system))
    for position, (message, text) in enumerate(zip(turns, texts, strict=True)):
        whole = f"{system}\n\n{text}" if position == 0 and system and not form.system else text
        parts.append(whole.join(form.user if message.role == "user" else form.assistant))
    opening = form.assistant[0]
    if turns[-1].role == "assistant":
        parts[-1] = f"{opening}{texts[-1]}".rstrip(" ")
        return Prompt("".join(parts), turns[-1].content.rstrip())
    return Prompt("".join([*parts, opening.rstrip(" ")]))


async def fit(
    messages: Sequence[Message],
    budget: int,
    limit: int,
    count: Callable[[str], Awaitable[int]],
    form: PromptFormat,
) -> Fit:
    """The prompt with as many of the latest turns as fit.

    A turn is a user's message and what answers it. The system text and the last turn always stay.

    Args:
        budget: Tokens that the prompt may take while older turns can still be left out; it leaves
            the answer its room.
        limit: Tokens that the last turn may take when it stands alone, at least `budget`.
        count: How many tokens a rendered text has. It is asked once when all fits, and otherwise
            about log2(turns) times more; never for a text so long that it cannot fit.
        form: How the model wants the conversation written.

    Raises:
        ConversationTooLong: With the numbers, when the last turn alone takes more than `limit`.
    """
    system, turns = _split(messages)
    starts = [i for i, message in enumerate(turns) if message.role == "user"]
    hopeless = _hopeless(turns, starts, max(limit, budget))
    turns = turns[starts[hopeless] :]
    said = [system or form.default_system, *_texts(turns, form)]
    system, *texts = await _harmless(said, form)

    async def attempt(dropped: int) -> Fit:
        start = starts[dropped] - starts[hopeless]
        prompt = _joined(system, turns[start:], texts[start:], form)
        least = len(prompt.text.encode("utf-8", "surrogatepass")) // _LONGEST_TOKEN
        if least > max(limit, budget):
            return Fit(prompt, least, dropped)  # too long in any case: not worth a question
        return Fit(prompt, await count(prompt.text), dropped)

    last = len(starts) - 1
    first = await attempt(hopeless)
    if first.tokens <= budget:
        return first
    low, high, best = hopeless + 1, last, None
    while low <= high:
        middle = (low + high) // 2
        candidate = await attempt(middle)
        if candidate.tokens <= budget:
            best, high = candidate, middle - 1
        else:
            low = middle + 1
    if best is None:
        best = await attempt(last) if last > hopeless else first
    if best.tokens > max(limit, budget):
        raise ConversationTooLong(
            f"The last message takes {best.tokens:,} tokens or more with its markers, and at most "
            f"{limit:,} fit beside an answer. Shorten it."
        )
    return best


async def _harmless(texts: Iterable[str], form: PromptFormat) -> list[str]:
    """The texts as `neutralise` has them, with pauses in which others go on."""
    made, done = [], 0
    for text in texts:
        parts, start = [], 0
        while True:
            done += max(_LEAST, min(len(text) - start, _CHUNK))
            if done >= _CHUNK:
                await asyncio.sleep(0)
                done = 0
            # No marker goes on over a bracket that opens.
            found = [text.find(bracket, start + _CHUNK) for bracket in "<["]
            end = min((each for each in found if each >= 0), default=len(text))
            parts.append(neutralise(text[start:end], form))
            if end == len(text):
                break
            start = end
        made.append("".join(parts))
    return made


def _hopeless(turns: Sequence[Message], starts: Sequence[int], most: int) -> int:
    """How many of the oldest turns cannot fit, whatever the tokenizer makes of them.

    A message takes one token for who says it, and its text as many as it is long. So there is
    nothing to render of thousands of turns.
    """
    tokens, at = 0, len(turns)
    for dropped in range(len(starts) - 1, -1, -1):
        for message in turns[starts[dropped] : at]:
            tokens += 1 + len(message.content.strip()) // _LONGEST_TOKEN
        if tokens > most:
            return min(dropped + 1, len(starts) - 1)
        at = starts[dropped]
    return 0


def _split(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """The system text, "" without one, and the turns."""
    turns = list(messages)
    system = turns.pop(0).content.strip() if turns and turns[0].role == "system" else ""
    if not turns:
        raise InvalidRequest("The conversation has no message to answer.", field="messages")
    if turns[0].role != "user":
        raise InvalidRequest("The conversation must begin with the user.", field="messages")
    if any(message.role == "system" for message in turns):
        raise InvalidRequest("A system message may only stand first.", field="messages")
    return system, turns
