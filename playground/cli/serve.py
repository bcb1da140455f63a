"""`playground serve`: the page, in front of an engine that runs elsewhere or beside it."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from playground.auth.hosts import Tunnel
from playground.auth.secret import with_secret
from playground.cli.server import Server
from playground.cli.terminal import printable
from playground.domain.errors import PlaygroundError
from playground.domain.presets import Preset, load_presets
from playground.engines.base import EngineAddress
from playground.engines.factory import engine_addresses, make_engines
from playground.engines.registry import Engines
from playground.settings import Settings

UNUSABLE: Final = 2  # exit status
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


def say(settings: Settings, words: str) -> None:
    """Tell whoever started this: on stdout, or in the log where programs read it."""
    if settings.log_format == "json":
        _log.info(words)
    else:
        print(printable(words), flush=True)


def serve(
    settings: Settings,
    engines: Engines | None = None,
    *,
    presets: Sequence[Preset] = (),
    beside: Callable[[Callable[[], None]], None] = lambda end: None,
) -> int:
    """Run the page until it is told to stop; running answers may finish for a while.

    Args:
        engines: In the place of those that the settings name.
        presets: Before those that the settings name.
        beside: Is called once with what ends the page, before its first request.

    Returns:
        The exit status.
    """
    from playground.app import create_app  # here, since other commands need none of it

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        listeners = [listener]
        tunnel = None
        if settings.tunnel:
            listeners.append(stack.enter_context(_listen("127.0.0.1", 0)))
            tunnel = Tunnel(listeners[-1].getsockname()[1])
        engines = engines or make_engines(settings)
        app = create_app(settings, tunnel, engines=engines, presets=presets)
        _say_where(settings, listener, engines.addresses)
        server = Server(app, settings, tunnel_port=tunnel.port if tunnel else None)

        def end() -> None:
            server.should_exit = True

        beside(end)
        if tunnel is not None:
            from playground.cli.tunnel import PublicAddress  # which imports Gradio

            address = PublicAddress(tunnel, partial(say, settings))
            stack.callback(address.close)
            address.open()
        server.run(sockets=listeners)
        return 0


def serve_by_several(settings: Settings) -> int:
    """Run the page in as many processes as the settings say, until they are told to stop.

    Returns:
        The exit status.

    Raises:
        UsageError: Several processes cannot serve it so.
        PresetsError: When the presets file cannot be read.
        SettingsError: The file with the engines cannot be used.
    """
    if settings.limits_url is None:
        raise UsageError(
            "Several workers count together, and tell each other of stops, in a Valkey or Redis: "
            "PLAYGROUND_LIMITS_URL must name it."
        )
    if settings.tunnel:
        raise UsageError("A tunnel leads to one process: leave out --workers, or --tunnel.")
    if settings.max_streams < settings.workers:
        raise UsageError(
            f"PLAYGROUND_MAX_STREAMS is {settings.max_streams}, less than one for each of "
            f"{settings.workers} workers."
        )
    from playground.cli.workers import serve_by_workers

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    settings = with_secret(settings)  # here, so that all have the same
    addresses = engine_addresses(settings)
    load_presets(settings.presets_file)  # here, so that what is wrong with it is said once
    with _listen(settings.host, settings.port) as listener:
        _say_where(settings, listener, addresses)
        return 0 if serve_by_workers(settings, [listener]) else UNUSABLE


def _say_where(
    settings: Settings, listener: socket.socket, engines: Sequence[EngineAddress]
) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    say(settings, f"Playground: http://{host}:{port}{settings.root_path}/")
    for each in engines:
        say(settings, f"Engine: {each.url}")
