"""A conversation as the text that the model was trained on, cut to fit the context.

The prompt carries no beginning-of-text token: where the model has one, the engine's tokenizer adds
it.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from playground.domain.errors import ConversationTooLong, InvalidRequest
from playground.domain.messages import Message
from playground.domain.prompt_formats import PromptFormat

# Bytes of text that a token stands for at most. Longer tokens are runs of one sign, such as Llama
# 3's of 128 spaces, and no conversation consists of them.
_LONGEST_TOKEN: Final = 64


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
_BRACKETED: Final = re.compile(r"<[^<>\[\]]{1,40}>|\[[^<>\[\]]{1,40}\]")


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
    system = neutralise(system or form.default_system, form)
    parts = []
    if system and form.system:
        parts.append(system.join(form.system))
    for position, message in enumerate(turns):
        text = neutralise(message.content.strip() if form.trimmed else message.content, form)
        if position == 0 and system and not form.system:
            text = f"{system}\n\n{text}"
        parts.append(text.join(form.user if message.role == "user" else form.assistant))
    opening = form.assistant[0]
    if turns[-1].role == "assistant":
        continued = turns[-1].content.rstrip()
        parts[-1] = f"{opening}{neutralise(continued, form)}".rstrip(" ")
        return Prompt("".join(parts), continued)
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
    head = [Message("system", system)] if system else []
    starts = [i for i, message in enumerate(turns) if message.role == "user"]

    async def attempt(dropped: int) -> Fit:
        prompt = render([*head, *turns[starts[dropped] :]], form)
        least = len(prompt.text.encode("utf-8", "surrogatepass")) // _LONGEST_TOKEN
        if least > max(limit, budget):
            return Fit(prompt, least, dropped)  # too long in any case: not worth a question
        return Fit(prompt, await count(prompt.text), dropped)

    whole = await attempt(0)
    last = len(starts) - 1
    if whole.tokens <= budget or (last == 0 and whole.tokens <= limit):
        return whole
    low, high, best = 1, last, None
    while low <= high:
        middle = (low + high) // 2
        candidate = await attempt(middle)
        if candidate.tokens <= budget:
            best, high = candidate, middle - 1
        else:
            low = middle + 1
    if best is None:
        best = await attempt(last) if last else whole
    if best.tokens > max(limit, budget):
        raise ConversationTooLong(
            f"The last message takes {best.tokens:,} tokens or more with its markers, and at most "
            f"{limit:,} fit beside an answer. Shorten it."
        )
    return best


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
