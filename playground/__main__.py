"""The command line: `playground serve | demo | check | users | share`; `python -m playground` is
the same."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from playground import logs
from playground.auth.command import add_users_command, change_users
from playground.auth.exposure import check_exposure
from playground.doctor.command import check
from playground.errors import PlaygroundError
from playground.names import Tunnel
from playground.presets import PresetsError
from playground.server import Server
from playground.settings import Settings, SettingsError, load_settings, unknown_names
from playground.sharing import add_share_command, share

_EPILOG: Final = """settings are read from the environment and from .env: PLAYGROUND_TGI_URL,
PLAYGROUND_HOST, PLAYGROUND_PORT and the others that .env.example explains."""
_OPTIONS: Final = ("host", "port", "tgi_url", "tunnel", "open")  # settings, too
_UNUSABLE: Final = 2  # exit status of this program and of the embedded engine
_DEMO_PACE: Final = 60.0  # tokens a second

_log = logging.getLogger("playground")


class UsageError(Exception):
    """What the user asked for cannot be done; the text says why and what to do."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="playground",
        description="A browser playground for ContextualAI/Contextual_KTO_Mistral_PairRM on TGI.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serve = commands.add_parser(
        "serve", help="the page, in front of a TGI that runs elsewhere", epilog=_EPILOG
    )
    demo = commands.add_parser(
        "demo", help="the page and an embedded engine on this CPU, in one go", epilog=_EPILOG
    )
    demo.add_argument(
        "--model", metavar="PATH_OR_HUB_ID", help="another ONNX model than the bundled one"
    )
    demo.add_argument(
        "--tokens-per-second",
        type=float,
        default=_DEMO_PACE,
        metavar="N",
        help=f"pace of an answer ({_DEMO_PACE:g}, about a 7B model on one GPU); 0 is full speed",
    )
    doctor = commands.add_parser(
        "check", help="what the engine says of itself, or what is wrong and the fix", epilog=_EPILOG
    )
    doctor.add_argument(
        "--samplers",
        action="store_true",
        help="prove which of the seven parameters take effect, with some 280 short answers",
    )
    doctor.add_argument("--json", action="store_true", help="print the check as JSON")
    for command in (serve, doctor):
        command.add_argument("--tgi-url", metavar="URL", help="where TGI answers")
    for command in (serve, demo):
        command.add_argument("--host", help="address to listen on (127.0.0.1)")
        command.add_argument(
            "--port", type=int, help="port to listen on (7860); 0 takes a free one"
        )
        command.add_argument(
            "--tunnel",
            action="store_true",
            default=None,
            help="also open a temporary public address, by Gradio's tunnel",
        )
        command.add_argument(
            "--open",
            action="store_true",
            default=None,
            help="let everybody in who reaches it, without a login",
        )
    add_users_command(commands)
    add_share_command(commands)
    return parser


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Choose another port with --port or PLAYGROUND_PORT."
        ) from error


def _say(settings: Settings, words: str) -> None:
    """Tell whoever started this: on stdout, or in the log where programs read it."""
    if settings.log_format == "json":
        _log.info(words)
    else:
        print(words, flush=True)


def _serve(settings: Settings, engine: "subprocess.Popen[bytes] | None" = None) -> int:
    """Run the page until it is told to stop; running answers may finish for a while.

    An engine beside it that cannot start ends the page too. One that dies later does not: the page
    says so, and finds an engine that is started anew on the same port. Returns the exit status.
    """
    from playground.app import create_app  # here, since Gradio takes a second to import
    from playground.ui.tunnel import PublicAddress

    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        listeners = [listener]
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        tunnel = None
        if settings.tunnel:
            listeners.append(stack.enter_context(_listen("127.0.0.1", 0)))
            tunnel = Tunnel(listeners[-1].getsockname()[1])
        app = create_app(settings, tunnel)
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        _say(settings, f"Playground: http://{host}:{port}{settings.root_path}/")
        _say(settings, f"Engine: {settings.tgi_url}")
        server = Server(app, settings)
        if engine is not None:

            def watch() -> None:
                status = engine.wait()
                if status == _UNUSABLE:
                    server.should_exit = True
                elif not server.should_exit:
                    _say(
                        settings,
                        f"The embedded engine has ended (status {status}). The page stays, and no "
                        "answers come until `playground demo` is started anew.",
                    )

            threading.Thread(target=watch, daemon=True).start()
        if tunnel is not None:
            address = PublicAddress(tunnel, partial(_say, settings))
            stack.callback(address.close)
            address.open()
        server.run(sockets=listeners)
        return _UNUSABLE if engine is not None and engine.poll() == _UNUSABLE else 0


def _demo(settings: Settings, model: str | None, tokens_per_second: float) -> int:
    """Run the embedded engine as a process of its own beside the page, and end it with the page."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tgi.embedded", "--port", str(port)]
    command += ["--tokens-per-second", f"{tokens_per_second:g}"]
    if model is not None:
        command += ["--model", model]
    with ExitStack() as stack:
        # In a group of its own: Ctrl-C in a terminal is for the page, whose answers need it still.
        engine = subprocess.Popen(command, process_group=0)
        stack.callback(engine.wait)
        stack.callback(engine.terminate)
        _say(settings, f"Embedded engine: process {engine.pid}; {' '.join(command[1:])}")
        return _serve(settings.model_copy(update={"tgi_url": f"http://127.0.0.1:{port}"}), engine)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns the exit status: 0 done, 1 the check found a fault, 2 unusable."""
    options = _parser().parse_args(arguments)
    try:
        given = {name: getattr(options, name, None) for name in _OPTIONS}
        settings = load_settings(
            **{name: value for name, value in given.items() if value is not None}
        )
        unknown = unknown_names()
        if unknown and settings.log_format == "text":
            print(f"playground: {unknown}", file=sys.stderr)
        if options.command == "check":
            return asyncio.run(check(settings, samplers=options.samplers, as_json=options.json))
        if options.command == "users":
            return change_users(options, settings)
        if options.command == "share":
            return share(options, settings)
        check_exposure(settings)
        # uvicorn raises a signal again when it has stopped, and by default that would end this
        # process before it has ended the engine.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # a terminal that is closed
            signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))
        logs.configure(settings.log_format, settings.log_level)
        if unknown and settings.log_format == "json":
            _log.warning(unknown)
        if options.command == "demo":
            return _demo(settings, options.model, options.tokens_per_second)
        return _serve(settings)
    except (SettingsError, UsageError, PresetsError, PlaygroundError) as error:
        print(f"playground: {error}", file=sys.stderr)
        return _UNUSABLE
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
