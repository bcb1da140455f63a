"""Several panes as one stream: each by itself, all closed together."""

import asyncio
from collections import defaultdict
from contextlib import aclosing
from dataclasses import replace

import pytest

from playground.domain.messages import Delta, Done, Event, Failed, Receipt
from playground.domain.samplers import Sampler
from playground.generation.comparison import Stop, compare
from playground.telemetry.usage import AnswerUsage
from tests.faults import Peer, error_event, event
from tests.generation.test_answer import request, text_of
from tests.stock import engine, tgi, tokens, writing

SILENT, BROKEN, FINE = 0.1, 0.2, 0.3  # temperatures by which a script knows its pane


def temperature(peer: Peer) -> float:
    return float(peer.request.json()["parameters"]["temperature"])


async def test_every_pane_is_answered_by_itself_and_ends_once() -> None:
    others_done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        match temperature(peer):
            case 0.1:
                await peer.send(event("slow"))
                async with asyncio.timeout(10):
                    await others_done.wait()
                await peer.send(b"".join(tokens([" end"], "eos_token")))
            case 0.2:
                await peer.send(event("begun") + error_event("CUDA", "generation"))
            case _:
                await peer.send(b"".join(tokens(["fine", " all", " along"], "length")))

    seen: defaultdict[int, list[Event]] = defaultdict(list)
    async with tgi(script) as server, engine(server.url) as made:
        panes = [request("Hi", sampler=Sampler(temperature=t)) for t in (SILENT, BROKEN, FINE)]
        panes.append(request("word " * 80))
        async with aclosing(compare([made] * len(panes), panes, context_tokens=8192)) as batches:
            async for batch in batches:
                assert batch
                for number, each in batch:
                    seen[number].append(each)
                ended = {n for n, events in seen.items() if isinstance(events[-1], Done | Failed)}
                if ended == {1, 2, 3}:
                    others_done.set()
    ends = [[type(e) for e in seen[n] if isinstance(e, Done | Failed)] for n in range(4)]
    assert ends == [[Done], [Failed], [Done], [Failed]]
    assert [text_of(seen[n]) for n in range(4)] == ["slow end", "begun", "fine all along", ""]
    assert all(isinstance(seen[n][0], Receipt) for n in range(3))


async def test_a_panes_first_text_does_not_wait_for_a_flush() -> None:
    async with tgi(writing(["a", "b", "c"])) as server, engine(server.url) as made:
        batches = [b async for b in compare([made], [request("Hi")], context_tokens=8192)]
    events = [event for batch in batches for _, event in batch]
    assert isinstance(events[0], Receipt)
    assert text_of(events) == "abc"
    assert isinstance(events[-1], Done)


async def test_a_fault_of_our_own_is_the_panes_error_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with tgi(writing(["fine"])) as server, engine(server.url) as made:
        panes = [request("Hi", stop=(7,)), request("Hi")]
        events = [
            e async for b in compare([made] * len(panes), panes, context_tokens=8192) for e in b
        ]
    [failed] = [event for number, event in events if number == 0 and isinstance(event, Failed)]
    assert failed.kind == "internal"
    assert "Traceback" in caplog.text
    assert isinstance([event for number, event in events if number == 1][-1], Done)


async def test_closing_closes_every_silent_engine_at_once() -> None:
    gone = [asyncio.Event() for _ in range(4)]

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        await peer.gone()
        next(each for each in gone if not each.is_set()).set()

    async with tgi(script) as server, engine(server.url) as made, asyncio.timeout(10):
        async with aclosing(
            compare([made] * 4, [request("Hi")] * 4, context_tokens=8192)
        ) as batches:
            texts = 0
            while texts < 4:
                texts += sum(isinstance(event, Delta) for _, event in await anext(batches))
        await asyncio.gather(*(each.wait() for each in gone))


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_stop_ends_an_answer_unless_its_reader_leaves_at_the_same_time(
    leaves: bool,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("a"))
        await peer.gone()

    stop, usage = Stop(), AnswerUsage()
    async with tgi(script) as server, engine(server.url) as made, asyncio.timeout(10):
        panes = compare([made], [request("Hi")], context_tokens=8192, stops=[stop], usages=[usage])
        async with aclosing(panes) as batches:
            while not any(isinstance(event, Delta) for _, event in await anext(batches)):
                pass
            stop.ask()
            if not leaves:
                [(_, ending)] = await anext(batches)
                assert isinstance(ending, Failed)
                assert replace(ending, figures=None) == stop.ending
    assert usage.outcome == ("left" if leaves else "stopped")


async def test_silence_gives_an_empty_batch() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.gone()

    async with tgi(script) as server, engine(server.url) as made:
        stream = compare([made], [request("Hi")], context_tokens=8192, idle=0.05)
        async with aclosing(stream) as batches:
            while await anext(batches):
                pass
