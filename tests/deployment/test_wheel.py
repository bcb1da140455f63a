"""What is installed elsewhere than in a checkout: the files of the wheel."""

import re

from hatchling.builders.wheel import WheelBuilder

from tests.servers import ROOT

UI = ROOT / "playground/ui"


def wheel() -> set[str]:
    """The paths of the files that the wheel would have, as in the checkout."""
    return {each.distribution_path for each in WheelBuilder(str(ROOT)).recurse_included_files()}


def test_the_wheel_has_all_files_that_are_not_python() -> None:
    files = wheel()
    assert "playground/ui/templates/standalone.html" in files
    for folder in (UI / "templates", UI / "static"):
        for path in folder.rglob("*"):
            assert path.is_dir() or str(path.relative_to(ROOT)) in files
    assert {"playground/domain/presets.toml", "playground/cli/main.py"} <= files


def test_nothing_of_the_tests_and_of_deployments_is_in_it() -> None:
    files = wheel()
    assert not [each for each in files if each.startswith(("tests", "tgi/serve", "tgi/kubernetes"))]
    assert not [each for each in files if each.endswith(("Dockerfile", ".yml", ".yaml"))]
    # Of what came from elsewhere the words that say so come along.
    assert all("/vendor/" in each for each in files if each.endswith(".md"))
    for name in files:
        if name.endswith(".py"):
            text = (ROOT / name).read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) tests\b", text, re.MULTILINE), name
