"""Does the time of a failed login tell whether the name exists?  python -m tests.bench.logins

Tries wrong passwords for names that exist and for names that do not, in random order, over HTTP,
and compares the times: medians, and the rank-sum test of Mann and Whitney. Each name is tried once
and each try has an address of its own, so that nothing is throttled.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from math import erfc, sqrt
from pathlib import Path
from typing import Final

import httpx
from argon2 import PasswordHasher

from playground.auth.passwords import stand_in
from tests.servers import Server

_PROXY: Final = "127.0.0.2"
_WARM_UP: Final = 10


def rank_sum(first: list[float], second: list[float]) -> float:
    """The two-sided p-value that two samples have one distribution, by the normal approximation."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    n, m = len(first), len(second)
    ranks = sum(i for i, (_, sample) in enumerate(ranked, 1) if sample == 0)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / sqrt(n * m * (n + m + 1) / 12)
    return erfc(abs(z) / sqrt(2))


def measure(tries: int) -> tuple[list[float], list[float]]:
    """Seconds of failed logins: of names that exist, and of names that do not."""
    hasher = PasswordHasher()
    count = tries + _WARM_UP
    with tempfile.TemporaryDirectory() as folder:
        lines = (f"known{i}:{stand_in('', {}, hasher)}\n" for i in range(count))
        (Path(folder) / "users").write_text("".join(lines))
        arguments = ["-m", "playground", "serve", "--port", "0", "--tgi-url", "http://127.0.0.1:9"]
        settings = {"AUTH": "users", "DATA_DIR": folder, "TRUSTED_PROXIES": _PROXY}
        env = {f"PLAYGROUND_{name}": value for name, value in settings.items()}
        order = [(i, kind) for i in range(count) for kind in ("known", "other")]
        tail = order[2 * _WARM_UP :]
        random.shuffle(tail)
        times: dict[str, list[float]] = {"known": [], "other": []}
        transport = httpx.HTTPTransport(local_address=_PROXY)
        with (
            Server(arguments, ready="Playground: http", env=env) as server,
            httpx.Client(base_url=server.url, transport=transport, timeout=60) as browser,
        ):
            for at, (i, kind) in enumerate(order[: 2 * _WARM_UP] + tail):
                address = f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}"
                fields = {"name": f"{kind}{i}", "password": "a wrong password"}
                begun = time.perf_counter()
                answer = browser.post("/login", data=fields, headers={"x-forwarded-for": address})
                took = time.perf_counter() - begun
                assert answer.status_code == 401, answer.text
                if at >= 2 * _WARM_UP:
                    times[kind].append(took)
    return times["known"], times["other"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=200, help="of each kind (200)")
    known, unknown = measure(parser.parse_args().tries)
    for name, sample in (("known", known), ("unknown", unknown)):
        low, middle, high = (1e3 * each for each in statistics.quantiles(sample, n=4))
        print(f"{name:<8} {len(sample)} tries: {middle:.2f} ms ({low:.2f} to {high:.2f})")
    apart = 1e3 * (statistics.median(known) - statistics.median(unknown))
    print(f"medians {apart:+.2f} ms apart; rank-sum test p = {rank_sum(known, unknown):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
