"""The command line in this process: what it says and how it ends, without a start of Python."""

import io
import os
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from playground.cli.main import main
from tests.servers import ROOT, environment


def playground(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> CompletedProcess[str]:
    """`playground` with these arguments. Not for one that serves: it keeps signals to itself."""
    variables = {**environment(), **(env or {})}
    with (
        patch.dict(os.environ, variables, clear=True),
        chdir(cwd),
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        try:
            status = main(arguments)
        except SystemExit as end:  # as argparse ends
            status = int(end.code or 0)
    return CompletedProcess(["playground", *arguments], status, out.getvalue(), err.getvalue())
