"""The database: opened, migrated, swept, and replaced under a playground, of both kinds."""

import asyncio
import gc
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, inspect, select, text, update

from playground.domain.errors import NotFound, StoreError
from playground.domain.validation import check
from playground.settings import SettingsError, load_settings
from playground.sharing.record import ShareBody
from playground.store.database import FILE, Database
from playground.store.migration import MIGRATIONS
from playground.store.shares import Shares
from playground.store.store import Store
from playground.store.tables import REVISION, metadata, shares, usage
from tests.conversations import record
from tests.generation.test_batching import run
from tests.postgres import Cluster
from tests.servers import ROOT, data_dir
from tests.stock import until

Settings = dict[str, str]


@asynccontextmanager
async def store(database: Settings, **settings: Any) -> AsyncIterator[Store]:
    made = Store.from_settings(load_settings(**database, **settings))
    try:
        yield made
    finally:
        await made.aclose()


async def kept(opened: Store, **values: Any) -> str:
    """A new share's token."""
    settings = {"title": "A title", "expires_in_s": None, "private": False, **values}
    frozen = check(ShareBody, {"record": record()}).record
    return (await opened.shares.create("user:a", frozen, **settings)).token


async def test_the_migrations_make_the_tables_that_the_program_has(database: Settings) -> None:
    def difference(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found: list[Any] = compare_metadata(context, metadata)
        return found

    async with store(database) as opened, opened.database.begin() as connection:
        assert await connection.run_sync(difference) == []


def test_the_last_migration_is_the_one_that_is_expected() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


OPEN = """
import asyncio, json, sys
from playground.settings import load_settings
from playground.store.store import Store

async def main():
    store = Store.from_settings(load_settings(**json.loads(sys.argv[1])))
    print("ready", flush=True)
    sys.stdin.readline()
    assert await store.shares.of("user:a") == []
    await store.aclose()

asyncio.run(main())
"""


def start_at_once(database: Settings) -> list[int]:
    """Two processes that open a database, and their exit codes."""
    command = [sys.executable, "-c", OPEN, json.dumps(database)]
    starting = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for each in starting:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in starting:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in starting:
        each.communicate(timeout=60)
    return [each.returncode for each in starting]


async def test_several_that_start_at_once_make_the_tables_once(database: Settings) -> None:
    assert await asyncio.to_thread(start_at_once, database) == [0] * 2
    async with store(database) as opened, opened.database.read() as connection:
        found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert found.all() == [(REVISION,)]


async def test_links_outlive_every_migration(database: Settings) -> None:
    """Tables of the first version, with a link in them, are brought up to date when asked."""
    async with store(database) as opened:
        token = await kept(opened)
        async with opened.database.begin() as connection:
            before = (await connection.execute(select(shares))).one()
            for table in reversed(metadata.sorted_tables):
                await connection.execute(text(f"DROP TABLE {table.name}"))
            await connection.execute(text("DROP TABLE alembic_version"))
            await connection.run_sync(_first_version)
            columns = await connection.run_sync(lambda at: inspect(at).get_columns("shares"))
            first = {each["name"]: getattr(before, each["name"]) for each in columns}
            await connection.execute(insert(shares).values(first))
    async with store(database) as opened:
        assert (await opened.shares.get(token)).share.token == token
        async with opened.database.read() as connection:
            after = (await connection.execute(select(shares))).one()._asdict()
            assert {name: after[name] for name in first} == first
            found = await connection.scalars(text("SELECT version_num FROM alembic_version"))
            assert found.all() == [REVISION]


def _first_version(connection: Connection) -> None:
    from alembic.runtime.environment import EnvironmentContext

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, script, fn=lambda at, _: script._upgrade_revs("0001", at)
    ) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


async def test_tables_of_a_newer_version_are_left_alone(database: Settings) -> None:
    async with store(database) as opened:
        token = await kept(opened)
        async with opened.database.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    async with store(database) as opened:
        with pytest.raises(StoreError, match="made by a newer version"):
            await opened.shares.get(token)


async def test_all_of_a_transaction_is_kept_or_nothing(database: Settings) -> None:
    async with store(database) as opened:
        token = await kept(opened)

        async def fail() -> None:
            async with opened.database.begin() as connection:
                await connection.execute(shares.delete())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert (await opened.shares.get(token)).share.title == "A title"


async def test_what_is_over_is_deleted(database: Settings) -> None:
    day = 86_400
    async with store(database, retention_days=90) as opened:
        fresh = await kept(opened)
        old = await kept(opened)
        lately = await kept(opened, expires_in_s=1)
        long_ago = await kept(opened, expires_in_s=1)
        now = int(time.time())
        async with opened.database.begin() as connection:
            for token, values in (
                (old, {"created": now - 91 * day}),
                (lately, {"expires": now - day}),
                (long_ago, {"expires": now - 31 * day}),
            ):
                await connection.execute(
                    update(shares).where(shares.c.token == token).values(values)
                )
        with pytest.raises(NotFound):
            await opened.shares.get(old)
        await asyncio.gather(*(opened.sweep() for _ in range(3)))
        assert {each.token for each in await opened.shares.of("user:a")} == {fresh, lately}
        assert (await opened.shares.get(fresh)).share.token == fresh


async def test_views_are_counted_without_losing_one(database: Settings) -> None:
    async with store(database) as opened:
        token = await kept(opened)
        await asyncio.gather(*(opened.shares.seen(token) for _ in range(20)))
        assert (await opened.shares.get(token)).share.views == 20


# A SQLite file


async def test_a_file_and_its_folder_are_for_their_owner_alone() -> None:
    folder = Path(data_dir())
    async with store({"data_dir": str(folder)}) as opened:
        await kept(opened)
        modes = {name: stat.S_IMODE(os.stat(folder / name).st_mode) for name in os.listdir(folder)}
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


async def test_a_file_that_was_deleted_is_not_written_to() -> None:
    folder = Path(data_dir())
    async with store({"data_dir": str(folder)}) as opened:
        await kept(opened)
        shutil.rmtree(folder)
        token = await kept(opened)
        assert [each.token for each in await opened.shares.of("user:a")] == [token]
        with sqlite3.connect(folder / FILE) as connection:
            assert connection.execute("SELECT token FROM shares").fetchall() == [(token,)]
        connection.close()


async def test_a_damaged_file_is_said_and_left_as_it_is() -> None:
    folder = Path(data_dir())
    os.mkdir(folder)
    damaged = b"not a database, " * 1000
    (folder / FILE).write_bytes(damaged)
    async with store({"data_dir": str(folder)}) as opened:
        with pytest.raises(StoreError, match="damaged"):
            await kept(opened)
    assert (folder / FILE).read_bytes() == damaged


async def test_a_folder_that_cannot_be_made_is_said() -> None:
    async with store({"data_dir": "/proc/playground"}) as opened:
        with pytest.raises(StoreError, match=r"cannot be opened.*PLAYGROUND_DATA_DIR"):
            await kept(opened)


async def test_writers_take_turns_and_keep_no_reader_waiting() -> None:
    """More of them than there are connections: one that waits for its turn has none."""
    async with store({"data_dir": data_dir()}) as opened:
        token = await kept(opened)
        order: list[int] = []

        async def write(number: int) -> None:
            async with opened.database.begin():
                order.append(number)

        async with opened.database.begin():
            writers = [asyncio.create_task(write(number)) for number in range(30)]
            for _ in range(5):
                await asyncio.sleep(0)
            assert (await opened.shares.get(token)).share.token == token
            assert order == []
        await asyncio.gather(*writers)
    assert order == list(range(30))


# Its rounds


class Failing(Store):
    """Whose rounds fail, each with the next of these."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__(Database(path=Path(data_dir()) / FILE))
        self.rounds: list[float] = []
        self.closed = False
        self._failures = list(failures)

    async def sweep(self) -> None:
        self.rounds.append(asyncio.get_running_loop().time())
        if self._failures:
            raise self._failures.pop(0)

    async def aclose(self) -> None:
        self.closed = True


def test_no_fault_of_one_round_ends_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """On a clock that is turned by hand: the next round is in a minute, and then in six hours."""
    failing = Failing(ValueError("canary"), StoreError("It is away."), RuntimeError())

    async def main() -> None:
        async with failing.tended():
            await asyncio.sleep(6 * 3600 + 181)

    run(main)
    assert failing.rounds == [0, 60, 120, 180, 6 * 3600 + 180]
    assert failing.closed
    said = [each.getMessage() for each in caplog.records if each.name == "playground.store.store"]
    assert said == ["What is over could not be deleted; the next round is in a minute."] * 2


def test_it_is_closed_also_when_the_server_fails() -> None:
    failing = Failing()

    async def main() -> None:
        async with failing.tended():
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        run(main)
    assert failing.closed


# PostgreSQL


async def reads(hasty: Database, token: str) -> bool:
    try:
        return (await Shares(hasty).get(token)).share.token == token
    except StoreError:  # this machine is busy, and patience short
        return False


@pytest.fixture
async def forgiving() -> AsyncIterator[None]:
    """asyncpg forgets the future of a cancellation that it cancels itself, and asyncio says so."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            (before or type(loop).default_exception_handler)(loop, context)

    loop.set_exception_handler(handle)
    yield
    gc.collect()
    loop.set_exception_handler(before)


@pytest.mark.usefixtures("forgiving")
async def test_a_server_that_hangs_holds_up_nobody(postgres: Cluster) -> None:
    settings: Settings = {"database_url": postgres.database()}
    async with store(settings) as opened:
        token = await kept(opened)
        hasty, closing = (Database(url=opened.database.url, patience=0.5) for _ in range(2))
    await until(lambda: reads(hasty, token))
    await until(lambda: reads(closing, token))
    processes = postgres.processes()
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    try:
        for each in processes:
            os.kill(each, signal.SIGSTOP)
        failures = await asyncio.gather(
            *(Shares(hasty).get(token) for _ in range(20)), return_exceptions=True
        )
        await closing.aclose()
    finally:
        for each in processes:
            os.kill(each, signal.SIGCONT)
        beating.cancel()
    assert all(isinstance(each, StoreError) for each in failures)
    assert "does not answer" in str(failures[0])
    assert beats > 10, "others go on meanwhile"
    await until(lambda: reads(hasty, token))
    await hasty.aclose()


async def test_connections_are_few(postgres: Cluster) -> None:
    address = postgres.database()
    async with store({"database_url": address}) as opened:
        await asyncio.gather(*(opened.shares.of("user:a") for _ in range(50)))
        name = address.rsplit("/", 1)[1]
        count = postgres.psql(
            "postgres", f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        )
    assert 1 <= int(count) <= 15


async def test_a_password_may_stand_beside_the_address(postgres: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret/%@\n")
    settings = load_settings(
        database_url=postgres.database() + "?sslmode=disable", database_password_file=file
    )
    database = Database.from_settings(settings)
    assert database.url.password == "s3cret/%@"
    assert "s3cret" not in repr(settings) + str(database.url)
    async with database.begin() as connection:
        assert await connection.scalar(select(func.count()).select_from(usage)) == 0
    await database.aclose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_an_address_may_begin_as_others_write_it(scheme: str) -> None:
    database = Database.from_settings(load_settings(database_url=f"{scheme}://a@host/name"))
    assert database.url.drivername == "postgresql+asyncpg"
    assert (database.url.host, database.url.database) == ("host", "name")


@pytest.mark.parametrize(
    "address",
    [
        "mysql://a:s3cret@host/name",
        "sqlite:///s3cret.db",
        "postgresql://a:s3cret@host",
        "postgresql://a:s3cret@host:port/name",
        "postgresql://a:s3cret@host/name?connect_timeout=3",
    ],
)
def test_another_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(database_url=address)
    assert str(caught.value).startswith("PLAYGROUND_DATABASE_URL cannot be used; it must be")
    assert "s3cret" not in str(caught.value)
