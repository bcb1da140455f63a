"""The proof of the samplers as one request among others, in front of an engine that a test scripts.

Its tokens are words, with a BOS, and each of its answers is of three tokens.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from playground.api.services import Services
from playground.engines.base import Seeds
from playground.engines.conformance import Prover
from playground.store.usage import Usage
from tests.faults import FaultServer, Peer, Request, Script
from tests.limits.test_admission import HI, Reader, elsewhere
from tests.stock import calls, engine, opened, tgi, until, writing

ANSWER = orjson.dumps(
    {
        "generated_text": "one two three",
        "details": {
            "finish_reason": "length",
            "generated_tokens": 3,
            "seed": 7,
            "prefill": [],
            "tokens": [
                {"id": i, "text": word, "logprob": -0.5, "special": False}
                for i, word in enumerate(["one", " two", " three"])
            ],
        },
    }
)


async def answers(peer: Peer) -> None:
    await peer.answer(ANSWER)


class Silent:
    """Generations that say nothing. begun: of which there are so many. gone: those that ended."""

    def __init__(self) -> None:
        self.begun = self.gone = 0

    async def __call__(self, peer: Peer) -> None:
        self.begun += 1
        await peer.gone()
        self.gone += 1


@asynccontextmanager
async def site(
    *scripts: Script, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Services, FaultServer]]:
    async with (
        tgi(*scripts) as server,
        opened(server.url, **settings) as (url, services),
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
    ):
        yield client, services, server


async def used(services: Services, account: str = "address:127.0.0.1") -> int:
    return await Usage(services.store.database).used(account, datetime.now(UTC).date())


def most(request: Request) -> int:
    """What a generation may take at most: its prompt and its limit."""
    body = request.json()
    return 1 + len(body["inputs"].split()) + int(body["parameters"]["max_new_tokens"])


async def test_its_tokens_are_counted_on_the_day_of_who_asked() -> None:
    async with site(answers, tokens_per_day=10**6) as (client, services, server):
        answer = await client.post("/api/proof", json={})
        bodies = [each.json() for each in calls(server, "/generate")]
        prompts = sum(1 + len(body["inputs"].split()) for body in bodies)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["generations"], answer.json()["tokens"]) == (
            len(bodies),
            3 * len(bodies),
        )
        assert await used(services) == prompts + 3 * len(bodies)
        assert services.admission.writing == 0
        again = await client.post("/api/proof", json={})
        assert again.json() == answer.json()
        assert await used(services) == prompts + 3 * len(bodies), "the one that is kept is free"


async def test_one_that_is_asked_for_again_is_made_anew_and_once_for_all_who_ask() -> None:
    async with site(answers) as (client, _, server):
        first = (await client.post("/api/proof", json={})).json()
        made = first["generations"]
        assert abs(first["made"] - time.time()) < 3600
        again = [client.post("/api/proof", json={"again": True}) for _ in range(3)]
        found = [each.json() for each in await asyncio.gather(*again)]
        assert len(calls(server, "/generate")) == 2 * made
        assert found == [found[0]] * 3
        assert found[0]["findings"] == first["findings"]
        assert (await client.post("/api/proof", json={})).json() == found[0]
        assert len(calls(server, "/generate")) == 2 * made


async def test_a_day_that_is_used_up_has_no_proof_in_it() -> None:
    async with site(writing(["Hello"]), tokens_per_day=1) as (client, services, server):
        await client.post("/api/stream", json=HI)

        async def counted() -> bool:  # after the reader has seen the end
            return await used(services) > 0

        await until(counted)
        refused = await client.post("/api/proof", json={})
        assert calls(server, "/generate") == []
    assert (refused.status_code, refused.json()["kind"]) == (429, "spent")
    assert int(refused.headers["retry-after"]) >= 1


async def test_how_far_it_is_can_be_asked_while_it_is_made() -> None:
    silent = Silent()
    async with site(*[answers] * 3, silent) as (client, _, _):
        proof = asyncio.create_task(client.post("/api/proof", json={}))

        async def told() -> bool:
            progress = (await client.get("/api/proof")).json()
            return bool(progress == {"answers": 3, "about": 260})

        await until(told)
        proof.cancel()

        async def gone() -> bool:
            return bool((await client.get("/api/proof")).json()["answers"] == 0)

        await until(gone)


async def test_it_has_places_as_answers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as it has generations at a time: no more than one may have, where its seeds
    always repeat."""
    silent = Silent()
    monkeypatch.setattr("playground.engines.tgi._SEEDS", Seeds("always"))
    async with site(silent, max_streams=3, max_streams_per_user=3, max_waiting=0) as (
        client,
        services,
        server,
    ):
        proof = asyncio.create_task(client.post("/api/proof", json={}))

        async def begun() -> bool:
            return silent.begun == 3

        await until(begun)
        assert services.admission.writing == 3
        async with elsewhere(client, 2) as other:
            refused = await other.post("/api/stream", json=HI)
        assert (refused.status_code, refused.json()["kind"]) == (429, "busy")
        own = await client.post("/api/stream", json=HI)
        assert own.status_code == 429
        assert "has 3 already" in own.json()["error"]
        proof.cancel()
        assert len(calls(server, "/generate")) == 3


async def test_it_has_one_place_where_seeds_repeat_only_alone() -> None:
    silent = Silent()
    async with site(silent, max_streams=3, max_streams_per_user=3) as (client, services, _):
        proof = asyncio.create_task(client.post("/api/proof", json={}))

        async def begun() -> bool:
            return silent.begun > 0

        await until(begun)
        assert (silent.begun, services.admission.writing) == (1, 1)
        proof.cancel()


async def test_it_is_refused_where_there_is_no_place() -> None:
    silent = Silent()
    async with site(silent, max_streams=1, max_waiting=0) as (client, _, server):
        reader = Reader(client, HI)

        async def begun() -> bool:
            return silent.begun == 1

        await until(begun)
        refused = await client.post("/api/proof", json={})
        assert (refused.status_code, refused.json()["kind"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        assert calls(server, "/generate") == []
        await reader.leave()


async def test_it_waits_in_line_until_there_is_a_place() -> None:
    bell = asyncio.Event()

    async def script(peer: Peer) -> None:
        await bell.wait()
        await writing(["Hello"])(peer)

    async with site(script, answers, max_streams=1) as (client, services, server):
        reader = Reader(client, HI)

        async def writes() -> bool:
            return len(calls(server, "/generate_stream")) == 1

        async def waits() -> bool:
            return services.admission.waiting == 1

        await until(writes)
        proof = asyncio.create_task(client.post("/api/proof", json={}))
        await until(waits)
        assert calls(server, "/generate") == []
        bell.set()
        await reader.end()
        assert (await proof).status_code == 200


async def test_it_ends_when_its_reader_leaves_and_what_it_began_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = Silent()
    monkeypatch.setattr("playground.engines.tgi._SEEDS", Seeds("always"))
    async with site(silent, max_streams=2, tokens_per_day=10**6) as (client, services, server):
        proof = asyncio.create_task(client.post("/api/proof", json={}))

        async def begun() -> bool:
            return silent.begun == 2

        async def over() -> bool:
            return silent.gone == 2 and services.admission.writing == 0

        async def counted() -> bool:
            return await used(services) == sum(map(most, calls(server, "/generate")))

        await until(begun)
        assert services.admission.writing == 2
        proof.cancel()
        await until(over)
        await until(counted)


async def test_who_asks_meanwhile_waits_for_the_same_one_without_a_place() -> None:
    bell, silent = asyncio.Event(), Silent()

    async def script(peer: Peer) -> None:
        await bell.wait()
        await peer.answer(ANSWER)

    async with site(silent, script, max_streams=1, tokens_per_day=10**6) as (client, services, _):
        first = asyncio.create_task(client.post("/api/proof", json={}))

        async def begun() -> bool:
            return silent.begun == 1

        async def over() -> bool:
            return silent.gone == 1

        await until(begun)
        async with elsewhere(client, 2) as ben, elsewhere(client, 3) as cleo:
            others = [asyncio.create_task(each.post("/api/proof", json={})) for each in (ben, cleo)]
            assert (await client.get("/api/engine")).status_code == 200
            assert (services.admission.writing, services.admission.waiting) == (1, 0)
            first.cancel()  # the next one's begins
            await until(over)
            bell.set()
            found = [(await each).json() for each in others]
        assert found[0] == found[1]
        assert found[0]["generations"] > 200
        accounts = [await used(services, f"address:127.0.0.{host}") for host in (2, 3)]
        assert min(accounts) == 0 < max(accounts)


async def test_an_engine_that_fails_begins_no_more() -> None:
    async def fails(peer: Peer) -> None:
        await peer.answer(b'{"error":"CUDA","error_type":"generation"}', status=424)

    async with site(fails, max_streams=1, tokens_per_day=10**6) as (client, services, server):
        answer = await client.post("/api/proof", json={})
        assert (answer.status_code, answer.json()["kind"]) == (503, "generation")
        assert services.admission.writing == 0
        begun = calls(server, "/generate")
        assert await used(services) <= max(map(most, begun)), "what failed costs nothing"
        assert (await client.post("/api/stream", json=HI)).status_code == 200
        assert calls(server, "/generate") == begun


async def test_a_server_that_stops_ends_it_and_says_so() -> None:
    silent = Silent()
    async with site(silent, max_streams=1) as (client, services, _):
        proof = asyncio.create_task(client.post("/api/proof", json={}))

        async def begun() -> bool:
            return silent.begun == 1

        await until(begun)
        async with asyncio.timeout(10):
            await services.admission.drain(0)
            answer = await proof
    assert (answer.status_code, answer.json()["kind"]) == (503, "shutdown")
    assert "retry-after" in answer.headers


async def test_another_model_has_another_proof_and_the_engines_key_is_sent() -> None:
    async with (
        tgi(answers) as server,
        engine(server.url, api_key="a key of the engine's") as asked,
    ):
        prover, info = Prover(asked), (await asked.state()).info
        assert info is not None
        first = await prover.proof(info, 4)
        assert await prover.proof(info, 4) is first
        other = await prover.proof(replace(info, model_sha="another"), 4)
        assert other.generations == first.generations
        assert len(calls(server, "/generate")) == 2 * first.generations
        assert {each.headers["authorization"] for each in calls(server, "/generate")} == {
            "Bearer a key of the engine's"
        }
