"""`python -m playground.cli.demo.llamacpp`: llama.cpp's server on a model, as a process of its own.

Its own, since loading a model holds Python's lock, and a fault in it must not end the page.
"""

import argparse
import importlib.util
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playground.cli.demo.errors import DownloadBroken, ModelError
from playground.cli.demo.gguf import Header, read_header
from playground.cli.demo.model import LocalModel, Model
from playground.cli.demo.progress import Teller
from playground.cli.demo.room import Layout, free_memory, lay_out
from playground.cli.demo.sources import PACKAGES, find_model
from playground.cli.demo.waiting import Waiting
from playground.cli.terminal import printable
from playground.engines.base import Progress

UNUSABLE: Final = 2  # exit status: to start it anew would not help
READY: Final = "llama.cpp listening on "  # begins the line that says so
PREFIX: Final = "playground demo: "  # begins the line that says why it ended
# The variable with the key that requests must bring; without it llama.cpp wants none.
KEY: Final = "LLAMA_API_KEY"

_ERRORS_ALONE: Final = 1  # llama.cpp's verbosity
_MOST_THREADS: Final = 16


def create_parser() -> argparse.ArgumentParser:
    """Its options."""
    parser = argparse.ArgumentParser(prog="python -m playground.cli.demo.llamacpp")
    parser.add_argument("--model", help="a GGUF file, or owner/name[:QUANTISATION] on the Hub")
    parser.add_argument("--name", help="the model's name for people")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--threads", type=int, help="by default one less than there are cores")
    parser.add_argument(
        "--child",
        action="store_true",
        help="end when standard input does, which a parent holds open, even one that is killed",
    )
    return parser


def require_runtime() -> None:
    """Raise ModelError when llama.cpp is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise ModelError(
            "llama.cpp is not installed. `make demo` installs it; without make: " + PACKAGES
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal, or the parent's end.

    Returns:
        The exit status.
    """
    options = create_parser().parse_args(arguments)
    # A signal ends it at once, in the midst of loading too: nothing is to be saved. The first
    # process of a container has no such default.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.child:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        require_runtime()
        model = find_model(options.model)
        path = _fetch(model, options.host, options.port)
        _serve(path, options.name or model.name, options.host, options.port, options.threads)
    except (DownloadBroken, ModelError) as error:
        print(printable(f"{PREFIX}{error}"), file=sys.stderr, flush=True)
        return UNUSABLE
    return 0


def _fetch(model: Model, host: str, port: int) -> Path:
    tell = Teller(_tell)
    if isinstance(model, LocalModel):
        return model.path
    _check_port(host, port)
    with Waiting(host, port, model.name) as waiting:

        def report(reason: str, progress: Progress | None) -> None:
            tell(reason, progress)
            waiting(reason, progress)

        return model.fetch(report, threading.Event())


def _tell(line: str) -> None:
    print(printable(line), flush=True)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # without the lock that a buffer has at the end
        pass
    os._exit(0)


def _serve(path: Path, name: str, host: str, port: int, threads: int | None) -> None:
    try:
        import xllamacpp  # here, and in no other process
    except ImportError as error:
        raise ModelError(
            f"llama.cpp cannot be loaded: {error}. Where libgomp.so.1 is missing, the system's "
            "package libgomp1 has it (on Debian and Ubuntu; elsewhere libgomp)."
        ) from error
    header = read_header(path)
    layout = lay_out(header, path.stat().st_size, name, free_memory())
    _check_port(host, port)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {name}
    parameters.hostnames = [host]
    parameters.port = port
    parameters.n_parallel = layout.slots
    parameters.n_ctx = layout.slots * layout.context
    for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
        cpu.n_threads = threads or _threads()
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = False  # it tells what others ask, and nothing here reads it
    if key := os.environ.get(KEY):
        parameters.api_keys = [key]
    parameters.verbosity = _ERRORS_ALONE
    parameters.ui = False
    parameters.cors_origins = ""  # no web page asks it past the playground
    parameters.cache_ram_mib = 0  # by default 8 GiB of old conversations
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise ModelError(_why(path, header)) from error
    _tell(f"{READY}{server.listening_address}: {_described(name, header, layout)}")
    threading.Event().wait()


def _described(name: str, header: Header, layout: Layout) -> str:
    kind = f", {header.quantisation}" if header.quantisation else ""
    return f"{name}{kind}, {layout.slots} answers of {layout.context} tokens at a time"


def _why(path: Path, header: Header) -> str:
    from importlib.metadata import version

    return (
        f"llama.cpp (xllamacpp {version('xllamacpp')}) cannot load {path}, a model of the "
        f"architecture {header.architecture}; its own lines before this one say why. Take a model "
        "of an architecture that it knows, or fetch this one anew."
    )


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ModelError(
            f"llama.cpp cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}. Another "
            "program may be there; start again, or choose another port."
        ) from error


def _threads() -> int:
    """One core is left to the page and the rest of the machine.

    Two threads on two cores that are busy were eight times slower than one: each waits for the
    other, and neither for the work.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, cores - 1))


if __name__ == "__main__":
    sys.exit(main())
