"""The command line of the stand-in: `python -m tests.stand_in`."""

import argparse
import asyncio
import contextlib
import math
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import uvicorn

from tests.stand_in.batching import Engine
from tests.stand_in.files import BUNDLED, Files, NoModel, open_folder
from tests.stand_in.metrics import Metrics
from tests.stand_in.requests import MAX_STOP_SEQUENCES, Limits
from tests.stand_in.rows import choose_rows
from tests.stand_in.runtime import Runtime, UnsupportedGraph
from tests.stand_in.server import routes
from tests.stand_in.service import Json, Service
from tests.stand_in.text import Text

# The context that the playground is made for; a longer one would only cost memory on a CPU.
LONGEST = 8192

REPOSITORY = re.compile(r"[\w.\-]+/[\w.\-]+")


def create_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stand_in",
        description=(
            "A server on the CPU that speaks the HTTP API of Text Generation Inference: "
            "/generate, /generate_stream, /tokenize, /chat_tokenize, /info, /health, /metrics."
        ),
        epilog=(
            "Without --model it serves the small model that comes with it. It says "
            "'tests.stand_in listening on …' when it is ready. SIGTERM lets the running answers "
            "finish for --grace seconds."
        ),
    )
    parser.add_argument(
        "--model",
        metavar="PATH_OR_HUB_ID",
        help="a folder with an ONNX export, or a repository on the Hugging Face Hub "
        "such as org/name, whose ONNX export is fetched (default: the bundled model)",
    )
    parser.add_argument("--revision", metavar="NAME", help="of the repository (its main branch)")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8080, help="0 takes any free port (%(default)s)"
    )
    parser.add_argument(
        "--max-total-tokens",
        type=_positive,
        metavar="N",
        help=f"prompt and answer together (the model's context, at most {LONGEST})",
    )
    parser.add_argument(
        "--max-input-tokens", type=_positive, metavar="N", help="the prompt (one less)"
    )
    parser.add_argument(
        "--max-concurrent-requests",
        type=_positive,
        metavar="N",
        default=128,
        help="more are refused with 429 (%(default)s)",
    )
    parser.add_argument(
        "--max-batch-size",
        type=_positive,
        metavar="N",
        default=32,
        help="answers written at the same time; further ones wait (%(default)s)",
    )
    parser.add_argument(
        "--cache-mib",
        type=_positive,
        metavar="N",
        default=2048,
        help="memory for the keys and values of running answers, in MiB; further answers wait "
        "(%(default)s)",
    )
    parser.add_argument(
        "--tokens-per-second",
        type=_amount,
        metavar="N",
        default=0.0,
        help="write an answer at this pace at most, as a larger model would (0: full speed)",
    )
    parser.add_argument(
        "--threads",
        type=_positive,
        metavar="N",
        default=1,
        help="threads of ONNX Runtime inside one step (%(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=_amount,
        metavar="SECONDS",
        default=10.0,
        help="how long running answers may go on after SIGTERM (%(default)s)",
    )
    parser.add_argument(
        "--stock",
        action="store_true",
        help="behave as unmodified TGI does: no presence_penalty, no min_p, and TGI's own weak "
        "frequency_penalty",
    )
    return parser


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _amount(value: str) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise argparse.ArgumentTypeError("must be a number from 0")
    return number


def _find(model: str | None, revision: str | None) -> Files:
    """The bundled model (``None``), a folder's, or a repository's. Raises NoModel."""
    if model is None:
        return open_folder(BUNDLED, "tests.stand_in/bundled")
    path = Path(model).expanduser()
    if path.is_dir():
        return open_folder(path, model)
    if not REPOSITORY.fullmatch(model):
        raise NoModel(
            f"There is no folder {model}, and it is no name of a repository such as org/name."
        )
    from tests.stand_in.hub import fetch  # takes a quarter of a second, which most starts can save

    return fetch(model, revision)


def _limits(options: argparse.Namespace, files: Files) -> Limits:
    context = files.config.get("max_position_embeddings") or files.config.get("n_positions")
    total = options.max_total_tokens or min(context or LONGEST, LONGEST)
    longest_input = options.max_input_tokens or total - 1
    if longest_input >= total:
        raise NoModel(
            f"--max-input-tokens ({longest_input}) must be less than the total of {total} tokens."
        )
    return Limits(
        max_input_tokens=longest_input,
        max_total_tokens=total,
        max_concurrent_requests=options.max_concurrent_requests,
        max_batch_size=options.max_batch_size,
        stock=options.stock,
    )


def _ends(files: Files, text: Text) -> frozenset[int]:
    """The tokens that end an answer, as the model's files name them."""
    for config in (files.generation_config, files.config):
        named = config.get("eos_token_id")
        if named is not None:
            return frozenset(named if isinstance(named, list) else [named])
    number = text.number(text.eos) if text.eos else None
    return frozenset() if number is None else frozenset({number})


def _info(files: Files, limits: Limits) -> Json:
    info: Json = {
        "name": "Embedded",
        "model_id": files.name,
        "model_sha": files.sha,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": limits.max_concurrent_requests,
        "max_best_of": 1,
        "max_stop_sequences": MAX_STOP_SEQUENCES,
        "max_input_tokens": limits.max_input_tokens,
        "max_total_tokens": limits.max_total_tokens,
        "validation_workers": 1,
        "max_client_batch_size": 1,
        "router": "tgi-stand-in",
        "version": _version(),
        "sha": None,
        "docker_label": None,
    }
    if not limits.stock:
        native = ("temperature", "top_p", "top_k", "repetition_penalty", "min_p")
        openai = ("frequency_penalty", "presence_penalty")
        info["samplers"] = dict.fromkeys(native, "native") | dict.fromkeys(openai, "openai")
    return info


def _version() -> str:
    try:
        return metadata.version("kto-mistral-playground")
    except metadata.PackageNotFoundError:  # run from a folder that is not installed
        return "0"


class Server(uvicorn.Server):
    """uvicorn, with our own signals, last words and first line."""

    def __init__(self, config: uvicorn.Config, engine: Engine, address: str, grace: float) -> None:
        super().__init__(config)
        self._engine = engine
        self._address = address
        self._grace = grace

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While this lasts, SIGTERM and SIGINT end the server with its grace."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        """Take no more connections; give the running answers their time, then end them."""
        if self.should_exit:  # asked twice: at once
            self._engine.abort("the server was stopped.")
            return
        self.should_exit = True
        message = "the server is shutting down and could not wait for the end of this answer."
        asyncio.get_running_loop().call_later(self._grace, self._engine.abort, message)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the engine's thread, listen, and say so."""
        for bound in sockets or []:
            bound.listen(self.config.backlog)  # uvloop would not tell if this fails
        self._engine.start(asyncio.get_running_loop())
        await super().startup(sockets)
        if self.started:
            print(f"tests.stand_in listening on {self._address}", flush=True)


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: connections are refused until the model is warm."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(kind, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise NoModel(
            f"Cannot listen on {host}:{port}: {reason}. Choose another port with --port; "
            "0 takes any free one."
        ) from None
    return bound


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal. Gives the exit code: 0, or 2 when the server cannot be started."""
    options = create_parser().parse_args(arguments)
    try:
        bound = _bind(options.host, options.port)
        files = _find(options.model, options.revision)
        limits = _limits(options, files)
        text = Text.load(files.tokenizer, files.tokenizer_config)
        runtime = Runtime(files.graph, files.config, threads=options.threads)
        rows = choose_rows(runtime)
    except (NoModel, UnsupportedGraph, OSError, ValueError) as error:
        print(f"tests.stand_in: {error}", file=sys.stderr)
        return 2
    metrics = Metrics(limits.max_total_tokens)
    engine = Engine(
        runtime,
        text,
        rows,
        ends=_ends(files, text),
        max_batch_size=limits.max_batch_size,
        cache_bytes=options.cache_mib * 2**20,
        metrics=metrics,
        tokens_per_second=options.tokens_per_second,
    )
    application = routes(Service(engine, text, limits, metrics, _info(files, limits)))
    config = uvicorn.Config(
        application,
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,  # seconds; a client's pool should give up its connections first
        timeout_graceful_shutdown=int(options.grace) + 5,
    )
    server = Server(config, engine, _address(bound), options.grace)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        try:
            runner.run(server.serve([bound]))
        except OSError as error:  # another program began to listen there in the meantime
            print(f"tests.stand_in: Cannot listen on {_address(bound)}: {error}", file=sys.stderr)
            return 2
        finally:
            engine.abort("the server has stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
