"""A PostgreSQL of the tests' own, from Debian's package, on a free port."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.servers import data_dir

_PROGRAMS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def required() -> bool:
    """Whether a missing server fails the tests that need it, instead of skipping them."""
    return bool(os.environ.get("PLAYGROUND_TESTS_REQUIRE_SERVERS"))


class Cluster:
    """A cluster in a folder of its own, which goes with it.

    Its server does not run as root; where the tests do, it is the user postgres's.
    """

    def __init__(self) -> None:
        self._programs = _PROGRAMS[-1]
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.folder = Path(tempfile.mkdtemp(prefix="playground-postgres-"))
        if self._as:
            shutil.chown(self.folder, "postgres")
        self.user = "postgres" if self._as else getpass.getuser()
        self._data = self.folder / "data"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._run("initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
                  f"--username={self.user}", f"--pgdata={self._data}")  # fmt: skip
        self.start()

    @property
    def runs(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "start", "--wait", f"--pgdata={self._data}",
                  f"--log={self.folder / 'log'}", "--options", options)  # fmt: skip

    def stop(self) -> None:
        """At once; open connections are ended."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast", f"--pgdata={self._data}")

    def processes(self) -> list[int]:
        """The server's process and its children."""
        parent = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True)
        return [parent, *map(int, found.stdout.split())]

    @contextmanager
    def tablespace(self, folder: Path) -> Iterator[str]:
        """The name of a place for databases; with it go those that were made there."""
        name = f"space_{secrets.token_hex(6)}"
        if self._as:
            shutil.chown(folder, "postgres")
        self.psql("postgres", f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        try:
            yield name
        finally:
            made = self.psql(
                "postgres",
                "SELECT datname FROM pg_database JOIN pg_tablespace t ON dattablespace = t.oid "
                f"WHERE spcname = '{name}'",
            )
            for each in made.split():
                self.psql("postgres", f"DROP DATABASE {each} WITH (FORCE)")
            self.psql("postgres", f"DROP TABLESPACE {name}")

    def database(self, options: str = "") -> str:
        """A new database that is empty; its address."""
        name = f"test_{secrets.token_hex(6)}"
        self.psql("postgres", f"CREATE DATABASE {name} {options}")
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def psql(self, database: str, command: str) -> str:
        """What a command of SQL gives, a line for each row."""
        return self._run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
                         "--host=127.0.0.1", f"--port={self.port}", f"--username={self.user}",
                         f"--dbname={database}", f"--command={command}")  # fmt: skip

    def pipe(
        self, program: str, *arguments: str, stdin: Path | None = None, stdout: Path | None = None
    ) -> None:
        """A client program, from one file and into another."""
        with (
            (stdin or Path(os.devnull)).open("rb") as read,
            (stdout or Path(os.devnull)).open("wb") as written,
        ):
            command = [str(self._programs / program), "--host=127.0.0.1", f"--port={self.port}"]
            subprocess.run(
                [*command, *arguments], stdin=read, stdout=written, check=True, timeout=60
            )

    def remove(self) -> None:
        if self.runs:
            self._run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={self._data}")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._as, str(self._programs / program), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running cluster, shared; skips or fails the test where PostgreSQL is not installed."""
    if not _PROGRAMS:
        if required():
            pytest.fail("PostgreSQL is not installed, and the run requires it")
        pytest.skip("PostgreSQL is not installed: it was not tested")
    running = Cluster()
    yield running
    running.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of a playground with an empty database, once of each kind."""
    folder = {"data_dir": data_dir()}
    if request.param == "sqlite":
        return folder
    cluster: Cluster = request.getfixturevalue("postgres")
    return {**folder, "database_url": cluster.database()}
