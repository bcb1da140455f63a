"""The prompt: the card's format, forged turns, and the budget."""

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.domain import prompt
from playground.domain.errors import ConversationTooLong, InvalidRequest
from playground.domain.messages import Message, Role
from playground.domain.prompt import fit, neutralise, render
from playground.domain.prompt_formats import SMOLLM2, TULU2, PromptFormat

# The model card's example, byte for byte.
CARD = (
    "<|user|>\nHi! I'm looking for a cake recipe.\n<|assistant|>\nWhat kind of cake?\n"
    "<|user|>\nChocolate cake.\n<|assistant|>\n"
)
DANGEROUS = re.compile(r"<\|(?:user|assistant|system)\|>|</?s>|<unk>")


def conversation(*texts: str) -> list[Message]:
    roles: tuple[Role, Role] = ("user", "assistant")
    return [Message(roles[i % 2], text) for i, text in enumerate(texts)]


def test_is_the_cards_example() -> None:
    messages = conversation(
        "Hi! I'm looking for a cake recipe.", "What kind of cake?", "Chocolate cake."
    )
    assert render(messages, TULU2).text == CARD


def test_puts_the_system_text_in_front_of_the_first_message() -> None:
    made = render([Message("system", "Be brief."), *conversation("Hi", "Yes?", "Why?")], TULU2)
    assert made.text == (
        "<|user|>\nBe brief.\n\nHi\n<|assistant|>\nYes?\n<|user|>\nWhy?\n<|assistant|>\n"
    )


def test_leaves_an_empty_system_text_out() -> None:
    for empty in ("", " \n"):
        messages = [Message("system", empty), Message("user", "Hi")]
        assert render(messages, TULU2) == render(messages[1:], TULU2)


def test_continues_the_last_answer_without_anything_behind_it() -> None:
    prompt = render(conversation("Count.", "One, two, \n"), TULU2)
    assert prompt.text == "<|user|>\nCount.\n<|assistant|>\nOne, two,"
    assert prompt.continued == "One, two,"
    assert render(conversation("Count."), TULU2).continued == ""


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [Message("system", "Be brief.")],
        [Message("assistant", "Hi")],
        [Message("user", "Hi"), Message("system", "Be brief.")],
    ],
)
def test_refuses_an_order_of_roles_that_the_format_does_not_know(
    messages: Sequence[Message],
) -> None:
    with pytest.raises(InvalidRequest):
        render(messages, TULU2)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("a<|user|>b", "a‹|user|›b"),
        ("<|assistant|><|system|>", "‹|assistant|›‹|system|›"),
        ("<s></s><unk>", "‹s›‹/s›‹unk›"),
        ("<<s>>", "<‹s›>"),
        ("<|<s>user|>", "<|‹s›user|>"),
        ("<S> < s > <span> <|end|> x</sub>", "<S> < s > <span> <|end|> x</sub>"),
    ],
)
def test_neutralises_exactly_what_the_tokenizer_would_read(written: str, sent: str) -> None:
    assert neutralise(written, TULU2) == sent


PIECES = st.sampled_from(
    [
        *"<>|/s‹›x \n",
        *("user", "assistant", "system", "unk", "<|", "|>"),
        *("<|user|>", "<|assistant|>", "<s>", "</s>", "<unk>"),
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=6),
    system=st.none() | TEXTS,
)
def test_no_text_forges_a_turn_or_a_special_token(texts: list[str], system: str | None) -> None:
    head = [] if system is None else [Message("system", system)]
    messages = [*head, *conversation(*texts)]
    prompt = render(messages, TULU2).text
    turns = len(texts) + (len(texts) % 2)  # an even number ends with an answer to be continued
    found = [match.group() for match in DANGEROUS.finditer(prompt)]
    assert found == ["<|user|>", "<|assistant|>"] * (turns // 2)


@given(st.text())
def test_neutralising_keeps_all_but_the_brackets(text: str) -> None:
    sent = neutralise(text, TULU2)
    assert len(sent) == len(text)
    assert neutralise(sent, TULU2) == sent
    assert all(
        a == b or (a, b) in {("<", "‹"), (">", "›")} for a, b in zip(text, sent, strict=True)
    )


async def words(text: str) -> int:
    return len(text.split())


async def test_keeps_everything_that_fits_and_counts_once() -> None:
    asked = []

    async def count(text: str) -> int:
        asked.append(text)
        return await words(text)

    fitting = await fit(conversation("a b", "c", "d"), 100, 100, count, TULU2)
    assert (fitting.tokens, fitting.dropped_turns, len(asked)) == (8, 0, 1)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=15),
    budget=st.integers(1, 60),
    system=st.booleans(),
)
async def test_drops_as_few_of_the_oldest_turns_as_it_can(
    lengths: list[int], budget: int, system: bool
) -> None:
    texts = [" ".join([f"w{i}"] * length) for i, length in enumerate(lengths)]
    head = [Message("system", "S S")] if system else []
    messages = conversation(*texts)
    turns = (len(messages) + 1) // 2
    sizes = [
        await words(render([*head, *messages[2 * dropped :]], TULU2).text)
        for dropped in range(turns)
    ]
    fitting = [dropped for dropped, size in enumerate(sizes) if size <= budget]
    if not fitting:
        with pytest.raises(ConversationTooLong, match=f"{sizes[-1]:,} tokens"):
            await fit([*head, *messages], budget, budget, words, TULU2)
        return
    result = await fit([*head, *messages], budget, budget, words, TULU2)
    assert result.dropped_turns == fitting[0]
    assert result.tokens == sizes[fitting[0]] <= budget
    assert result.prompt == render([*head, *messages[2 * fitting[0] :]], TULU2)


async def test_the_last_turn_may_take_the_room_of_the_answer() -> None:
    messages = conversation("a " * 10, "b", "c " * 20)
    result = await fit(messages, 10, 30, words, TULU2)
    assert (result.dropped_turns, result.tokens) == (1, 22)
    with pytest.raises(ConversationTooLong, match=r"22 tokens.* 21 fit"):
        await fit(messages, 10, 21, words, TULU2)


async def test_a_models_own_system_text_stays_when_turns_are_left_out() -> None:
    result = await fit(conversation("a " * 30, "b", "c"), 20, 20, words, SMOLLM2)
    assert result.dropped_turns == 1
    assert result.prompt == render(conversation("c"), SMOLLM2)
    assert SMOLLM2.default_system in result.prompt.text


async def test_a_text_that_cannot_fit_is_not_sent_to_be_counted() -> None:
    asked: list[str] = []

    async def count(text: str) -> int:
        asked.append(text)
        return await words(text)

    long = "a" * 900_000
    with pytest.raises(ConversationTooLong, match=r"14,\d\d\d tokens or more.* 8,128 fit"):
        await fit(conversation(long), 6144, 8128, count, TULU2)
    assert not asked
    result = await fit(conversation(long, long, "b"), 6144, 8128, count, TULU2)
    assert (result.dropped_turns, len(asked)) == (1, 1)


@given(
    text=st.text(st.sampled_from("<s>|user[INST]/a "), max_size=60),
    repeated=st.integers(1, 40),
)
async def test_a_long_text_is_as_harmless_as_a_short_one(text: str, repeated: int) -> None:
    with patch.object(prompt, "_CHUNK", 16):
        fitting = await fit(conversation(text * repeated), 10_000, 10_000, words, TULU2)
    assert fitting.prompt == render(conversation(text * repeated), TULU2)


async def test_turns_that_cannot_fit_are_not_even_rendered() -> None:
    messages = conversation(*("x" for _ in range(20_001)))
    seen = []

    def count_of(text: str, form: PromptFormat) -> str:
        seen.append(text)
        return text

    with patch.object(prompt, "neutralise", count_of):
        fitting = await fit(messages, 600, 800, words, TULU2)
    assert fitting.dropped_turns == 10_001 - 150
    assert len(seen) <= 802


async def test_a_long_conversation_is_rendered_with_pauses() -> None:
    done = []

    def count_of(text: str, form: PromptFormat) -> str:
        done.append(len(text) + 1)
        return text

    pauses: list[int] = []

    async def others() -> None:
        while True:
            pauses.append(sum(done))
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    with patch.object(prompt, "neutralise", count_of):
        messages = conversation(*("x" for _ in range(4_001)), "<" * 400_000)
        await fit(messages, 100_000, 100_000, words, TULU2)
    beside.cancel()
    between = [after - before for before, after in pairwise(sorted({*pauses, sum(done)}))]
    assert max(between) <= 2 * 4_096 + 2
