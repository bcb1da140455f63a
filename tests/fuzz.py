"""Schemathesis against the application in front of an engine of the tests: `make fuzz`.

Ten minutes, or as many seconds as the command line says. Every answer is held against the document;
a status that is not in it, an answer or event of another form, and any 5xx fail the run.

Schemathesis loads this file as its hooks, too. All of its requests come from one browser, so that
it may change what it has made, and each from an address of its own, since the limits of one address
would refuse most of them.
"""

import asyncio
import itertools
import os
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import schemathesis

from playground.auth.cookies import BROWSER
from tests.api.test_proof import ANSWER as PROVING
from tests.application import Application
from tests.faults import Peer
from tests.stock import INFO, tgi, writing

_SECONDS: Final = 600
_PROXY: Final = "127.0.0.0/8"
_requests: Final = itertools.count(1)
# A rule between two fields, which no schema can say, is as good a reason to refuse as one within.
_LEFT_OUT: Final = "positive_data_acceptance"
_JUDGED_BY: Final = Path(__file__).with_name("schemathesis.toml")


def before_call(context: Any, case: Any, kwargs: Any) -> None:
    address = IPv4Address("10.0.0.0") + next(_requests)
    case.headers = {**(case.headers or {}), "X-Forwarded-For": str(address)}
    case.cookies = {**(case.cookies or {}), BROWSER: "a" * 32}


schemathesis.hook(before_call)


async def _generation(peer: Peer) -> None:
    if peer.request.path == "/generate":
        await peer.answer(PROVING)
    else:
        await writing(["Hello", " *there*", ".\n"])(peer)


async def _fuzz(seconds: int) -> int:
    info = {**INFO, "max_input_tokens": 4000, "max_total_tokens": 8000}
    async with tgi(_generation, info=info) as server:
        with Application(server.url, trusted_proxies=_PROXY, open=True) as site:
            running = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={_JUDGED_BY}",
                "run",
                f"{site.url}/api/openapi.json",
                f"--max-time={seconds}",
                f"--exclude-checks={_LEFT_OUT}",
                "--continue-on-failure",
                "--wait-for-schema=60",
                env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz"},
            )
            return await running.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else _SECONDS)))
