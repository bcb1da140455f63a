"""The database full, locked, read-only or gone under a playground that people chat with.

Each time: a sentence that says what, nothing half-written, answers meanwhile, and once the fault is
over the same process stores again.
"""

import asyncio
import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.store.database import FILE
from tests.conversations import long_record, record
from tests.postgres import Cluster
from tests.servers import Server, data_dir
from tests.stock import playground, tgi, writing

SAYING = "Nothing was half-written, and chatting needs no database."
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{"preset": "min-p"}]}


@asynccontextmanager
async def running(**database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A playground in front of an engine that answers."""
    async with (
        tgi(writing(["Hello", " there"])) as engine,
        playground(engine.url, **database) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client


async def chats(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/stream", json=CHAT)
    assert answer.status_code == 200
    assert "event: done" in answer.text


async def share(client: httpx.AsyncClient, body: dict[str, Any] | None = None) -> str:
    made = await client.post("/api/shares", json={"record": body or record()})
    assert made.status_code == 201, made.text
    token: str = made.json()["token"]
    return token


async def fails(client: httpx.AsyncClient, what: str, body: dict[str, Any] | None = None) -> None:
    """A share is refused with these words, while answers are written."""
    refused, _ = await asyncio.gather(
        client.post("/api/shares", json={"record": body or record()}), chats(client)
    )
    assert refused.status_code == 503, refused.text
    assert refused.json()["kind"] == "store"
    assert what in refused.json()["error"]
    assert SAYING in refused.json()["error"]


async def holds(client: httpx.AsyncClient, *tokens: str) -> None:
    """These are all that is there, and each is whole."""
    listed = (await client.get("/api/shares")).json()["shares"]
    assert {each["token"] for each in listed} == set(tokens)
    for token in tokens:
        found = (await client.get(f"/api/shares/{token}")).json()["record"]
        assert found in (record(), long_record(100_000))


def sound(folder: str) -> bool:
    """Whether a SQLite file has no damage that SQLite itself would find."""
    with contextlib.closing(sqlite3.connect(Path(folder) / FILE)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "disk", "1m") as folder:
        yield folder


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, with so much room."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        run("umount", "--lazy", str(folder))


def run(*command: str) -> None:
    subprocess.run(command, check=True)


async def filled(client: httpx.AsyncClient) -> list[str]:
    """Snapshots until there is room for none; the tokens of those that were taken."""
    tokens = [await share(client)]
    for _ in range(20):
        made = await client.post("/api/shares", json={"record": long_record(100_000)})
        if made.status_code == 503:
            break
        tokens.append(made.json()["token"])
    assert 1 < len(tokens) < 20
    return tokens


async def test_a_disk_that_becomes_full(small_disk: Path) -> None:
    folder = str(small_disk / "data")
    async with running(data_dir=folder) as client:
        tokens = await filled(client)
        await fails(client, "The disk of the playground's database is full.", long_record(100_000))
        await holds(client, *tokens)
        run("mount", "-o", "remount,size=4m", str(small_disk))
        tokens.append(await share(client, long_record(100_000)))
        await holds(client, *tokens)
    assert sound(folder)


async def test_a_server_whose_disk_becomes_full(postgres: Cluster) -> None:
    # An empty database has 7 MiB, when it is copied as files; else parts of it come later.
    with disk(postgres.folder / "disk", "10m") as small, postgres.tablespace(small) as space:
        address = postgres.database(f"TABLESPACE {space} STRATEGY file_copy")
        async with running(database_url=address) as client:
            tokens = [await share(client)]
            for _ in range(60):
                made = await client.post("/api/shares", json={"record": long_record(100_000)})
                if made.status_code == 503:
                    break
                tokens.append(made.json()["token"])
            assert 1 < len(tokens) < 60
            await fails(
                client, "The disk of the playground's database is full.", long_record(100_000)
            )
            await holds(client, *tokens)
            run("mount", "-o", "remount,size=20m", str(small))
            tokens.append(await share(client, long_record(100_000)))
            await holds(client, *tokens)


async def test_a_disk_that_is_full_at_the_start(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    folder = str(small_disk / "data")
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    async with running(data_dir=folder) as client:
        await fails(client, "The disk of the playground's database is full.")
        ballast.unlink()
        await holds(client, await share(client))
    assert sound(folder)


@pytest.mark.parametrize("made_before", [False, True])
async def test_a_disk_that_is_read_only(small_disk: Path, made_before: bool) -> None:
    folder = str(small_disk / "data")
    tokens = []
    if made_before:
        async with running(data_dir=folder) as client:
            tokens.append(await share(client))
    async with running(data_dir=folder) as client:
        with read_only(small_disk):
            await fails(client, "The playground may not write to its database.")
        tokens.append(await share(client))
        await holds(client, *tokens)
    assert sound(folder)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    run("mount", "-o", "remount,ro", str(disk))
    yield
    run("mount", "-o", "remount,rw", str(disk))


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Another program holds the database for itself, until it is killed."""
    command = [sys.executable, "-c", LOCK, str(Path(folder) / FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "locked\n"
        yield
        one.kill()


async def test_a_file_that_another_program_locks() -> None:
    folder = data_dir()
    async with running(data_dir=folder) as client:
        token = await share(client)
        with locked(folder):
            await fails(client, "Another program holds the playground's database locked.")
            await holds(client, token)
        await holds(client, token, await share(client))
    assert sound(folder)


async def test_a_folder_that_is_taken_away() -> None:
    folder = data_dir()
    async with running(data_dir=folder) as client:
        token = await share(client)
        os.rename(folder, folder + ".away")
        os.symlink("/dev/null", folder)  # in the way
        await fails(client, "The playground's database cannot be opened.")
        os.unlink(folder)
        os.rename(folder + ".away", folder)
        await holds(client, token, await share(client))
    assert sound(folder)


async def test_a_server_that_is_stopped_and_started(postgres: Cluster) -> None:
    address = postgres.database()
    async with running(database_url=address) as client:
        token = await share(client)
        postgres.stop()
        try:
            await fails(client, "The playground's database does not answer.")
            assert (await client.get(f"/api/shares/{token}")).status_code == 503
        finally:
            postgres.start()
        await holds(client, token, await share(client))


async def test_a_server_that_is_not_there_at_the_start(postgres: Cluster) -> None:
    address = postgres.database()
    postgres.stop()
    try:
        async with running(database_url=address) as client:
            await fails(client, "The playground's database does not answer.")
            postgres.start()
            await holds(client, await share(client))
    finally:
        if not postgres.runs:
            postgres.start()


async def test_a_server_that_lets_nobody_in(postgres: Cluster) -> None:
    address = postgres.database().rsplit("/", 1)[0] + "/nowhere"
    async with running(database_url=address) as client:
        await fails(client, "The playground's database does not let it in.")


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
sys.argv = ["playground", "serve", "--port", "0", "--tgi-url", "{tgi}"]
runpy.run_module("playground", run_name="__main__")
"""


async def test_a_process_that_has_used_up_its_quota() -> None:
    """What a quota does needs no right to mount anything. The playground is a process here."""
    folder = data_dir()
    async with tgi(writing(["Hello", " there"])) as engine:
        program = LIMITED.format(limit=600_000, tgi=engine.url)
        env = {"PLAYGROUND_DATA_DIR": folder}
        server = await asyncio.to_thread(
            Server, ["-c", program], ready="^Playground: http", env=env
        )
        with server:
            async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
                tokens = await filled(client)
                await fails(client, "database is full.", long_record(100_000))
                await holds(client, *tokens)
                resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
                tokens.append(await share(client, long_record(100_000)))
                await holds(client, *tokens)
            assert server.terminate() == 0
    assert sound(folder)
    assert "Traceback" not in server.output
