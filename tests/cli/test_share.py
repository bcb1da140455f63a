"""`playground share`, run as people run it, beside a server on the same database."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from httpx_sse import aconnect_sse

from playground.cli.main import main
from tests import commands
from tests.api.test_demo_links import ASK, ROOMY, browser, dripping
from tests.composition import BASE, compose
from tests.conversations import record
from tests.servers import ROOT
from tests.stock import playground, tgi

PUBLIC = "https://demo.example/x/"


async def share(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "playground", "share", *arguments],
        cwd=ROOT,
        env={**os.environ, "PLAYGROUND_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:7860/d/"),
        ({"PORT": "7999"}, "http://127.0.0.1:7999/d/"),
        ({"PORT": "7870-7879", "BIND": "::1"}, "http://[::1]:7870/d/"),
        ({"PLAYGROUND_PUBLIC_URL": PUBLIC, "PORT": "7999"}, f"{PUBLIC}d/"),
    ],
)
def test_a_link_that_is_made_in_compose_leads_to_where_the_page_is_published(
    tmp_path: Path, variables: dict[str, str], address: str
) -> None:
    page = compose(BASE, variables=variables)["services"]["playground"]["environment"]
    env = {**page, "PLAYGROUND_DATA_DIR": str(tmp_path), "PLAYGROUND_HOST": "0.0.0.0"}
    demo = ("demo", "--preset", "min-p", "--budget", "20000", "--title", "One")
    done = commands.playground("share", *demo, env=env)
    assert done.stdout.startswith(address), done.stderr


async def test_an_operator_makes_lists_switches_and_deletes_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_DATA_DIR", str(tmp_path))
    done = await share(
        tmp_path,
        *("demo", "--preset", "alpacaeval", "--preset", "min-p", "--system", "Be brief."),
        *("--budget", "20000", "--max-new-tokens", "300", "--expires", "7d", "--title", "Two"),
    )
    assert done.returncode == 0, done.stderr
    link = done.stdout.strip()
    token = link.rpartition("/")[2]
    assert link == f"http://127.0.0.1:7860/d/{token}"
    assert "a guess" in done.stderr
    assert "min_p 0.1; at most 300 tokens" in done.stderr
    bell = asyncio.Event()
    async with (
        tgi(dripping(bell), info=ROOMY) as engine,
        playground(engine.url, data_dir=tmp_path) as url,
        browser(url) as client,
    ):
        shown = (await client.get(f"/api/demos/{token}")).json()
        assert [pane["name"] for pane in shown["panes"]] == ["Balanced", "Creative"]
        assert (shown["title"], shown["system"], shown["left"]) == ("Two", "Be brief.", 20_000)
        assert shown["expires"] is not None
        assert (await client.get("/api/demos")).json() == {"demos": []}  # it is nobody's here
        async with aconnect_sse(client, "POST", f"/api/demos/{token}/stream", json=ASK) as source:
            stream = source.aiter_sse()
            assert (await anext(stream)).event == "receipt"
            off = await share(tmp_path, "off", link)
            assert off.returncode == 0, off.stderr
            async with asyncio.timeout(20):
                kinds = [each.json().get("kind") async for each in stream if each.event == "error"]
        assert kinds == ["closed", "closed"]
        bell.set()
        assert (await client.get(f"/api/demos/{token}")).status_code == 404
        assert await asyncio.to_thread(main, ["share", "on", token]) == 0
        assert (await client.get(f"/api/demos/{token}")).status_code == 200
        mine = await client.post("/api/shares", json={"record": record(), "title": "A \u00adtalk"})
        snapshot = mine.json()["token"]
        env = {"PLAYGROUND_DATA_DIR": str(tmp_path), "PLAYGROUND_PUBLIC_URL": PUBLIC}
        listed = await asyncio.to_thread(commands.playground, "share", "list", env=env)
        assert listed.returncode == 0
        assert listed.stderr == ""
        assert f"{PUBLIC}d/{token}" in listed.stdout
        assert f"{PUBLIC}s/{snapshot}" in listed.stdout
        assert "made on the command line" in listed.stdout
        assert "of 20,000 tokens spent" in listed.stdout
        assert "A \N{REPLACEMENT CHARACTER}talk" in listed.stdout
        assert await asyncio.to_thread(main, ["share", "delete", link]) == 0
        assert await asyncio.to_thread(main, ["share", "revoke", f"/s/{snapshot}"]) == 0
        assert (await client.get(f"/api/demos/{token}")).status_code == 404
        assert (await client.get(f"/api/shares/{snapshot}")).status_code == 404


DEMO = ("demo", "--title", "T", "--budget", "500", "--preset")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*DEMO, "no-such"), "there are alpacaeval, huggingchat, min-p"),
        (
            (*DEMO, "min-p", "--budget", "-1"),
            "--budget must be a whole number from 16 to",
        ),
        ((*DEMO, "min-p", "--expires", "soon"), "write 30m, 12h, 7d or 2w"),
        ((*DEMO, "min-p", "--system-file", "/nowhere"), "/nowhere cannot be read"),
        (("off", "https://demo.example/d/unknown"), "There is no such demo"),
        (("revoke", "unknown"), "There is nothing here"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PLAYGROUND_DATA_DIR", str(tmp_path))
    assert main(["share", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
