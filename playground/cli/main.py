"""The command line: `playground serve | demo | check | users | share | backup | restore`.

`python -m playground` is the same.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Final

from playground.auth.startup_checks import check_exposure
from playground.cli.backup import add_backup_commands, backup, restore
from playground.cli.check.command import check
from playground.cli.demo.command import demo
from playground.cli.serve import UNUSABLE, serve
from playground.cli.share import add_share_command, share
from playground.cli.terminal import printable
from playground.cli.users import add_users_command, change_users
from playground.domain.errors import PlaygroundError
from playground.settings import load_settings, unknown_names
from playground.telemetry import logging as log_lines

_EPILOG: Final = """settings are read from the environment and from .env: PLAYGROUND_ENGINE_URL,
PLAYGROUND_HOST, PLAYGROUND_PORT and the others that .env.example explains."""
_OPTIONS: Final = ("host", "port", "engine_url", "tunnel", "open")  # settings, too

_log = logging.getLogger("playground")


def create_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="playground",
        description="A browser playground for ContextualAI/Contextual_KTO_Mistral_PairRM.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serving = commands.add_parser(
        "serve", help="the page, in front of an engine that runs elsewhere", epilog=_EPILOG
    )
    demonstration = commands.add_parser(
        "demo", help="the page and llama.cpp on this machine, in one go", epilog=_EPILOG
    )
    demonstration.add_argument(
        "--model",
        metavar="MODEL",
        help="a GGUF file, or owner/name[:QUANTISATION] on the Hub, in the place of SmolLM2",
    )
    checking = commands.add_parser(
        "check", help="what the engine says of itself, or what is wrong and the fix", epilog=_EPILOG
    )
    checking.add_argument(
        "--samplers",
        action="store_true",
        help="prove which of the seven parameters take effect, with some 260 short answers",
    )
    checking.add_argument("--json", action="store_true", help="print the check as JSON")
    for command in (serving, checking):
        command.add_argument(
            "--tgi-url",
            "--engine-url",
            dest="engine_url",
            metavar="URL",
            help="where the engine answers",
        )
    for command in (serving, demonstration):
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
    add_backup_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point.

    Returns:
        The exit status: 0 done, 1 the check found a fault, 2 unusable.
    """
    options = create_parser().parse_args(arguments)
    try:
        given = {
            name: value for name in _OPTIONS if (value := getattr(options, name, None)) is not None
        }
        if "engine_url" in given:
            given["engines_file"] = None  # the option goes before the file
        settings = load_settings(**given)
        unknown = unknown_names()
        if unknown and settings.log_format == "text":
            print(f"playground: {unknown}", file=sys.stderr)
        if options.command == "check":
            return asyncio.run(check(settings, samplers=options.samplers, as_json=options.json))
        if options.command == "users":
            return change_users(options, settings)
        if options.command == "share":
            return share(options, settings)
        if options.command == "backup":
            return backup(options, settings)
        if options.command == "restore":
            return restore(options, settings)
        check_exposure(settings)
        # uvicorn raises a signal again when it has stopped, and by default that would end this
        # process before it has ended the engine.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # a terminal that is closed
            signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))
        log_lines.configure(settings.log_format, settings.log_level)
        if unknown and settings.log_format == "json":
            _log.warning(unknown)
        if options.command == "demo":
            return demo(settings, options.model)
        return serve(settings)
    except PlaygroundError as error:
        print(printable(f"playground: {error}"), file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return 0
