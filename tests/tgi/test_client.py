"""The client against a real engine."""

import asyncio
import re
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from huggingface_hub import TextGenerationInputGenerateParameters

import tgi.client
from tgi.client import TGIClient
from tgi.errors import ValidationFailed

PROMPT = "<|user|>\nName ten animals.\n<|assistant|>\n"


@pytest.fixture
async def client(stand_in_url: str) -> AsyncIterator[TGIClient]:
    async with TGIClient(stand_in_url) as client:
        yield client


async def test_health_and_info(client: TGIClient) -> None:
    await client.health()
    info = await client.info()
    assert isinstance(info["model_id"], str)
    assert info["max_input_tokens"] < info["max_total_tokens"]


async def test_tokenize(client: TGIClient) -> None:
    text = "Hi! Ça va? 🙂"
    tokens = await client.tokenize(text)
    written = [token for token in tokens if token.stop > token.start]
    assert written[0].start == 0
    assert written[-1].stop == len(text.encode())
    assert all(token.id >= 0 for token in tokens)
    assert len(tokens) <= len(text.encode()) + 1
    assert len(await client.tokenize(text * 3)) > len(tokens)


@pytest.mark.parametrize(
    "text", ["a", "Hi! Ça va? 🙂", '{"id":1} "id": \\"id\\":', "a b " * 30_000]
)
async def test_counts_tokens_as_tokenize_gives_them(client: TGIClient, text: str) -> None:
    assert await client.count_tokens(text) == len(await client.tokenize(text)) > 0


async def test_stream(client: TGIClient) -> None:
    parameters = {"details": True, "max_new_tokens": 12, "seed": 3, "do_sample": True}
    outputs = [output async for output in client.stream(PROMPT, parameters)]
    assert [output.index for output in outputs] == list(range(1, len(outputs) + 1))
    assert all(output.token.logprob <= 0 for output in outputs)
    assert all(output.generated_text is None for output in outputs[:-1])
    last = outputs[-1]
    assert last.generated_text is not None
    assert last.details is not None
    assert last.details.generated_tokens == len(outputs) <= 12
    assert last.details.finish_reason in ("length", "eos_token", "stop_sequence")
    assert last.details.input_length == len(await client.tokenize(PROMPT))
    assert last.details.seed == 3
    spoken = "".join(output.token.text for output in outputs if not output.token.special)
    assert last.generated_text == spoken.lstrip() or last.generated_text == spoken


async def test_batches_bring_the_same_tokens(client: TGIClient) -> None:
    parameters = {"max_new_tokens": 20, "seed": 5, "do_sample": True, "temperature": 1.2}
    single = [output async for output in client.stream(PROMPT, parameters)]
    batches = [batch async for batch in client.stream_batches(PROMPT, parameters, pace=0.02)]
    assert all(batches)
    assert [output for batch in batches for output in batch] == single


async def test_generate(client: TGIClient) -> None:
    parameters = TextGenerationInputGenerateParameters(
        max_new_tokens=8, details=True, seed=1, do_sample=True
    )
    output = await client.generate(PROMPT, parameters)
    assert output.details is not None
    assert output.details.generated_tokens == len(output.details.tokens) <= 8
    streamed = [output async for output in client.stream(PROMPT, parameters)]
    assert streamed[-1].generated_text == output.generated_text


async def test_a_seed_decides(client: TGIClient) -> None:
    async def text(seed: int) -> str:
        parameters = {"max_new_tokens": 16, "seed": seed, "do_sample": True, "temperature": 1.5}
        return (await client.generate(PROMPT, parameters)).generated_text

    assert await text(2**64 - 1) == await text(2**64 - 1)
    assert len({await text(seed) for seed in range(4)}) > 1


async def test_top_tokens(client: TGIClient) -> None:
    parameters = {"max_new_tokens": 4, "top_n_tokens": 3}
    outputs = [output async for output in client.stream(PROMPT, parameters)]
    for output in outputs:
        assert output.top_tokens is not None
        assert len(output.top_tokens) >= 3
        assert max(token.logprob for token in output.top_tokens) >= output.token.logprob


async def test_a_stop_sequence(client: TGIClient) -> None:
    free = (await client.generate(PROMPT, {"max_new_tokens": 24})).generated_text
    word = next(word for word in re.findall(r"\w{2,}", free))
    parameters = {"max_new_tokens": 24, "stop": [word], "details": True}
    stopped = await client.generate(PROMPT, parameters)
    assert stopped.details is not None
    assert stopped.details.finish_reason == "stop_sequence"
    assert stopped.generated_text.endswith(word)


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"top_p": 1.0},
        {"top_p": 0.0},
        {"top_k": 0},
        {"repetition_penalty": 0.0},
        {"frequency_penalty": 3.0},
        {"max_new_tokens": 0},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"top_n_tokens": 6},
        {"best_of": 2},
        {"seed": -1},
        {"temperature": "hot"},
    ],
    ids=str,
)
async def test_refusals(client: TGIClient, parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed) as generated:
        await client.generate(PROMPT, parameters)
    assert generated.value.status == 422
    with pytest.raises(ValidationFailed):
        _ = [output async for output in client.stream(PROMPT, parameters)]


async def test_an_empty_prompt_is_refused(client: TGIClient) -> None:
    with pytest.raises(ValidationFailed):
        await client.generate("")


async def test_many_streams_over_one_pool(client: TGIClient) -> None:
    async def text(seed: int) -> str:
        parameters = {"max_new_tokens": 12, "seed": seed, "do_sample": True, "temperature": 1.3}
        async with aclosing(client.stream(PROMPT, parameters)) as stream:
            outputs = [output async for output in stream]
        return outputs[-1].generated_text or ""

    together = await asyncio.gather(*(text(seed) for seed in range(12)))
    alone = [await text(seed) for seed in range(12)]
    assert together == alone


async def test_a_stream_that_is_left_makes_room(client: TGIClient) -> None:
    """Far more streams are begun and left than the engine would take at a time."""
    for _ in range(200):
        async with aclosing(client.stream(PROMPT, {"max_new_tokens": 100})) as stream:
            await anext(stream)
    await client.generate(PROMPT, {"max_new_tokens": 2})


async def test_the_example_of_the_module_runs(stand_in_url: str) -> None:
    assert tgi.client.__doc__ is not None
    [example] = re.findall(r"(?m)^    import asyncio\n(?:    .*\n|\n)+", tgi.client.__doc__)
    program = textwrap.dedent(example).replace("http://127.0.0.1:8080", stand_in_url)
    assert stand_in_url in program
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(tgi.__file__).parent.parent,
    )
    written, _ = await process.communicate()
    assert process.returncode == 0
    assert written.decode().strip()
