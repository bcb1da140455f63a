"""llama.cpp as an engine, in front of a real server with a small model."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from playground.domain.errors import EngineError
from playground.domain.messages import Message
from playground.domain.prompt import render
from playground.domain.prompt_formats import SMOLLM2, TULU2
from playground.domain.samplers import BY_NAME, Sampler
from playground.engines.base import Chunk, EngineInfo, EngineState, Finish, GenerationRequest
from playground.engines.llamacpp import LlamaCppEngine
from playground.formats.exchange import write_presets
from playground.formats.values import Draft
from tests.llamacpp import adding_bos
from tests.llamacpp import llamacpp as llamacpp_server
from tests.servers import Server
from tests.stock import until

PROMPT = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"


def request(**changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "prompt": PROMPT,
        "sampler": Sampler(),
        "max_new_tokens": 12,
        "seed": 7,
        "stop": ("<|im_end|>",),
    }
    return GenerationRequest(**values | changes)


@asynccontextmanager
async def engine(url: str, **options: Any) -> AsyncIterator[LlamaCppEngine]:
    made = LlamaCppEngine(url, **options)
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
async def made(llamacpp: Server) -> AsyncIterator[LlamaCppEngine]:
    """An engine of its own in front of the server that all tests share, ready."""
    async with engine(llamacpp.url) as made:
        await ready(made)
        yield made


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one slot with a short context, whose model wants a BOS."""
    model = adding_bos(tmp_path_factory.mktemp("model"))
    with llamacpp_server(1, 256, "--model", str(model)) as server:
        yield server


@pytest.fixture
async def small(small_server: Server) -> AsyncIterator[LlamaCppEngine]:
    async with engine(small_server.url) as made:
        yield made


async def ready(made: LlamaCppEngine) -> EngineInfo:
    state = await made.state()
    assert state.info is not None, state.reason
    return state.info


async def answered(made: LlamaCppEngine, asked: GenerationRequest) -> list[Chunk | Finish]:
    return [item async for item in made.stream(asked)]


def text_of(items: Sequence[Chunk | Finish]) -> str:
    return "".join(item.text for item in items if isinstance(item, Chunk))


async def busy(server: Server) -> int:
    """Slots that are at work."""
    async with httpx.AsyncClient() as client:
        slots = (await client.get(f"{server.url}/slots")).json()
    return sum(slot["is_processing"] for slot in slots)


async def idle(server: Server) -> bool:
    return await busy(server) == 0


async def test_says_what_the_server_is(made: LlamaCppEngine) -> None:
    info = await ready(made)
    assert (info.kind, info.name, info.quantisation) == ("llamacpp", "llama.cpp", "Q4_1")
    assert info.model_id == "SmolLM2-135M-Instruct.Q4_1"
    assert (info.max_input_tokens, info.max_total_tokens, info.slots) == (2047, 2048, 4)
    assert info.prompt_format is SMOLLM2
    assert set(info.applied) == set(BY_NAME)
    assert {each.how for each in info.applied.values()} == {"native"}
    for name in ("frequency_penalty", "presence_penalty"):
        assert "prompt" in info.applied[name].reason
    assert info.seeds.repeat == "alone"
    assert (info.probabilities.kind, info.probabilities.most) == ("final", 49152)
    assert info.raw["model_path"] == "SmolLM2-135M-Instruct.Q4_1.gguf", "and not its folder"


async def test_a_format_that_is_set_counts(llamacpp: Server) -> None:
    async with engine(llamacpp.url, prompt_format=TULU2) as made:
        assert (await ready(made)).prompt_format is TULU2


async def test_writes_what_the_model_makes_of_a_conversation(made: LlamaCppEngine) -> None:
    messages = [Message("user", "Hello!"), Message("assistant", "The capital of France is")]
    prompt = render(messages, SMOLLM2).text
    items = await answered(made, request(prompt=prompt, sampler=Sampler(temperature=0)))
    assert text_of(items).startswith(" Paris")
    finish = items[-1]
    assert isinstance(finish, Finish)
    assert finish.input_tokens == await made.count_tokens(prompt)
    assert finish.generated_tokens == sum(i.tokens for i in items if isinstance(i, Chunk))


async def test_takes_a_request_that_was_exported_for_it(llamacpp: Server) -> None:
    sampler = Sampler(0.75, 0.5, 40, 0.25, -0.5, 1.25, 0.125)
    text = write_presets([Draft("A", sampler, max_new_tokens=1)], "llamacpp").text
    async with httpx.AsyncClient() as client:
        body = {"prompt": "a", **json.loads(text)}
        answer = await client.post(f"{llamacpp.url}/completion", json=body)
    assert answer.status_code == 200, answer.text
    settings = answer.json()["generation_settings"]
    assert settings["repeat_last_n"] >= 2048  # the whole context
    assert settings["samplers"] == ["penalties", "temperature", "top_k", "top_p", "min_p"]


async def test_what_is_sent_is_what_counts(made: LlamaCppEngine, llamacpp: Server) -> None:
    """Every parameter arrives under the name by which the server knows it."""
    sampler = Sampler(0.75, 0.5, 40, 0.25, -0.5, 1.25, 0.125)
    sent = made.parameters(request(sampler=sampler, stop=("one", "", "two")))
    async with httpx.AsyncClient() as client:
        body = {"prompt": "a", **sent, "n_predict": 1}
        answer = (await client.post(f"{llamacpp.url}/completion", json=body)).json()
    settings = answer["generation_settings"]
    assert {name: settings[name] for name in sent if name in settings} | {
        "n_predict": 12,
        "repeat_last_n": 2048,
    } == {name: value for name, value in sent.items() if name in settings}
    assert set(sent) - set(settings) == {"cache_prompt"}
    assert (settings["stop"], settings["samplers"][0]) == (["one", "two"], "penalties")


async def test_what_is_unset_is_sent_as_neutral(made: LlamaCppEngine) -> None:
    sent = made.parameters(request())
    assert [sent[name] for name in ("temperature", "top_p", "top_k", "min_p")] == [1, 1, 0, 0]
    assert [sent[name] for name in ("frequency_penalty", "presence_penalty")] == [0, 0]
    assert sent["repeat_penalty"] == 1


async def test_greedy_takes_the_likeliest_token_whatever_the_seed(made: LlamaCppEngine) -> None:
    sampler = Sampler(temperature=0, top_p=0.9, min_p=0.1)
    one, two = [
        text_of(await answered(made, request(sampler=sampler, seed=seed))) for seed in (1, 2)
    ]
    assert one == two != ""


@pytest.mark.parametrize("preset", [Sampler(), Sampler(0.7, 0.95), Sampler(1.0, min_p=0.1)])
async def test_the_same_seed_gives_the_same_answer_again(
    made: LlamaCppEngine, preset: Sampler
) -> None:
    """Also where the prompt was read before, which llama.cpp would otherwise use."""
    story = f"Story {preset}: " + "the sea was calm and the wind came from the north, " * 8
    asked = request(prompt=story, sampler=preset, max_new_tokens=24)
    one, two = [text_of(await answered(made, asked)) for _ in range(2)]
    assert one == two != ""
    other = text_of(await answered(made, replace(asked, seed=8)))
    assert other != one


@pytest.mark.parametrize(
    ("seed", "sent"), [(0, 0), (2**32 - 2, 2**32 - 2), (2**32 - 1, 0), (2**64 - 1, 0), (2**32, 1)]
)
async def test_a_seed_that_llamacpp_does_not_have_is_one_that_repeats(
    made: LlamaCppEngine, seed: int, sent: int
) -> None:
    assert made.parameters(request(seed=seed))["seed"] == sent
    asked = request(seed=seed, max_new_tokens=16)
    one, two = [await answered(made, asked) for _ in range(2)]
    assert text_of(one) == text_of(two)
    finish = one[-1]
    assert isinstance(finish, Finish)
    assert finish.seed == sent


async def test_says_how_an_answer_ended(made: LlamaCppEngine) -> None:
    greedy = Sampler(temperature=0)
    yes = "<|im_start|>user\nSay only the word yes.<|im_end|>\n<|im_start|>assistant\n"
    ended = await answered(made, request(prompt=yes, sampler=greedy, max_new_tokens=60))
    cut = await answered(made, request(sampler=greedy, max_new_tokens=3))
    digits = request(prompt="1, 2, 3, 4,", sampler=greedy, stop=("zzz", ", 7"), max_new_tokens=40)
    stopped = await answered(made, digits)
    for items, reason in ((ended, "eos_token"), (cut, "length"), (stopped, "stop_sequence")):
        assert isinstance(items[-1], Finish)
        assert items[-1].reason == reason
    assert "im_end" not in text_of(ended)
    assert text_of(stopped) == " 5, 6"


async def test_counts_as_the_server_reads(made: LlamaCppEngine) -> None:
    counts = [await made.count_tokens(text) for text in ("", "a", "<|im_end|>", PROMPT)]
    assert counts[:3] == [0, 1, 1]
    finish = (await answered(made, request(max_new_tokens=1)))[-1]
    assert isinstance(finish, Finish)
    assert counts[3] == finish.input_tokens


async def test_pieces_make_up_the_text(made: LlamaCppEngine) -> None:
    text = "Hé 🎉漢字 <|im_end|> x\n\n e\u0301"
    pieces = await made.pieces(text)
    assert "".join(pieces) == text
    assert {"H", "é", "<|im_end|>", " x"} <= set(pieces)
    assert " 🎉" in pieces, "a character of several tokens stays whole"


async def test_a_prompt_that_is_too_long_is_refused_with_its_length(made: LlamaCppEngine) -> None:
    with pytest.raises(EngineError, match=r"2101 tokens.*2047") as caught:
        await answered(made, request(prompt="word " * 2100))
    assert (caught.value.kind, caught.value.retryable) == ("refused", False)


async def test_an_answer_may_fill_the_context(small: LlamaCppEngine) -> None:
    info = await ready(small)
    assert (info.max_input_tokens, info.max_total_tokens, info.slots) == (255, 256, 1)
    asked = request(prompt="word " * 247, max_new_tokens=8, sampler=Sampler(temperature=0))
    assert await small.count_tokens(asked.prompt) == 249
    items = await answered(small, replace(asked, max_new_tokens=7))
    assert items[-1] == Finish("length", 7, 249, 7)


async def test_a_prompt_has_the_bos_that_the_server_adds_and_no_second_one(
    small: LlamaCppEngine,
) -> None:
    """Also where the format begins with the token that is the model's BOS."""
    await ready(small)
    one = await small.write(request(max_new_tokens=1))
    assert one.prompt[:2].count(1) == 1, "<|im_start|> once, and then the role"
    assert await small.count_tokens(PROMPT) == len(one.prompt)
    finish = (await answered(small, request(max_new_tokens=1)))[-1]
    assert isinstance(finish, Finish)
    assert finish.input_tokens == len(one.prompt)
    plain = await small.write(request(prompt="Once", max_new_tokens=1))
    assert plain.prompt[0] == 1
    assert await small.count_tokens("Once") == len(plain.prompt) == 2
    assert await small.pieces("Once upon") == ["Once", " upon"]


async def test_a_whole_answer_has_its_tokens_and_what_it_was_drawn_from(
    made: LlamaCppEngine,
) -> None:
    asked = request(prompt="Repeat: 漢字 🎉 漢字 🎉 漢字", max_new_tokens=8)
    whole = await made.write(asked, likeliest=3)
    assert whole.generated_tokens == len(whole.tokens) == len(whole.likeliest) == 8
    assert len(whole.prompt) == await made.count_tokens(asked.prompt)
    told = [place for place in whole.likeliest if place]
    assert told
    assert all(value <= 0 for place in told for value in place.values())
    one = await made.write(request(sampler=Sampler(top_k=1)), likeliest=5)
    assert [len(place) for place in one.likeliest] == [1] * one.generated_tokens, "of the final"
    assert not (await made.write(asked)).likeliest


async def test_a_context_that_answers_share_may_be_full_in_the_middle_of_one() -> None:
    with llamacpp_server(2, 256, "--shared", "--key", "secret") as server:
        async with engine(server.url, api_key="wrong") as stranger:
            assert "API key" in (await stranger.state()).reason
        async with engine(server.url, api_key="secret") as made:
            assert (await ready(made)).max_total_tokens == 256
            greedy = Sampler(temperature=0)  # counts on and on
            endless = request(prompt="1, 2, 3, 4,", sampler=greedy, max_new_tokens=240, stop=())

            async def read(seed: int) -> tuple[str, EngineError | None]:
                came: list[Chunk | Finish] = []
                try:
                    async for item in made.stream(replace(endless, seed=seed)):
                        came.append(item)  # noqa: PERF401  (what came before the error counts)
                except EngineError as error:
                    return text_of(came), error
                return text_of(came), None

            answers = await asyncio.gather(read(1), read(2))
    assert all(text for text, _ in answers), "what was written stays"
    errors = [error for _, error in answers if error is not None]
    assert errors
    assert {error.kind for error in errors} == {"incomplete"}
    assert "full" in str(errors[0])


async def test_an_answer_that_is_left_frees_its_slot(
    made: LlamaCppEngine, llamacpp: Server
) -> None:
    async with aclosing(made.stream(request(max_new_tokens=1500, stop=()))) as stream:
        await anext(stream)
        assert await busy(llamacpp) == 1
    await until(lambda: idle(llamacpp))


async def test_no_more_are_sent_than_there_are_slots(
    made: LlamaCppEngine, llamacpp: Server
) -> None:
    asked = request(max_new_tokens=1500, stop=())
    running = [made.stream(asked) for _ in range(4)]
    for stream in running:
        await anext(stream)
    leaving, staying = [
        asyncio.create_task(answered(made, request(max_new_tokens=4))) for _ in range(2)
    ]

    async def both_wait() -> bool:
        return made.waiting == 2

    await until(both_wait)
    assert await deferred(llamacpp) == 0
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert made.waiting == 1
    await running[0].aclose()
    assert isinstance((await staying)[-1], Finish)
    for stream in running[1:]:
        await stream.aclose()
    await until(lambda: idle(llamacpp))


async def deferred(server: Server) -> int:
    """Requests that wait in the server, not here."""
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{server.url}/metrics")).text
    [line] = [each for each in metrics.splitlines() if each.startswith("llamacpp:requests_def")]
    return int(float(line.split()[1]))


async def test_streams_follow_each_other_without_a_failed_connection(
    made: LlamaCppEngine,
) -> None:
    """The server closes after each stream and says that it does not."""
    for number in range(60):
        items = await answered(made, request(prompt="a", max_new_tokens=1, seed=number))
        assert items[-1] == Finish("length", 1, 1, number)


async def test_what_starts_the_server_says_its_state(llamacpp: Server) -> None:
    said: EngineState | None = EngineState("loading", 1.0, "Downloading.")
    async with engine(llamacpp.url, starting=lambda: said) as made:
        assert await made.state() == said
        said = None
        assert (await made.state()).state == "ready"
