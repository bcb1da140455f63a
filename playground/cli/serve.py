"""`playground serve` and `playground demo`: the page, alone or with an engine beside it."""

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import Final

from playground.auth.hosts import Tunnel
from playground.cli.server import Server
from playground.domain.errors import PlaygroundError
from playground.engines.factory import engine_addresses
from playground.settings import Settings

UNUSABLE: Final = 2  # exit status of this program and of the embedded engine
DEMO_PACE: Final = 60.0  # tokens a second

_log = logging.getLogger("playground")


class UsageError(PlaygroundError):
    """What the user asked for cannot be done; the text says why and what to do."""

    kind = "usage"


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


def serve(settings: Settings, engine: "subprocess.Popen[bytes] | None" = None) -> int:
    """Run the page until it is told to stop; running answers may finish for a while.

    An engine beside it that cannot start ends the page too. One that dies later does not: the page
    says so, and finds an engine that is started anew on the same port.

    Returns:
        The exit status.
    """
    from playground.app import create_app  # here, since other commands need none of it

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
        for each in engine_addresses(settings):
            _say(settings, f"Engine: {each.url}")
        server = Server(app, settings)
        if engine is not None:

            def watch() -> None:
                status = engine.wait()
                if status == UNUSABLE:
                    server.should_exit = True
                elif not server.should_exit:
                    _say(
                        settings,
                        f"The embedded engine has ended (status {status}). The page stays, and no "
                        "answers come until `playground demo` is started anew.",
                    )

            threading.Thread(target=watch, daemon=True).start()
        if tunnel is not None:
            from playground.cli.tunnel import PublicAddress  # which imports Gradio

            address = PublicAddress(tunnel, partial(_say, settings))
            stack.callback(address.close)
            address.open()
        server.run(sockets=listeners)
        return UNUSABLE if engine is not None and engine.poll() == UNUSABLE else 0


def demo(settings: Settings, model: str | None, tokens_per_second: float) -> int:
    """Run the embedded engine as a process of its own beside the page, and end it with the page."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.stand_in", "--port", str(port)]
    command += ["--tokens-per-second", f"{tokens_per_second:g}"]
    if model is not None:
        command += ["--model", model]
    with ExitStack() as stack:
        # In a group of its own: Ctrl-C in a terminal is for the page, whose answers need it still.
        engine = subprocess.Popen(command, process_group=0)
        stack.callback(engine.wait)
        stack.callback(engine.terminate)
        _say(settings, f"Embedded engine: process {engine.pid}; {' '.join(command[1:])}")
        return serve(
            settings.model_copy(
                update={"engine_url": f"http://127.0.0.1:{port}", "engines_file": None}
            ),
            engine,
        )
