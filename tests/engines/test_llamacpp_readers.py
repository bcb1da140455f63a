"""A hundred readers of a llama.cpp with four slots, through the whole playground."""

import asyncio
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from tests.engines.test_llamacpp import busy, deferred, idle
from tests.servers import Server
from tests.stock import opened, until

READERS, SLOTS = 100, 4
# Without the model's own system message a prompt is read in a third of the time.
SETTINGS: dict[str, Any] = {"engine": "llamacpp", "prompt_format": "chatml"}


async def read(client: httpx.AsyncClient, number: int, **pane: Any) -> list[tuple[str, Any]]:
    """The events of one answer."""
    body = {
        "messages": [{"role": "user", "content": f"Reader {number}"}],
        "panes": [{"max_new_tokens": 4, "seed": number, **pane}],
    }
    async with aconnect_sse(client, "POST", "/api/stream", json=body) as source:
        assert source.response.status_code == 200, await source.response.aread()
        return [(each.event, each.json()) async for each in source.aiter_sse()]


@pytest.mark.timeout(300)
async def test_a_hundred_readers_of_four_slots_lose_nothing_and_see_the_line(
    llamacpp: Server,
) -> None:
    async with (
        opened(llamacpp.url, **SETTINGS, max_streams_per_user=READERS) as (url, services),
        httpx.AsyncClient(base_url=url, timeout=300) as client,
    ):
        reading = [asyncio.create_task(read(client, number)) for number in range(READERS)]
        most = 0
        while not all(task.done() for task in reading):
            assert await busy(llamacpp) <= SLOTS
            assert await deferred(llamacpp) == 0, "the line is here, and not in the server"
            most = max(most, services.admission.writing)
            await asyncio.wait(reading, timeout=0.2)
        answers = [task.result() for task in reading]
    assert most == SLOTS
    waited = 0
    for number, events in enumerate(answers):
        names = [name for name, _ in events]
        waited += "waiting" in names
        assert names[-1] == "done", events[-1]
        receipt = events[names.index("receipt")][1]
        assert f"Reader {number}<|im_end|>" in receipt["prompt"]
        done = events[-1][1]
        text = "".join(data["text"] for name, data in events if name == "delta")
        assert done["seed"] == receipt["sent"]["seed"] == number
        assert 1 <= done["generated_tokens"] <= 4
        assert text or done["finish_reason"] == "eos_token"
    assert waited == READERS - SLOTS


async def test_who_leaves_the_line_or_the_page_frees_what_was_held(llamacpp: Server) -> None:
    async with (
        opened(llamacpp.url, **SETTINGS) as (url, services),
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        admission = services.admission
        held = [
            asyncio.create_task(read(client, number, max_new_tokens=1500))
            for number in range(SLOTS + 2)
        ]

        async def full() -> bool:
            return await busy(llamacpp) == SLOTS and admission.waiting == 2

        await until(full)
        held[-1].cancel()

        async def shorter() -> bool:
            return admission.waiting == 1

        await until(shorter)
        for task in held:
            task.cancel()
        await asyncio.wait(held)

        async def empty() -> bool:
            return await idle(llamacpp) and admission.writing == admission.waiting == 0

        await until(empty)
