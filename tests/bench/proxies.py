"""What a proxy costs a stream: python -m tests.bench.proxies

Asks one playground for short answers directly, through Caddy and through nginx, in random order,
so that whatever else the machine does meets all three. The time to the first token is from the
request to the first event with text; the latency is from a token's emission, which it says itself,
to here.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
from httpx_sse import connect_sse

from tests.proxies import PROXIES
from tests.servers import Server

_TOKENS: Final = 20
_BODY: Final[dict[str, Any]] = {
    "messages": [{"role": "user", "content": f"[tokens {_TOKENS}]"}],
    "panes": [{"max_new_tokens": _TOKENS}],
}
_WARM_UP: Final = 3


def answer(client: httpx.Client, url: str) -> tuple[float, list[float]]:
    """Of one answer: seconds to its first token, and each token's latency in seconds."""
    first, latencies = 0.0, []
    begun = time.perf_counter()
    with connect_sse(client, "POST", f"{url}/api/stream", json=_BODY) as source:
        for each in source.iter_sse():
            if each.event == "delta":
                now = time.time()
                first = first or time.perf_counter() - begun
                text: str = json.loads(each.data)["text"]
                latencies += [now - float(word) for word in text.split() if word[:1].isdigit()]
    assert latencies
    return first, latencies


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=60, metavar="N", help="by each way (60)")
    count: int = parser.parse_args().answers
    with ExitStack() as stack:
        engine = stack.enter_context(Server(["-m", "tests.bench.upstream"], ready="http"))
        site = stack.enter_context(
            Server(
                ["-m", "playground", "serve", "--port", "0", "--tgi-url", engine.url],
                ready="Playground: http",
            )
        )
        ways = {"direct": site.url}
        for name, make in PROXIES.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ways[name] = stack.enter_context(make(folder, [site.url]))
        clients = {name: stack.enter_context(httpx.Client(timeout=60)) for name in ways}
        firsts: dict[str, list[float]] = {name: [] for name in ways}
        latencies: dict[str, list[float]] = {name: [] for name in ways}
        before = os.getloadavg()[0]
        for number in range(count + _WARM_UP):
            for name in random.sample(list(ways), len(ways)):
                first, each = answer(clients[name], ways[name])
                if number >= _WARM_UP:
                    firsts[name].append(first)
                    latencies[name] += each
    print(f"{count} answers by each way; load average {before:.1f} before\n")
    print(f"{'':<8}{'first token, ms':>28}{'latency of a token, ms':>30}")
    print(f"{'':<8}{'median':>14}{'p95':>14}{'median':>16}{'p95':>14}")
    for name in ways:
        row = f"{name:<8}"
        for values, width in ((firsts[name], 14), (latencies[name], 16)):
            p95 = statistics.quantiles(values, n=20)[-1]
            row += f"{1000 * statistics.median(values):>{width}.1f}{1000 * p95:>14.1f}"
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
