"""`playground backup` and `playground restore`, by processes beside a playground that runs."""

import asyncio
import gzip
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from playground.cli.options import create_parser
from playground.settings import load_settings
from playground.store.backup import Backup, BackupError, write_backup
from playground.store.database import Database
from playground.store.tables import REVISION
from tests import commands
from tests.conversations import record
from tests.postgres import Cluster
from tests.servers import ROOT, Server, data_dir, environment

PASSWORD = "correct horse battery"
LOGIN = {"name": "anna", "password": PASSWORD}
ASK: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi!"}]}
DEMO: Mapping[str, Any] = {"title": "T", "panes": [{"preset": "min-p"}], "budget_tokens": 3000}


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"PLAYGROUND_{name.upper()}": value for name, value in settings.items()}


def serve(engine: str, database: Mapping[str, str]) -> Server:
    return Server(
        ["-m", "tests.pageless", "serve", "--port", "0", "--engine-url", engine],
        ready="^Playground: http",
        env=variables({"auth": "users", **database}),
    )


def documented(what: str) -> list[str]:
    """The document's command, without Compose in front and without the file that it is piped to."""
    text = (ROOT / "playground/store/README.md").read_text()
    [line] = re.findall(rf"exec -T playground playground ({what} [^<>#)\n]+)", text)
    arguments = shlex.split(line)
    create_parser().parse_args(arguments)
    return arguments


def run(
    arguments: list[str], database: Mapping[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "playground", *arguments],
        cwd=ROOT,
        env={**environment(), **variables(database)},
        input=stdin,
        capture_output=True,
        timeout=60,
    )


def read(backup: bytes) -> list[dict[str, Any]]:
    """A backup's lines."""
    return [json.loads(each) for each in gzip.decompress(backup).splitlines()]


@pytest.mark.parametrize(
    ("kind", "other"),
    [("sqlite", "sqlite"), ("postgresql", "postgresql"), ("sqlite", "postgresql")],
)
def test_a_playground_goes_on_elsewhere(
    postgres: Cluster, stand_in_url: str, kind: str, other: str
) -> None:
    """With its links, budgets and logins; what a browser holds is still good."""

    def empty(kind: str) -> dict[str, str]:
        folder = {"data_dir": data_dir()}
        return folder if kind == "sqlite" else {**folder, "database_url": postgres.database()}

    first, second = empty(kind), empty(other)
    users = UsersFile(Path(first["data_dir"]) / "users")
    users.put("anna", Passwords().hashed(PASSWORD), instead_of=None)
    with serve(stand_in_url, first) as server:
        browser = httpx.Client(base_url=server.url, timeout=60)
        with browser:
            assert browser.post("/login", data=LOGIN).status_code == 303
            share = browser.post("/api/shares", json={"record": record()}).json()["token"]
            demo = browser.post("/api/demos", json=DEMO).json()["token"]
            assert "event: done" in browser.post(f"/api/demos/{demo}/stream", json=ASK).text
            spent = browser.get("/api/demos").json()["demos"][0]["spent"]
            assert spent > 0
            done = run(documented("backup"), first)
            assert done.returncode == 0, done.stderr
    put = run(documented("restore"), second, stdin=done.stdout)
    assert put.returncode == 0, put.stderr
    assert b"1 snapshot, 1 demo, 1 user, the secret" in put.stderr
    with serve(stand_in_url, second) as server:
        with httpx.Client(base_url=server.url, timeout=60, cookies=browser.cookies) as same:
            assert same.get("/api/visitor").status_code == 200
            assert same.get(f"/api/shares/{share}").json()["record"] == record()
            assert same.get("/api/demos").json()["demos"][0]["spent"] == spent
            assert "event: done" in same.post(f"/api/demos/{demo}/stream", json=ASK).text
        assert httpx.post(f"{server.url}/login", data=LOGIN, timeout=60).status_code == 303
    again = run(documented("restore"), second, stdin=done.stdout)
    assert again.returncode == 2
    assert b"something here already: links or counts in the database" in again.stderr


async def test_a_backup_is_of_one_moment(database: dict[str, str]) -> None:
    """A link that is made while it is written is in none of its tables."""
    made = Database.from_settings(load_settings(**database))
    async with made.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO usage (account, day, tokens) VALUES ('a', '2026-01-01', 1)"
        )
    written: list[int] = []
    async with made.untended() as reading:
        await reading.exec_driver_sql("SELECT count(*) FROM usage")
        async with made.begin() as connection:
            await connection.exec_driver_sql("UPDATE usage SET tokens = 2")
        found = await reading.exec_driver_sql("SELECT tokens FROM usage")
        written += [row[0] for row in found]
    assert written == [1]
    await made.aclose()


def test_a_file_is_its_owners_alone_and_is_not_written_over(tmp_path: Path) -> None:
    env = {"PLAYGROUND_DATA_DIR": str(tmp_path / "data")}
    file = tmp_path / "made.backup"
    assert commands.playground("backup", str(file), env=env).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    again = commands.playground("backup", str(file), env=env)
    assert (again.returncode, file.read_bytes()) == (2, before)
    assert "--force" in again.stderr
    assert commands.playground("backup", "--force", str(file), env=env).returncode == 0
    lost = commands.playground("backup", str(tmp_path / "made.backup/x"), env=env)
    assert "cannot be written: Not a directory" in lost.stderr
    lost = commands.playground("backup", str(tmp_path / "no/x"), env=env)
    assert "cannot be written: No such file or directory" in lost.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["made.backup"]


@pytest.mark.parametrize("name", ["/", ".", "", "pipe", "n" * 300])
def test_what_no_backup_can_be_is_left_alone(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = str(tmp_path / name) if len(name) > 1 else name
    data = {"PLAYGROUND_DATA_DIR": str(tmp_path / "data")}
    refused = commands.playground("backup", "--force", file, env=data)
    assert refused.returncode == 2
    assert refused.stderr.startswith("playground: ")
    assert refused.stderr.count("\n") == 1
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "reader", "said"),
    [
        (["backup", "-"], "> /dev/full", "playground: The output: No space left on device.\n"),
        (["users", "list"], "> /dev/full", "playground: The output: No space left on device.\n"),
        (["backup", "-"], "| true", ""),
    ],
)
def test_an_output_that_cannot_be_written_is_said(
    tmp_path: Path, arguments: list[str], reader: str, said: str
) -> None:
    settings = {"data_dir": str(tmp_path)}
    stored = Passwords().hashed(PASSWORD)
    UsersFile(tmp_path / "users").put("anna", stored, instead_of=None)
    program = shlex.join([sys.executable, "-m", "playground", *arguments])
    done = subprocess.run(
        ["bash", "-c", f"{program} {reader}; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env={**environment(), **variables(settings)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, said)


async def lines(database: dict[str, str]) -> list[dict[str, Any]]:
    """A backup's lines."""
    file = BytesIO()
    made = Database.from_settings(load_settings(**database))
    async with made.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO usage (account, day, tokens) VALUES ('a', '2026-01-01', 1)"
        )
    await write_backup(made, {"users": ""}, file)
    await made.aclose()
    return read(file.getvalue())


def packed(found: list[dict[str, Any]]) -> bytes:
    return gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in found))


async def test_what_is_no_whole_backup_changes_nothing(
    tmp_path: Path, database: dict[str, str]
) -> None:
    head, row, end = await lines(database)
    whole = packed([head, row, end])
    file = tmp_path / "file"
    for content, words in (
        (b"anything", "no backup of a playground"),
        (b"", "no backup of a playground"),
        (whole[:-20], "was cut"),
        (packed([head, row]), "was cut"),
        (packed([head, end]), "is damaged"),
        (packed([head, {"table": "usage", "row": {"account": "b"}}, end]), "is damaged"),
        (packed([{**head, "version": 2}, row, end]), "newer playground"),
        (packed([{**head, "revision": "9999"}, row, end]), f"knows are {REVISION}"),
    ):
        file.write_bytes(content)
        done = await asyncio.to_thread(
            commands.playground, "restore", "--force", str(file), env=variables(database)
        )
        assert done.returncode == 2, content
        assert words in done.stderr
        assert (await lines_of(database))[1] == row


DAMAGED = "This backup is damaged."


@pytest.mark.parametrize(
    "head",
    [
        {"texts": []},
        {"texts": None},
        {"texts": {"users": 5}},
        {"texts": {"secret": "\ud800"}},
        {"revision": 1},
        {"revision": ["0001"]},
        {"made": 5},
    ],
)
def test_a_first_line_says_what_one_can_or_the_backup_is_damaged(head: dict[str, Any]) -> None:
    told = {"kind": "kto-mistral-playground backup", "version": 1, "revision": None}
    first = {**told, "made": "today", "texts": {}, **head}
    with pytest.raises(BackupError, match=DAMAGED):
        Backup(BytesIO(packed([first])))


def test_nothing_a_backup_unpacks_to_is_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.store.backup._LONGEST_LINE", 1_000_000)
    files = [gzip.compress(text) for text in (b'"' + b" " * 50_000_000, b"[" * 900_000)]
    tracemalloc.start()
    try:
        for each in files:
            with pytest.raises(BackupError, match=DAMAGED):
                Backup(BytesIO(each))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "wrong",
    [
        {"table": ["usage"]},
        {"row": []},
        *({"row": {"account": "b", "day": day, "tokens": 1}} for day in (5, "never", None)),
        *({"row": {"account": name, "day": "2026-01-01", "tokens": 1}} for name in (5, "\0", None)),
        *({"row": {"account": "b", "day": "2026-01-01", "tokens": n}} for n in ("1", 2**70, True)),
    ],
)
async def test_a_row_is_of_its_table_or_the_backup_is_damaged(wrong: dict[str, Any]) -> None:
    database = {"data_dir": data_dir()}
    head, row, end = await lines(database)
    restored = Backup(BytesIO(packed([head, {**row, **wrong}, end])))
    made = Database.from_settings(load_settings(**database))
    with pytest.raises(BackupError, match=DAMAGED):
        async with made.untended(writing=True) as connection:
            await restored.restore(connection)
    assert (await lines_of(database))[1] == row


async def lines_of(database: dict[str, str]) -> list[dict[str, Any]]:
    file = BytesIO()
    await write_backup(Database.from_settings(load_settings(**database)), {}, file)
    return read(file.getvalue())


async def test_one_of_older_tables_is_brought_up_to_date(
    tmp_path: Path, database: dict[str, str]
) -> None:
    head, row, end = await lines(database)
    file = tmp_path / "file"
    file.write_bytes(packed([{**head, "revision": "0001"}, row, end]))
    done = await asyncio.to_thread(
        commands.playground, "restore", "--force", str(file), env=variables(database)
    )
    assert done.returncode == 0, done.stderr
    assert [each.get("revision") for each in await lines_of(database)] == [REVISION, None, None]


def test_another_secret_that_is_set_is_said(tmp_path: Path) -> None:
    first, file = str(tmp_path / "first"), str(tmp_path / "file")
    env = {"PLAYGROUND_DATA_DIR": first, "PLAYGROUND_SECRET": "of the first one"}
    assert commands.playground("backup", file, env=env).returncode == 0
    env = {"PLAYGROUND_DATA_DIR": data_dir(), "PLAYGROUND_SECRET": "of the second one"}
    refused = commands.playground("restore", file, env=env)
    assert refused.returncode == 2
    assert "PLAYGROUND_SECRET" in refused.stderr
    assert "of the" not in refused.stderr
    done = commands.playground("restore", "--force", file, env=env)
    assert done.returncode == 0
    assert "must log in again" in done.stderr
