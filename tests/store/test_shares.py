"""Snapshots over the API, on both databases."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import update

from playground.generation.renderer import MOST_CHARACTERS
from playground.limits.rate_limits import LINKS_AN_HOUR
from playground.settings import load_settings
from playground.store.store import Store
from playground.store.tables import shares
from tests.application import NOWHERE, Application
from tests.conversations import answer, branched, column, long_record, of_version, record
from tests.stock import playground, until

Settings = dict[str, str]
OWN = ("date", "x-request-id")  # of each answer


@asynccontextmanager
async def client(url: str, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """Who asks from an address of this machine; here, each address is an owner of its own."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=url, transport=transport) as asking:
        yield asking


async def share(client: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    made = await client.post("/api/shares", json={"record": record(), **values})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def test_a_record_comes_out_byte_for_byte(database: Settings) -> None:
    comparison = record(column(), column(answer("| a |\n|---|\n| b |")))
    sent = orjson.dumps(comparison)
    async with playground(NOWHERE, **database) as url, client(url) as asking:
        before = int(time.time())
        made = await share(asking, record=comparison, title="  Two\nanswers ", expires_in_s=60)
        answer_ = await asking.get(f"/api/shares/{made['token']}")
    assert answer_.status_code == 200
    assert answer_.content.count(sent) == 1
    found = answer_.json()
    assert found["record"] == comparison
    about = found["share"]
    assert before <= about["created"] <= time.time()
    assert about == {
        "title": "Two answers",
        "kind": "comparison",
        "created": about["created"],
        "expires": about["created"] + 60,
        "private": False,
        "mine": True,
        "views": 0,
    }
    assert found["blocks"][0] == [None, ['<p dir="auto"><strong>Hello</strong></p>\n']]
    assert "<table>" in found["blocks"][1][0][0]
    assert made["url"] == f"{url}/s/{made['token']}"
    assert len(made["token"]) == 22  # 128 bits


async def test_places_in_a_tree_may_be_written_with_a_point(database: Settings) -> None:
    said = [{"role": "user", "content": "Hi"}, answer("one", after=0.0), answer("two", after=0.0)]
    tree = {**column(*said), "shown": 1.0}
    async with playground(NOWHERE, **database) as url, client(url) as asking:
        made = await share(asking, record=record(tree))
        found = await asking.get(f"/api/shares/{made['token']}")
    assert found.status_code == 200
    [blocks] = found.json()["blocks"]
    assert ["one" in blocks[1][0], "two" in blocks[2][0]] == [True, True]


async def test_records_of_every_version_are_frozen_with_the_texts_of_all_their_branches(
    database: Settings,
) -> None:
    bodies = [branched(), *(of_version(version, record()) for version in (1, 2, 3))]
    async with playground(NOWHERE, **database) as url, client(url) as asking:
        for body in bodies:
            token = (await share(asking, record=body))["token"]
            found = (await asking.get(f"/api/shares/{token}")).json()
            assert found["record"] == body
            [messages] = [column["messages"] for column in body["columns"]]
            [blocks] = found["blocks"]
            assert [each is not None for each in blocks] == [
                message["role"] == "assistant" for message in messages
            ]
        long = branched()
        long["columns"][0]["messages"][4]["content"] = "x" * 50_000
        long["columns"][0]["messages"] += [answer("y" * 50_000, after=0) for _ in range(5)]
        token = (await share(asking, record=long))["token"]
        [blocks] = (await asking.get(f"/api/shares/{token}")).json()["blocks"]
    assert blocks[1] == ['<p dir="auto">First</p>\n']
    assert blocks[3] == ['<p dir="auto">Last</p>\n']
    assert blocks[-1] is None  # what is shown was rendered before it


async def test_a_title_kept_before_turns_nothing_around_it(database: Settings) -> None:
    store = Store.from_settings(load_settings(**database))
    async with (
        playground(NOWHERE, **database) as url,
        client(url) as asking,
        aclosing(store),
    ):
        token = (await share(asking))["token"]
        async with store.database.begin() as connection:
            await connection.execute(update(shares).values(title="gp\u202ej.\u2067exe"))
        [listed] = (await asking.get("/api/shares")).json()["shares"]
        shown = (await asking.get(f"/api/shares/{token}")).json()["share"]
    assert [each["title"] for each in (listed, shown)] == ["gpj.exe"] * 2


async def test_a_record_that_would_be_refused_today_is_shown_as_it_is(database: Settings) -> None:
    """As after an update that narrowed a range."""
    old = record()
    old["columns"][0]["setting"]["sampler"] = {"temperature": 2.5, "typical_p": 0.9}
    store = Store.from_settings(load_settings(**database))
    async with (
        playground(NOWHERE, **database) as url,
        client(url) as asking,
        aclosing(store),
    ):
        refused = await asking.post("/api/shares", json={"record": old})
        assert refused.status_code == 422
        token = (await share(asking))["token"]
        async with store.database.begin() as connection:
            await connection.execute(update(shares).values(record=orjson.dumps(old).decode()))
        [listed] = (await asking.get("/api/shares")).json()["shares"]
        assert listed["token"] == token
        assert (await asking.get(f"/api/shares/{token}")).json()["record"] == old
        assert (await asking.delete(f"/api/shares/{token}")).status_code == 204


async def test_an_owner_sees_and_withdraws_only_the_own(database: Settings) -> None:
    async with (
        playground(NOWHERE, **database) as url,
        client(url) as one,
        client(url, "127.0.0.2") as other,
    ):
        tokens = [(await share(one, title=f"Number {i}"))["token"] for i in range(3)]
        await share(other, private=True)
        mine = (await one.get("/api/shares")).json()["shares"]
        assert {each["token"] for each in mine} == set(tokens)
        assert set(mine[0]) == {
            "token", "url", "title", "kind", "created", "expires", "views", "private"
        }  # fmt: skip
        [theirs] = (await other.get("/api/shares")).json()["shares"]
        assert theirs["private"] is True
        seen = (await other.get(f"/api/shares/{tokens[0]}")).json()["share"]
        assert (seen["mine"], seen["views"]) == (False, None)

        refused = await other.delete(f"/api/shares/{tokens[0]}")
        unknown = await other.delete("/api/shares/unknown")
        assert same(refused, unknown)
        assert (await one.delete(f"/api/shares/{tokens[0]}")).status_code == 204
        assert same(await one.get(f"/api/shares/{tokens[0]}"), unknown)
        assert same(await one.delete(f"/api/shares/{tokens[0]}"), unknown)
        assert len((await one.get("/api/shares")).json()["shares"]) == 2


def same(one: httpx.Response, other: httpx.Response) -> bool:
    """Whether two answers cannot be told from each other, and say that nothing is there."""
    assert one.status_code == 404
    headers = [{k: v for k, v in each.headers.items() if k not in OWN} for each in (one, other)]
    return (one.status_code, one.content) == (other.status_code, other.content) and (
        headers[0] == headers[1]
    )


async def test_what_has_expired_was_never_there(database: Settings) -> None:
    async with playground(NOWHERE, **database) as url, client(url) as asking:
        token = (await share(asking, expires_in_s=1))["token"]

        async def gone() -> bool:
            return (await asking.get(f"/api/shares/{token}")).status_code == 404

        await until(gone)
        over = await asking.get(f"/api/shares/{token}")
        assert same(over, await asking.get("/api/shares/unknown"))
        [listed] = (await asking.get("/api/shares")).json()["shares"]
        assert listed["expires"] <= time.time()


async def guessed(url: str, tokens: list[str]) -> list[int]:
    """The status of each token's answer, asked one right behind the other from one address."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    reader, writer = await asyncio.open_connection(host, port, local_addr=("127.0.0.2", 0))
    asked = "".join(f"GET /api/shares/{token} HTTP/1.1\r\nHost: {host}\r\n\r\n" for token in tokens)
    writer.write(asked.encode())
    found = []
    for _ in tokens:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        found.append(int(head.split()[1]))
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
    writer.close()
    await writer.wait_closed()
    return found


async def test_guessing_ends_soon_and_finds_nothing(database: Settings) -> None:
    """10,000 tokens from one address, fewer where they would only be counted in the same way
    again; another address reads its link meanwhile."""
    tokens = [f"{i:022d}" for i in range(500 if "database_url" in database else 10_000)]
    async with (
        playground(NOWHERE, **database) as url,
        client(url) as reader,
        client(url, "127.0.0.2") as guesser,
    ):
        token = (await share(reader))["token"]
        answers = await asyncio.gather(*(guessed(url, tokens[i::10]) for i in range(10)))
        met = Counter(status for each in answers for status in each)
        assert set(met) == {404, 429}
        assert 30 <= met[404] < 30 + 10  # ten are asked while the last miss is counted
        refused = await guesser.get(f"/api/shares/{token}")
        assert refused.status_code == 429, "what is right is refused, too, or it would be found"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert (await guesser.delete(f"/api/shares/{token}")).status_code == 429
        assert (await reader.get(f"/api/shares/{token}")).status_code == 200


async def test_links_have_no_more_life_than_the_retention(database: Settings) -> None:
    async with (
        playground(NOWHERE, retention_days=2, **database) as url,
        client(url) as asking,
    ):
        for asked, days in ((None, 2), (86_400, 1), (10 * 86_400, 2)):
            made = await share(asking, expires_in_s=asked)
            assert made["expires"] == made["created"] + days * 86_400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "record"),
        ({"record": record(kind="page")}, "record.kind"),
        ({"record": record(), "title": 1}, "title"),
        ({"record": record(), "title": " \n"}, "title"),
        ({"record": record(), "title": "\u200b\u3164"}, "title"),
        ({"record": record(), "title": "a\x00b"}, "title"),
        ({"record": record(title="a\x07b")}, "title"),
        ({"record": record(), "title": "x" * 201}, "title"),
        ({"record": record(), "expires_in_s": 0}, "expires_in_s"),
        ({"record": record(), "expires_in_s": 1e12}, "expires_in_s"),
        ({"record": record(), "private": 1}, "private"),
        ({"record": record(), "owner": "me"}, "owner"),
        ([], "body"),
    ],
)
async def test_what_is_wrong_is_named_and_stores_nothing(body: object, field: str) -> None:
    async with playground(NOWHERE) as url, client(url) as asking:
        refused = await asking.post("/api/shares", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
        assert (await asking.get("/api/shares")).json() == {"shares": []}


async def test_half_a_character_is_refused_and_not_replaced() -> None:
    body = b'{"record": %s}' % orjson.dumps(record()).replace(b"A greeting", b"\\ud83d")
    async with playground(NOWHERE) as url, client(url) as asking:
        headers = {"content-type": "application/json"}
        refused = await asking.post("/api/shares", content=body, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "record.title")


def test_a_private_snapshot_is_for_who_is_logged_in() -> None:
    with Application(
        auth="proxy", trusted_proxies="127.0.0.1", proxy_user_header="X-User"
    ) as server:
        anna, ben, stranger = (
            httpx.Client(base_url=server.url, headers=headers)
            for headers in ({"X-User": "anna"}, {"X-User": "ben"}, {})
        )
        tokens = [
            anna.post("/api/shares", json={"record": record(), "private": private}).json()["token"]
            for private in (True, False)
        ]
        private, public = (f"/api/shares/{token}" for token in tokens)
        stranger.get("/api/shares/unknown")  # and gets a cookie
        unknown = stranger.get("/api/shares/unknown")
        assert same(stranger.get(private), unknown)
        assert stranger.get(public).json()["share"]["mine"] is False
        assert stranger.get("/api/shares").status_code == 401
        assert ben.get(private).json()["share"]["mine"] is False
        assert ben.get("/api/shares").json() == {"shares": []}
        assert same(ben.delete(private), ben.delete("/api/shares/unknown"))
        assert anna.get(private).json()["share"]["mine"] is True
        assert len(anna.get("/api/shares").json()["shares"]) == 2
        for each in (anna, ben, stranger):
            each.close()


async def test_what_is_larger_than_a_request_may_be_is_refused() -> None:
    async with playground(NOWHERE) as url, client(url) as asking:
        body = {"record": long_record(1_000_000)}
        assert (await asking.post("/api/shares", json=body)).status_code == 413
        made = await share(asking, record=long_record(900_000))
        found = await asking.get(f"/api/shares/{made['token']}")
        assert found.json()["record"] == long_record(900_000)


async def test_nobody_fills_the_disk(tmp_path: Path) -> None:
    async with (
        playground(NOWHERE, data_dir=tmp_path) as url,
        client(url) as one,
        client(url, "127.0.0.2") as other,
    ):
        for _ in range(LINKS_AN_HOUR):
            await share(one)
        refused = await one.post("/api/shares", json={"record": record()})
        assert (refused.status_code, refused.json()["kind"]) == (429, "busy")
        assert 0 < int(refused.headers["Retry-After"]) <= 3600
        assert len((await one.get("/api/shares")).json()["shares"]) == LINKS_AN_HOUR
        await share(other)


async def test_what_a_reader_would_wait_for_is_shown_as_text(tmp_path: Path) -> None:
    size = 50_000  # characters, as many as an answer may have
    long = [answer("a" * size)] * (MOST_CHARACTERS // size)
    body = record(column(answer("**first**"), *long, answer("**last**")))
    async with playground(NOWHERE, data_dir=tmp_path) as url, client(url) as asking:
        made = await share(asking, record=body)
        found = (await asking.get(f"/api/shares/{made['token']}")).json()
    [[first, *others, fifth, last]] = found["blocks"]
    assert first == ['<p dir="auto"><strong>first</strong></p>\n']
    assert all(others)
    assert (fifth, last) == (None, None)
    assert found["record"] == body
