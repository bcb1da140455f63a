"""The command line of the stand-in: `python -m tests.stand_in`."""

import argparse
import asyncio
import contextlib
import math
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.stand_in.batching import Engine
from tests.stand_in.metrics import Metrics
from tests.stand_in.requests import MAX_BEST_OF, MAX_STOP_SEQUENCES, Limits
from tests.stand_in.rows import choose_rows
from tests.stand_in.runtime import Runtime
from tests.stand_in.server import routes
from tests.stand_in.service import Json, Service
from tests.stand_in.text import Text

MODEL = Path(__file__).parent / "model"


class NotStarted(Exception):
    """The server cannot be started; the message says why and what to do."""


def create_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stand_in",
        description=(
            "A server on the CPU that follows Text Generation Inference 3.3.7 on the wire: "
            "/generate, /generate_stream, /tokenize, /chat_tokenize, /info, /health, /metrics."
        ),
        epilog=(
            "It says 'tests.stand_in listening on …' when it is ready. SIGTERM lets the running "
            "answers finish for --grace seconds."
        ),
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8080, help="0 takes any free port (%(default)s)"
    )
    parser.add_argument(
        "--max-total-tokens",
        type=_positive,
        metavar="N",
        help="prompt and answer together (the model's context; beyond it what is written is "
        "nonsense)",
    )
    parser.add_argument(
        "--max-input-tokens", type=_positive, metavar="N", help="the prompt (one less)"
    )
    parser.add_argument(
        "--max-concurrent-requests",
        type=_positive,
        metavar="N",
        default=256,
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
        "--all-samplers",
        action="store_true",
        help="apply what TGI does not: presence_penalty and min_p, and frequency_penalty in "
        "OpenAI's meaning",
    )
    parser.add_argument(
        "--max-top-n-tokens",
        type=int,
        metavar="N",
        default=5,
        help="how many of the likeliest tokens of a place may be asked for (%(default)s)",
    )
    parser.add_argument(
        "--raw-top-tokens",
        action="store_true",
        help="tell the likeliest tokens by the model's own probabilities, as TGI on a CPU does",
    )
    parser.add_argument(
        "--endless",
        action="store_true",
        help="never end an answer but at its limit or a stop sequence, for tests of long ones",
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


def _limits(options: argparse.Namespace, context: int) -> Limits:
    total = options.max_total_tokens or context
    longest_input = options.max_input_tokens or total - 1
    if longest_input >= total:
        raise NotStarted(
            f"--max-input-tokens ({longest_input}) must be less than the total of {total} tokens."
        )
    return Limits(
        max_input_tokens=longest_input,
        max_total_tokens=total,
        max_concurrent_requests=options.max_concurrent_requests,
        max_batch_size=options.max_batch_size,
        all_samplers=options.all_samplers,
        max_top_n_tokens=options.max_top_n_tokens,
        raw_top_tokens=options.raw_top_tokens,
    )


def _info(limits: Limits) -> Json:
    info: Json = {
        "name": "Stand-in",
        "model_id": "tests.stand_in/bundled",
        "model_sha": None,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": limits.max_concurrent_requests,
        "max_best_of": MAX_BEST_OF,
        "max_stop_sequences": MAX_STOP_SEQUENCES,
        "max_input_tokens": limits.max_input_tokens,
        "max_total_tokens": limits.max_total_tokens,
        "validation_workers": 1,
        "max_client_batch_size": 4,
        "router": "tgi-stand-in",
        "version": _version(),
        "sha": None,
        "docker_label": None,
    }
    if limits.all_samplers:
        native = ("temperature", "top_p", "top_k", "repetition_penalty", "min_p")
        openai = ("frequency_penalty", "presence_penalty")
        info["samplers"] = dict.fromkeys(native, "native") | dict.fromkeys(openai, "openai")
    return info


def _version() -> str:
    try:
        return metadata.version("kto-mistral-playground")
    except metadata.PackageNotFoundError:  # run from a folder that is not installed
        return "0"


class Connection(HttpToolsProtocol):
    """Ends a connection that asked for an upgrade, as soon as it is answered.

    None is made here, and the parser takes the body of such a request for the next request.
    """

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to warn of."""


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
        raise NotStarted(
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
    config: Json = orjson.loads((MODEL / "config.json").read_bytes())
    try:
        limits = _limits(options, config["max_position_embeddings"])
        bound = _bind(options.host, options.port)
    except NotStarted as error:
        print(f"tests.stand_in: {error}", file=sys.stderr)
        return 2
    text = Text.load(MODEL)
    runtime = Runtime(MODEL / "model.onnx", threads=options.threads)
    metrics = Metrics(limits.max_total_tokens)
    engine = Engine(
        runtime,
        text,
        choose_rows(runtime),
        ends=frozenset({config["eos_token_id"]}),
        max_batch_size=limits.max_batch_size,
        cache_bytes=options.cache_mib * 2**20,
        metrics=metrics,
        tokens_per_second=options.tokens_per_second,
        endless=options.endless,
    )
    application = routes(Service(engine, text, limits, metrics, _info(limits)))
    serving = uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,  # seconds; a client's pool should give up its connections first
        timeout_graceful_shutdown=int(options.grace) + 5,
    )
    server = Server(serving, engine, _address(bound), options.grace)
    with asyncio.Runner(loop_factory=serving.get_loop_factory()) as runner:
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
