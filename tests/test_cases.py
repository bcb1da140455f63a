"""The table of cases.toml: every test that it names is there and is collected."""

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT

TESTS = ROOT / "tests"
CASES: list[dict[str, Any]] = tomllib.loads((TESTS / "cases.toml").read_text("utf-8"))["case"]


def functions(file: Path) -> set[str]:
    """The tests of a file that pytest collects and does not skip by a mark."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = " ".join(map(ast.unparse, node.decorator_list))
            if node.name.startswith("test_") and not re.search(r"mark\.(skip|xfail)\b", marks):
                found.add(node.name)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["owed"])
def test_what_is_owed_has_its_tests(case: dict[str, Any], request: pytest.FixtureRequest) -> None:
    collected: dict[Path, set[str]] = defaultdict(set)
    for item in request.session.items:
        collected[item.path].add(getattr(item, "originalname", item.name))
    config = request.config
    picked = (config.option.keyword, config.option.markexpr, "::" in "".join(config.args))
    whole = not any(picked)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert any("::" in test for test in case["tests"])
    for test in case["tests"]:
        if test.startswith("make "):
            assert test.removeprefix("make ") in targets
            continue
        name, _, function = test.partition("::")
        file = TESTS / name
        assert file.name.startswith("test_")
        assert function in functions(file), f"{test} is not there"
        # Where a run takes the whole file along, pytest has found it, too.
        if collected[file] and whole:
            assert function in collected[file]


def test_a_case_stands_once() -> None:
    owed = [case["owed"] for case in CASES]
    assert len(owed) == len(set(owed)) == 29
