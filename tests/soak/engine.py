"""A TGI that fails at random, as a process: `python -m tests.soak.engine SEED`.

Every word of an answer is the label that its prompt ends with and the time of its writing, as in
`L3x14p0@1700000000.123`. One answer in five goes wrong, each in one of the ways of `WRONG`. With an
odd seed there is a bad network in front, late and uneven.
"""

import asyncio
import random
import re
import sys
import time
from contextlib import suppress
from typing import Final

from tests import stock
from tests.fault_proxy import Fault, proxying
from tests.faults import Peer, error_event, event

LABEL: Final = re.compile(r"L\d+x\d+p\d+")
WRONG: Final = ("refuse", "overload", "error", "reset", "cut", "silent", "nonsense", "page")
PACE_S: Final = 0.08  # between two words
_FAILING: Final = 0.2
_INFO: Final = {**stock.INFO, "max_input_tokens": 4000, "max_total_tokens": 8000}


async def answer(peer: Peer, chance: random.Random) -> None:
    """One generation, whole or broken."""
    body = peer.request.json()
    label = LABEL.findall(body["inputs"])[-1]
    words = min(int(body["parameters"]["max_new_tokens"]), chance.choice([1, 5, 20, 40, 80]))
    wrong = chance.choice(WRONG) if chance.random() < _FAILING else ""
    broken_at = chance.randrange(words) if wrong else words
    match wrong:
        case "refuse":
            await peer.answer(b"no room", 503, "text/plain", {"retry-after": "0"})
            return
        case "page":
            await peer.answer(b"<!doctype html><title>Hello</title>", 200, "text/html")
            return
    await peer.head()
    for i in range(words):
        if i == broken_at:
            await _break(peer, wrong)
            return
        text = f" {label}@{time.time():.3f}"
        if i < words - 1:
            await peer.send(event(text, index=i))
            await asyncio.sleep(PACE_S)
        else:
            details = {"finish_reason": "length", "generated_tokens": words, "input_length": 9}
            details = {**details, "seed": 7}
            await peer.send(event(text, index=i, generated_text="…", details=details))


async def _break(peer: Peer, wrong: str) -> None:
    match wrong:
        case "overload":
            await peer.send(error_event("Model is overloaded", "overloaded"))
        case "error":
            await peer.send(error_event("CUDA out of memory", "generation"))
        case "nonsense":
            await peer.send(b'data:{"token":3}\n\n')
        case "silent":
            await peer.send(b": nothing\n\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await peer.gone()
        case "reset":
            peer.reset()


async def main(seed: int) -> None:
    """Serves until it is ended."""
    chance = random.Random(seed)

    async def generation(peer: Peer) -> None:
        if peer.request.path == "/generate":
            await peer.answer(b'{"error":"none","error_type":"validation"}', 422)
        else:
            await answer(peer, random.Random(chance.random()))

    async def health(peer: Peer) -> None:
        await peer.answer(status=503 if chance.random() < 0.02 else 200)

    weather = Fault(latency=0.005, jitter=0.05) if seed % 2 else Fault()
    async with (
        stock.tgi(generation, info=_INFO, health=health) as server,
        proxying(server.url, down=weather) as proxy,
    ):
        print(f"listening on {proxy.url if seed % 2 else server.url}", flush=True)
        while True:
            await asyncio.sleep(1)
            server.requests.clear()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
