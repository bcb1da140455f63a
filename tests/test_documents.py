"""The documents say all that can be set, called, asked for and measured, and nothing else."""

import argparse
import re
import shlex
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from prometheus_client.parser import text_string_to_metric_families

from playground.app import create_app
from playground.cli.options import create_parser
from playground.settings import OLDER, PREFIX, Settings, load_settings
from playground.telemetry.metrics import Metrics
from tests import settings_table
from tests.application import Application
from tests.servers import ROOT, data_dir
from tests.stand_in.__main__ import create_parser as create_stand_in_parser

PRODUCT = "playground/README.md"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "playground/**/*.md", "tgi/**/*.md", "tests/**/*.md")
    for path in ROOT.glob(pattern)
)
every_document = pytest.mark.parametrize("name", DOCUMENTS)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its own heading left out."""
    lines = iter(read(name).splitlines())
    assert any(re.fullmatch(f"#+ {re.escape(heading)}", line) for line in lines), heading
    table: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table or line.startswith("#"):
            break
    return table[2:]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# Settings


def test_the_table_of_settings_is_that_of_the_class() -> None:
    text = read(PRODUCT)
    assert text == settings_table.written(text), "`make settings` writes it anew"


@every_document
def test_no_document_names_a_setting_that_is_none(name: str) -> None:
    known = {f"{PREFIX}{each}".upper() for each in (*Settings.model_fields, *OLDER)}
    tests = {"PLAYGROUND_TESTS_REQUIRE_BROWSER", "PLAYGROUND_TESTS_REQUIRE_SERVERS"}
    assert set(re.findall(r"\bPLAYGROUND_[A-Z_]*[A-Z]", read(name))) <= known | tests


# Commands


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Every command that has none below it, with its options."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for action in below:
        for command in action.choices.values():
            yield from commands(command)
    if not below:
        yield parser.prog, options(parser)


def options(parser: argparse.ArgumentParser) -> list[str]:
    return sorted({each.option_strings[-1] for each in parser._actions[1:] if each.option_strings})


def test_every_command_is_documented_with_its_options() -> None:
    documented = {
        code(name)[0]: sorted(code(given)) for name, given, _ in rows(PRODUCT, "Commands")
    }
    assert documented == dict(commands(create_parser()))


def test_every_option_of_the_stand_in_is_documented() -> None:
    documented = [
        each for name, *_ in rows("tests/stand_in/README.md", "The stand-in") for each in code(name)
    ]
    assert sorted(documented) == options(create_stand_in_parser())


@every_document
def test_what_documents_call_is_there(name: str) -> None:
    targets = re.findall(r"^([a-z]+):.*##", read("Makefile"), re.MULTILINE)
    blocks = re.findall(r"^```sh\n(.*?)^```$", read(name), re.MULTILINE | re.DOTALL)
    for line in re.sub(r"\\\n\s*", " ", "".join(blocks)).splitlines():
        if found := re.match(
            r"(?:.*&& |[A-Z_]+=\S+ |.*exec playground )*(?:\S+/)?playground (.*)", line
        ):
            create_parser().parse_args(shlex.split(found[1], comments=True))  # or it would exit
        if found := re.match(r"(?:[A-Z_]+=\S+ )*make (.*)", line):
            words = shlex.split(found[1], comments=True)
            assert {each for each in words if "=" not in each} <= set(targets)
    assert set(re.findall(r"`make ([a-z]+)", read(name))) <= set(targets)


def test_every_target_of_make_is_documented() -> None:
    targets = re.findall(r"^([a-z]+):.*##", read("Makefile"), re.MULTILINE)
    assert set(targets) <= set(re.findall(r"\bmake ([a-z]+)", read("CONTRIBUTING.md")))


# The HTTP API


def test_every_route_is_documented() -> None:
    routes = iter_route_contexts(create_app(load_settings(data_dir=data_dir()), ui=False).routes)
    known = {
        f"{method} {re.sub('^/ui/[0-9a-f]+', '/ui/{version}', path)}"
        for route in routes
        for method in route.methods or ()  # what is mounted, such as the modules, has none
        # What refuses all that is no route below /api is none either.
        if method != "HEAD" and not (path := route.path or "").endswith("{path:path}")
    }
    documented = [code(route)[0] for route, *_ in rows(PRODUCT, "HTTP API")]
    assert sorted(documented) == sorted(known)


def test_routes_are_as_open_as_documented() -> None:
    with Application(auth="users") as site:
        for route, login, _ in rows(PRODUCT, "HTTP API"):
            method, path = code(route)[0].split()
            answer = httpx.request(method, site.url + re.sub(r"\{\w+\}", "0", path))
            asks = answer.status_code == 401 and answer.headers["content-type"].endswith("json")
            assert asks == (login == ""), (route, answer.status_code)


# Metrics


class _Idle:
    limit = queue_limit = writing = waiting = 0


async def test_every_metric_is_documented() -> None:
    async def ready() -> dict[str, str]:
        return {"default": "ready"}

    async def answers() -> bool:
        return True

    text = (await Metrics(_Idle(), ready, answers).text()).decode()
    families = {
        f"{each.name}_total" if each.type == "counter" else each.name: each.type
        for each in text_string_to_metric_families(text)
        if each.name.startswith("playground_")
    }
    documented = {
        name.partition("{")[0]: kind
        for names, kind, _ in rows("playground/telemetry/README.md", "Metrics")
        for name in code(names)
    }
    assert documented == families


# Links between documents


def anchors(name: str) -> set[str]:
    """What GitHub calls a document's headings."""
    headings = re.findall(r"^#+ (.*)$", read(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@every_document
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", read(name)):
        path, _, anchor = (link[0] or link[1]).partition("#")
        if path.startswith(("http://", "https://")):
            continue
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), link


@every_document
def test_files_that_are_named_are_there(name: str) -> None:
    folders = [ROOT / each for each in ("playground", "tgi", "tests")]
    files = {f"/{each.relative_to(ROOT).as_posix()}" for each in ROOT.iterdir()}
    files |= {
        f"/{each.relative_to(ROOT).as_posix()}" for folder in folders for each in folder.rglob("*")
    }
    prose = re.sub(r"^```.*?^```$", "", read(name), flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([\w./-]+\.(?:py|js|ts|toml|yml|yaml|conf|env|onnx))`", prose):
        assert any(each.endswith(f"/{span}") for each in files), span


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 150
