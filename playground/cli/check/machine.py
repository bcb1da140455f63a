"""The machine that TGI is to run on: its GPU, Docker, the image, room on the disk."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from playground.cli.check.findings import Finding, fault, note, ok, skipped

IMAGE: Final = "ghcr.io/huggingface/text-generation-inference:3.3.7"
_PATIENCE_S: Final = 10.0
_CAPABILITY: Final = 8.0  # below it TGI has no kernel for FP8
_MEMORY_MIB: Final = 15_000  # cards of 16 GB say a little less
_WEIGHTS_GB: Final = 15
_IMAGE_GB: Final = 15


async def examine_machine() -> AsyncIterator[Finding]:
    """What can be seen from here; what is not installed is skipped."""
    for finding in await _gpus():
        yield finding
    info = await _docker()
    if isinstance(info, Finding):
        yield info
    else:
        yield _runtime(info)
        yield await _image()
        yield _disk(Path(str(info.get("DockerRootDir", "/"))))


async def _gpus() -> list[Finding]:
    name = "GPU"
    asked = "name,compute_cap,memory.total"
    done = await _run("nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits")
    if done is None:
        return [skipped(name, "nvidia-smi is not here: run the check on TGI's machine.")]
    status, output = done
    if status:
        return [
            fault(
                name,
                f"nvidia-smi says: {output.strip().splitlines()[0] if output.strip() else status}",
                "The driver does not work: install or reload NVIDIA's driver, or restart the "
                "machine after its update.",
            )
        ]
    return [_gpu(line) for line in output.splitlines() if line.strip()]


def _gpu(line: str) -> Finding:
    name = "GPU"
    try:
        model, capability, memory = (part.strip() for part in line.rsplit(",", 2))
        number, mib = float(capability), float(memory)
    except ValueError:
        return skipped(name, f"nvidia-smi says {line!r}, of which nothing can be told.")
    words = f"{model}, compute capability {capability}, {mib / 1024:.0f} GiB"
    if number < _CAPABILITY:
        return fault(
            name,
            f"{words}: FP8 in TGI needs 8.0 or newer.",
            "Use a GPU of the generations Ampere, Ada or Hopper (A10, L4, RTX 3090 and newer), or "
            "try QUANTIZE=eetq in tgi/serve/fp8.env, which was not tested here.",
        )
    if mib < _MEMORY_MIB:
        return fault(
            name,
            f"{words}: the weights take 7.5 GB in FP8, and the conversations the rest.",
            "16 GB are the sensible minimum; below, set MAX_TOTAL_TOKENS=4096, "
            "MAX_INPUT_TOKENS=3968 and MAX_BATCH_PREFILL_TOKENS=4018 in tgi/serve/fp8.env.",
        )
    how = "computes in FP8" if number >= 9 else "keeps weights in FP8 and computes in 16 bits"
    return ok(name, f"{words}: {how}")


async def _docker() -> dict[str, object] | Finding:
    name = "Docker"
    done = await _run("docker", "info", "--format", "{{json .}}")
    if done is None:
        return skipped(name, "docker is not here.")
    status, output = done
    with suppress(ValueError):
        info = json.loads(output)
        if not status and isinstance(info, dict) and info.get("ServerVersion"):
            return info
    return note(
        name,
        "docker is here, and its daemon does not answer.",
        "Start it (`sudo systemctl start docker`), or let this user reach it (`sudo usermod -aG "
        "docker $USER`, and a new login).",
    )


def _runtime(info: dict[str, object]) -> Finding:
    runtimes = info.get("Runtimes")
    if isinstance(runtimes, dict) and "nvidia" in runtimes:
        return ok("Docker", f"{info.get('ServerVersion')} with NVIDIA's runtime")
    return fault(
        "Docker",
        "It has no runtime for NVIDIA's GPUs (compose would say: could not select device driver).",
        "Install nvidia-container-toolkit, then `sudo nvidia-ctk runtime configure "
        "--runtime=docker` and `sudo systemctl restart docker`. Without a GPU: `docker compose -f "
        "docker-compose.yml -f tgi/serve/cpu.yml up`.",
    )


async def _image() -> Finding:
    done = await _run("docker", "image", "inspect", "--format", "{{.Id}}", IMAGE)
    if done is not None and not done[0]:
        return ok("image", f"{IMAGE} is there")
    return note(
        "image",
        f"{IMAGE} is not there yet.",
        f"`docker compose up` pulls it; `docker compose pull tgi` does it ahead ({_IMAGE_GB} GB).",
    )


def _disk(folder: Path) -> Finding:
    """folder: where Docker keeps images and volumes."""
    name = "disk"
    place = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(place).free / 1e9
    words = f"{free:.0f} GB are free in {folder}"
    if free < _WEIGHTS_GB:
        return fault(
            name,
            f"{words}; the weights are {_WEIGHTS_GB} GB and the image about as much, where they "
            "are not there yet.",
            "Free some (`docker system df` shows what Docker holds), or move Docker's data-root.",
        )
    return ok(name, words)


async def _run(program: str, *arguments: str) -> tuple[int, str] | None:
    """A program's exit status and what it said; None when it is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    return await _said([path, *arguments])


async def _said(command: Sequence[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, f"no answer within {_PATIENCE_S:g} s"
    return process.returncode or 0, output.decode(errors="replace")
