"""Start vLLM on this machine's CPU, measure its streams, and prove its samplers: `make vllm`.

It takes all cores and 4 GB of memory, a minute or two until it is ready, and some 20 minutes then.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from playground.domain.messages import Message
from playground.domain.prompt import render
from playground.domain.samplers import Sampler
from playground.engines.base import Finish, GenerationRequest
from playground.engines.openai import OpenAIEngine
from tests.llamacpp import small_model

_READY_S = 600.0
_TOKENS = 64


@contextmanager
def vllm(home: Path, port: int) -> Iterator[str]:
    """A vLLM with the small model; its address. What it says is in a file beside it."""
    python, folder = home / "bin" / "python", home / "SmolLM2-135M-Instruct"
    if not (folder / "config.json").exists():
        script = Path(__file__).parent / "model.py"
        subprocess.run([python, script, small_model(), folder], check=True)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_NO_USAGE_STATS": "1",
    }
    options = {
        "--model": folder,
        "--served-model-name": folder.name,
        "--host": "127.0.0.1",
        "--port": port,
        "--max-model-len": 2048,
        "--max-num-seqs": 16,
        "--generation-config": "vllm",
    }
    arguments = [str(each) for pair in options.items() for each in pair]
    module = ["-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    with (home / "vllm.log").open("wb") as log:
        server = subprocess.Popen(
            [python, *module, *arguments],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait(url, server, home / "vllm.log")
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until it is ready."""
    began = time.monotonic()
    while time.monotonic() - began < _READY_S:
        if server.poll() is not None:
            raise SystemExit(f"vLLM ended with {server.returncode}: {log} says why.")
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                print(f"vLLM is ready after {time.monotonic() - began:.0f} s.", flush=True)
                return
        time.sleep(0.5)
    raise SystemExit(f"vLLM was not ready within {_READY_S:g} s: see {log}.")


async def measure(url: str) -> None:
    """Print tokens a second of some streams at a time."""
    engine = OpenAIEngine(url, kind="vllm")
    try:
        info = (await engine.state()).info
        assert info is not None
        prompt = render([Message("user", "Tell me a story.")], info.prompt_format).text

        async def write(seed: int) -> int:
            request = GenerationRequest(prompt, Sampler(temperature=1.0), _TOKENS, seed, ())
            items = [item async for item in engine.stream(request)]
            assert isinstance(items[-1], Finish)
            return items[-1].generated_tokens

        await write(0)  # the first one is slow
        for streams in (1, 4, 16):
            began = time.monotonic()
            written = sum(await asyncio.gather(*map(write, range(streams))))
            seconds = time.monotonic() - began
            print(f"{streams} streams: {written / seconds:.0f} tokens/s", flush=True)
    finally:
        await engine.aclose()


def main() -> None:
    """Do it, and end with the status of `playground check`."""
    parser = argparse.ArgumentParser(prog="tests.vllm")
    parser.add_argument("home", type=Path, help="the virtual environment that vLLM is in")
    parser.add_argument("--port", type=int, default=8020)
    options = parser.parse_args()
    with vllm(options.home.absolute(), options.port) as url:
        asyncio.run(measure(url))
        command = ["-m", "playground", "check", "--samplers", "--engine-url", url]
        sys.exit(subprocess.run([sys.executable, *command], check=False).returncode)


if __name__ == "__main__":
    main()
