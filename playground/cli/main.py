"""The command line: `playground serve | demo | check | users | share | backup | restore`.

`python -m playground` is the same. The commands' modules are loaded where they are needed: what
they stand on takes longer to load than most commands take.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from playground.cli.options import create_parser

_OPTIONS: Final = ("host", "port", "engine_url", "tunnel", "open", "workers")  # settings, too
UNUSABLE: Final = 2  # exit status

_log = logging.getLogger("playground")


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point.

    Returns:
        The exit status: 0 done, 1 the check found a fault, 2 unusable.
    """
    options = create_parser().parse_args(arguments)
    from playground.cli.terminal import printable
    from playground.domain.errors import PlaygroundError

    try:
        status = _run(options)
        sys.stdout.flush()
    except PlaygroundError as error:
        print(printable(f"playground: {error}"), file=sys.stderr)
        return UNUSABLE
    except OSError as error:
        if options.command in ("serve", "demo"):
            raise
        if error.filename is None:
            # Or Python would try once more to write what is left, and say so.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # who reads it has had enough
            words = f"{error.filename or 'The output'}: {error.strerror}."
            print(printable(f"playground: {words}"), file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return 0
    finally:
        gc.enable()
    return status


def _run(options: argparse.Namespace) -> int:
    from playground.settings import load_settings, unknown_names

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
        from playground.cli.check.command import check

        return asyncio.run(check(settings, samplers=options.samplers, as_json=options.json))
    if options.command == "users":
        from playground.cli.users import change_users

        return change_users(options, settings)
    if options.command == "share":
        from playground.cli.share import share

        return share(options, settings)
    if options.command in ("backup", "restore"):
        from playground.cli.backup import backup, restore

        return (backup if options.command == "backup" else restore)(options, settings)
    gc.disable()  # until all is imported: a sixth of the start went into looking through it again
    from playground.auth.startup_checks import check_exposure
    from playground.telemetry import logging as log_lines

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
        from playground.cli.demo.command import demo

        return demo(settings, options.model)
    from playground.cli.serve import serve, serve_by_several

    return serve(settings) if settings.workers == 1 else serve_by_several(settings)
