"""The document's commands for backup and restore, run while the playground runs."""

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from playground.store.database import FILE
from tests.conversations import record
from tests.postgres import Cluster
from tests.servers import ROOT, data_dir
from tests.stock import playground


def commands(what: str) -> list[list[str]]:
    """The document's commands that hold this word, as arguments, without Compose in front."""
    document = (ROOT / "playground/store/README.md").read_text()
    section = document.partition("## Backup")[2].partition("\n## ")[0]
    lines = re.findall(r"^docker compose exec -T \w+ (.*)$", section, re.MULTILINE)
    return [shlex.split(re.sub(r" [<>] \S+$", "", line)) for line in lines if what in line]


@asynccontextmanager
async def shared(**database: str) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A playground with a link."""
    async with (
        playground("http://127.0.0.1:9", **database) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        made = await client.post("/api/shares", json={"record": record()})
        yield client, made.json()["token"]


async def lose(client: httpx.AsyncClient, token: str) -> None:
    assert (await client.delete(f"/api/shares/{token}")).status_code == 204
    assert (await client.get(f"/api/shares/{token}")).status_code == 404


async def is_back(client: httpx.AsyncClient, token: str) -> None:
    found = await client.get(f"/api/shares/{token}")
    assert found.status_code == 200, found.text
    assert found.json()["record"] == record()
    made = await client.post("/api/shares", json={"record": record()})
    assert made.status_code == 201, made.text
    assert len((await client.get("/api/shares")).json()["shares"]) == 2


async def test_a_sqlite_file_is_copied_and_put_back() -> None:
    folder = data_dir()
    backup, restore = (
        [sys.executable, *command[1:-1], command[-1].replace("/data", folder)]
        for command in commands("python -c")
    )
    assert "/data/" not in (backup[-1] + restore[-1]).replace(folder, "")
    async with shared(data_dir=folder) as (client, token):
        await asyncio.to_thread(subprocess.run, backup, check=True)
        await lose(client, token)
        await asyncio.to_thread(subprocess.run, restore, check=True)
        await is_back(client, token)
    # And on a machine that has lost everything but the copy.
    (Path(folder) / FILE).unlink()
    await asyncio.to_thread(subprocess.run, restore, check=True)
    async with (
        playground("http://127.0.0.1:9", data_dir=folder) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        await is_back(client, token)


async def test_a_postgresql_database_is_dumped_and_put_back(
    postgres: Cluster, tmp_path: Path
) -> None:
    address = postgres.database()
    user, name = address.split("//")[1].split("@")[0], address.rsplit("/", 1)[1]

    def run(line: list[str], into: Path | None = None, out_of: Path | None = None) -> None:
        named = [word.replace("=playground", f"={user}" if "user" in word else f"={name}")
                 for word in line]  # fmt: skip
        program, *arguments = [name if word == "playground" else word for word in named]
        postgres.pipe(program, *arguments, stdin=out_of, stdout=into)

    [dump] = commands("pg_dump")
    [restore] = commands("pg_restore")
    file = tmp_path / "links.dump"
    async with shared(database_url=address) as (client, token):
        await asyncio.to_thread(run, dump, file)
        await lose(client, token)
        await asyncio.to_thread(run, restore, None, file)
        await is_back(client, token)
