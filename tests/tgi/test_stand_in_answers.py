"""What the stand-in writes: seeds in any company, visible samplers, whole characters."""

import asyncio
from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer, decoders, models

from tests import servers
from tests.stand_in.__main__ import MODEL
from tests.stand_in.text import Detokeniser, Text

Tokens = list[tuple[int, float]]


def turn(text: str) -> str:
    return f"<|user|>\n{text}\n<|assistant|>\n"


async def write(http: httpx.AsyncClient, inputs: str, **parameters: Any) -> Tokens:
    """The tokens of an answer with their exact logprobs."""
    body = {"inputs": inputs, "parameters": {"details": True, **parameters}}
    response = await http.post("/generate", json=body)
    assert response.status_code == 200, response.text
    return [(token["id"], token["logprob"]) for token in response.json()["details"]["tokens"]]


@pytest.fixture
async def http(stand_in_url: str) -> Any:
    async with httpx.AsyncClient(base_url=stand_in_url, timeout=60) as client:
        yield client


async def test_a_seed_repeats_its_answer_bit_for_bit_in_any_company(
    http: httpx.AsyncClient,
) -> None:
    # Prompts of 10 to 500 tokens, so that rows of several classes of room meet, and one prompt
    # that is read in two pieces. Temperature 3 keeps the answers from ending early.
    asks = [
        (turn("Tell me a story. " + "Make it long. " * (n * n)), {"seed": n, "temperature": 3.0})
        for n in range(11)
    ]
    common = {"max_new_tokens": 60}
    alone = [await write(http, inputs, **asked, **common) for inputs, asked in asks]

    async def late(place: int) -> Tokens:
        await asyncio.sleep(place * 0.01)  # joins while the others are being written
        inputs, asked = asks[place]
        return await write(http, inputs, **asked, **common)

    crowd = await asyncio.gather(*(late(place) for place in range(len(asks))))
    assert crowd == alone


async def test_a_seed_repeats_with_every_sampler(http: httpx.AsyncClient) -> None:
    asked = {
        "seed": 2**64 - 1,
        "temperature": 1.4,
        "top_p": 0.95,
        "top_k": 60,
        "typical_p": 0.98,
        "min_p": 0.01,
        "repetition_penalty": 1.1,
        "frequency_penalty": 0.4,
        "presence_penalty": 0.3,
        "max_new_tokens": 60,
    }
    inputs = turn("Tell me a story.")
    first, second = [await write(http, inputs, **asked) for _ in range(2)]
    assert first == second


async def test_without_a_seed_answers_differ_and_the_seed_is_told(http: httpx.AsyncClient) -> None:
    body = {
        "inputs": turn("Tell me a story."),
        "parameters": {"do_sample": True, "temperature": 2.0, "details": True},
    }
    answers = [(await http.post("/generate", json=body)).json() for _ in range(3)]
    seeds = [answer["details"]["seed"] for answer in answers]
    assert len(set(seeds)) == 3
    assert len({answer["generated_text"] for answer in answers}) == 3
    body["parameters"] = {**body["parameters"], "seed": seeds[0]}  # type: ignore[dict-item]
    assert (await http.post("/generate", json=body)).json() == answers[0]


async def test_what_makes_the_choice_greedy(http: httpx.AsyncClient) -> None:
    inputs = turn("Hi there!")
    greedy = await write(http, inputs, max_new_tokens=20)
    assert await write(http, inputs, max_new_tokens=20, temperature=1.0, seed=1) == greedy
    chosen = [token for token, _ in greedy]
    hot = await write(http, inputs, max_new_tokens=20, temperature=1.9, top_k=1, seed=1)
    assert [token for token, _ in hot] == chosen
    assert all(logprob == 0 for _, logprob in hot)
    edge = await write(http, inputs, max_new_tokens=20, min_p=1.0, seed=1)
    assert [token for token, _ in edge] == chosen
    drawn = {
        tuple(await write(http, inputs, max_new_tokens=20, temperature=1.9, seed=seed))
        for seed in range(5)
    }
    assert len(drawn) > 1


async def test_without_parameters_the_choice_is_drawn(http: httpx.AsyncClient) -> None:
    async def first() -> str:
        body = {"inputs": turn("Tell me a story."), "parameters": {"max_new_tokens": 1}}
        response = await http.post("/", json=body)
        return str(response.json()[0]["generated_text"])

    assert len({await first() for _ in range(5)}) == 1
    body = {"inputs": turn("Tell me a story.")}
    answers = [await http.post("/generate", json=body) for _ in range(4)]
    assert len({answer.json()["generated_text"] for answer in answers}) > 1


@pytest.mark.parametrize(
    "penalty",
    [{"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repetition_penalty": 1.8}],
)
async def test_penalties_reduce_repetition(
    http: httpx.AsyncClient, penalty: dict[str, float]
) -> None:
    async def repeated(**asked: Any) -> float:
        answers = await asyncio.gather(
            *(
                write(http, turn("Tell me a story."), max_new_tokens=80, seed=seed, **asked)
                for seed in range(8)
            )
        )
        tokens = sum(len(answer) for answer in answers)
        return 1 - sum(len({token for token, _ in answer}) for answer in answers) / tokens

    assert await repeated(temperature=0.7, **penalty) < await repeated(temperature=0.7)


async def test_openai_presence_shifts_a_logit_by_exactly_the_penalty(
    http: httpx.AsyncClient,
) -> None:
    """After one token, its odds against an unwritten one fall by exactly the penalty."""
    inputs = "a"

    async def odds(**asked: Any) -> tuple[int, dict[int, float]]:
        body = {
            "inputs": inputs,
            "parameters": {"max_new_tokens": 2, "details": True, "top_n_tokens": 5, **asked},
        }
        details = (await http.post("/generate", json=body)).json()["details"]
        first, *rest = details["tokens"]
        assert rest, "the model ended its answer after one token"
        return first["id"], {top["id"]: top["logprob"] for top in details["top_tokens"][1]}

    written, plain = await odds()
    for name, penalty in (("presence_penalty", -1.5), ("frequency_penalty", -1.5)):
        _, shifted = await odds(**{name: penalty})  # a bonus, so that the token is among the top
        others = sorted(plain.keys() & shifted.keys() - {written})
        assert len(others) >= 2
        moves = [shifted[token] - plain[token] for token in others]
        assert max(moves) - min(moves) < 1e-5
        if written in plain and written in shifted:
            rise = shifted[written] - plain[written] - moves[0]
            assert rise == pytest.approx(1.5, abs=1e-5)


@pytest.mark.parametrize("text", ["naïve café", "日本語", "🙂 fine 👩‍👩‍👧", "a\u2028b", "<s></s>"])
def test_text_is_held_back_until_a_character_is_whole(text: str) -> None:
    model = Text.load(MODEL)
    prompt = model.encode("Say it:")
    detokeniser = Detokeniser(model, prompt)
    tokens = model.encode(text, special=False)
    pieces = [detokeniser.add(token) for token in tokens]
    assert "".join(pieces) == text
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    if len(tokens) > len(text):
        assert "" in pieces


async def test_a_batch_of_one_writes_the_same_as_a_batch_of_many(http: httpx.AsyncClient) -> None:
    asks = {"temperature": 1.5, "seed": 11, "max_new_tokens": 40}
    expected = await write(http, turn("Name ten animals."), **asks)
    with servers.stand_in("--max-batch-size", "1", "--max-concurrent-requests", "8") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as other:
            answers = await asyncio.gather(
                *(write(other, turn("Name ten animals."), **asks) for _ in range(8))
            )
    assert answers == [expected] * 8


def byte_fallback() -> tuple[Text, dict[str, int]]:
    """A tokenizer as Mistral's and Llama's: what is in no word is written as bytes."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    numbers = {word: number for number, word in enumerate([*words, "\u2581", "\u2581hi", "a"])}
    tokenizer = Tokenizer(models.BPE(numbers, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return Text(tokenizer, {}), numbers


@pytest.mark.parametrize("prompt", [0, 1, 5, 9])
def test_rare_characters_in_a_row_come_out_whole(prompt: int) -> None:
    text, numbers = byte_fallback()
    rare = "😀😁😂🤣日本語é"
    tokens = [
        numbers["\u2581hi"],
        *(numbers[f"<0x{byte:02X}>"] for byte in rare.encode()),
        numbers["\u2581hi"],
        numbers["a"],
    ]
    detokeniser = Detokeniser(text, [numbers["a"]] * prompt)
    pieces = [detokeniser.add(token) for token in tokens]
    assert [piece for piece in pieces if piece] == [" hi" if prompt else "hi", *rare, " hi", "a"]
