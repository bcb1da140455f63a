"""Snapshots across playgrounds: one after the other on a file, two at once on PostgreSQL."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson

from playground.limits.rate_limits import MISSES_A_MINUTE
from playground.settings import load_settings
from playground.store.store import Store
from tests.application import Application
from tests.conversations import answer, column, record
from tests.faults import Peer, event
from tests.postgres import Cluster
from tests.servers import Server, data_dir
from tests.stock import tgi
from tests.valkey import Valkey

COMPARISON = record(column(), column(answer("Once upon a time.", letter="B", chosen=True)))
OTHER_PRESETS = """
version = 2

[[preset]]
id = "min-p"
name = "Something else"
[preset.sampler]
temperature = 0.1
"""


def serve(**env: str) -> Server:
    return Server(
        ["-m", "tests.pageless", "serve", "--port", "0", "--tgi-url", "http://127.0.0.1:9"],
        ready="^Playground: http",
        env={f"PLAYGROUND_{name}": value for name, value in env.items()},
    )


def share(client: httpx.Client, body: dict[str, Any] = COMPARISON) -> str:
    made = client.post("/api/shares", json={"record": body})
    assert made.status_code == 201, made.text
    token: str = made.json()["token"]
    return token


def frozen(url: str, token: str) -> bytes:
    """The record's bytes in the answer to somebody who has never been here."""
    found = httpx.get(f"{url}/api/shares/{token}")
    assert found.status_code == 200, found.text
    return found.content.partition(b'"record":')[2].partition(b',"blocks":')[0]


def views(client: httpx.Client) -> list[int]:
    return [each["views"] for each in client.get("/api/shares").json()["shares"]]


async def withdraw(folder: str, token: str) -> None:
    """As another process does it: here, this one."""
    store = Store.from_settings(load_settings(data_dir=folder))
    await store.shares.delete(token, (await store.shares.get(token)).share.owner)
    await store.aclose()


def test_a_snapshot_outlives_a_crash_and_other_presets(tmp_path: Path) -> None:
    folder = data_dir()
    presets = tmp_path / "presets.toml"
    presets.write_text(OTHER_PRESETS)
    sent = orjson.dumps(COMPARISON)
    with serve(DATA_DIR=folder) as before, httpx.Client(base_url=before.url) as owner:
        token, withdrawn = share(owner), share(owner)
        assert frozen(before.url, token) == sent
        cookies = owner.cookies
        asyncio.run(withdraw(folder, withdrawn))
        assert httpx.get(f"{before.url}/api/shares/{withdrawn}").status_code == 404
        before.kill()
    with (
        Application(data_dir=folder, presets_file=presets) as after,
        httpx.Client(base_url=after.url, cookies=cookies) as owner,
    ):
        names = [each["name"] for each in owner.get("/api/presets").json()["presets"]]
        assert names == ["Something else"]
        assert frozen(after.url, token) == sent
        assert [each["token"] for each in owner.get("/api/shares").json()["shares"]] == [token]
        assert owner.delete(f"/api/shares/{token}").status_code == 204
        assert owner.get(f"/api/shares/{token}").status_code == 404


def test_replicas_count_what_a_visitor_tries_together(valkey: Valkey) -> None:
    limits = f"valkey://127.0.0.1:{valkey.port}"
    with (
        Application(limits_url=limits, secret="the same for both") as one,
        Application(limits_url=limits, secret="the same for both") as other,
    ):
        replicas = [one.url, other.url]
        tried = [
            httpx.get(f"{replicas[i % 2]}/api/shares/none").status_code
            for i in range(MISSES_A_MINUTE)
        ]
        assert set(tried) == {404}
        for url in replicas:
            assert httpx.get(f"{url}/api/shares/none").status_code == 429


async def test_a_stop_and_a_limit_reach_the_replica_that_writes(valkey: Valkey) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def answers(peer: Peer) -> None:
        await peer.head()
        await peer.send(event("Some"))
        begun.set()
        await peer.gone()
        left.set()

    common: dict[str, Any] = {
        "limits_url": f"valkey://127.0.0.1:{valkey.port}",
        "secret": "the same for both",
        "max_streams_per_user": 1,
    }
    body = {"messages": [{"role": "user", "content": "Hi"}], "panes": [{}]}
    async with tgi(answers) as engine:
        with (
            Application(engine.url, **common) as one,
            Application(engine.url, **common) as other,
        ):
            async with (
                httpx.AsyncClient(base_url=one.url, trust_env=False) as reader,
                httpx.AsyncClient(base_url=other.url, trust_env=False) as elsewhere,
                reader.stream("POST", "/api/stream", json=body) as stream,
            ):
                number = stream.headers["x-stream-id"]
                await begun.wait()
                for path in (f"{number}/panes/7", f"{'0' * 32}/panes/0"):
                    await elsewhere.delete(f"/api/stream/{path}")
                assert not left.is_set()
                second = await elsewhere.post("/api/stream", json=body)
                assert (second.status_code, second.json()["kind"]) == (429, "busy")
                stopped = await elsewhere.delete(f"/api/stream/{number}/panes/0")
                assert stopped.status_code == 204
                text = (await stream.aread()).decode()
                assert '"kind":"stopped"' in text
                await left.wait()
                valkey.stop()
                again = await elsewhere.delete(f"/api/stream/{number}/panes/0")
                assert again.status_code == 404, "which is said where nobody else can be told"


def test_two_playgrounds_share_one_database(postgres: Cluster) -> None:
    database = postgres.database()
    with (
        Application(database_url=database) as one,
        Application(database_url=database) as other,
        httpx.Client(base_url=one.url) as owner,
    ):
        token = share(owner)
        assert frozen(other.url, token) == orjson.dumps(COMPARISON)
        elsewhere = httpx.Client(base_url=other.url, cookies=owner.cookies)
        assert views(elsewhere) == [0], "to read the API is not to open the page"
        for url in (other.url, one.url, other.url):
            page = httpx.get(f"{url}/s/{token}")
            assert (page.status_code, page.headers["X-Robots-Tag"]) == (200, "noindex")
        assert owner.get(f"/s/{token}").status_code == 200
        assert views(owner) == views(elsewhere) == [3], "and the owner's own look is not counted"
        assert elsewhere.delete(f"/api/shares/{token}").status_code == 204
        gone = [httpx.get(f"{url}{path}/{token}") for url in (one.url, other.url)
                for path in ("/api/shares", "/s")]  # fmt: skip
        assert {each.status_code for each in gone} == {404}
        assert views(owner) == []
        elsewhere.close()
