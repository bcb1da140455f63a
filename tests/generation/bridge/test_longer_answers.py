"""Answers that take more than one request, asked of an engine that takes few tokens in each."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from playground.domain.samplers import Sampler
from playground.engines.base import Chunk, Finish, GenerationRequest
from playground.engines.metering import Meter
from playground.engines.streams import closing
from playground.engines.tgi import TGIEngine
from playground.generation.bridge.plan import EmulationPolicy, plan_generation
from playground.generation.bridge.writing import Bridge
from tests import servers

PROMPT = "<|user|>\nTell me a story about a fox and a river.\n<|assistant|>\n"


@pytest.fixture(scope="module")
async def stock_engine() -> AsyncIterator[TGIEngine]:
    with servers.stand_in() as server:
        engine = TGIEngine(server.url)
        yield engine
        await engine.aclose()


async def write(
    engine: TGIEngine | Meter, limit: int, seed: int, sampler: Sampler
) -> tuple[str, Finish]:
    info = (await engine.state()).info
    assert info is not None
    request = GenerationRequest(PROMPT, sampler, limit, seed, ("<|user|>",))
    plan = plan_generation(request, replace(info, longest_request=80))
    assert plan.bridged
    bridge = Bridge(
        engine, replace(info, longest_request=80), plan, await engine.count_tokens(PROMPT),
        EmulationPolicy(restarts=9.0),
    )  # fmt: skip
    text, tokens = "", 0
    async with closing(bridge.write()) as items:  # else a meter counts the last stream later
        async for item in items:
            if isinstance(item, Chunk):
                text, tokens = text + item.text, tokens + item.tokens
            elif isinstance(item, Finish):
                assert item.generated_tokens == tokens == len(bridge.ids)
                return text, item
    raise AssertionError("it has no end")


async def test_no_more_is_written_than_a_meter_allows(stock_engine: TGIEngine) -> None:
    sampler = Sampler(temperature=1.5, min_p=0.3)
    meter = Meter(stock_engine, 60)
    text, finish = await write(meter, 60, 3, sampler)
    assert finish.reason == "length"
    assert finish.generated_tokens < meter.used == 60
    whole, _ = await write(Meter(stock_engine), 60, 3, sampler)
    assert whole.startswith(text)
    assert whole != text


@pytest.mark.parametrize("limit", [81, 160, 161])
@pytest.mark.parametrize("sampler", [Sampler(temperature=1.2), Sampler(temperature=1.0, min_p=0.1)])
async def test_a_limit_is_a_limit_and_a_seed_repeats_over_every_request(
    stock_engine: TGIEngine, limit: int, sampler: Sampler
) -> None:
    reasons = set()
    for seed in range(3, 9):
        text, finish = await write(stock_engine, limit, seed, sampler)
        assert (text, finish) == await write(stock_engine, limit, seed, sampler)
        assert finish.generated_tokens <= limit
        if finish.reason == "length":
            assert finish.generated_tokens == limit
        reasons.add(finish.reason)
    assert "length" in reasons
