"""What is installed elsewhere than in a checkout: the files of the wheel."""

from hatchling.builders.wheel import WheelBuilder

from tests.servers import ROOT

UI = ROOT / "playground/ui"


def wheel() -> set[str]:
    """The paths of the files that the wheel would have, as in the checkout."""
    return {each.distribution_path for each in WheelBuilder(str(ROOT)).recurse_included_files()}


def test_the_wheel_has_all_files_that_are_not_python() -> None:
    files = wheel()
    assert "playground/ui/templates/standalone.html" in files
    for folder in (UI / "templates", UI / "static", ROOT / "tgi/embedded/model"):
        for path in folder.rglob("*"):
            assert path.is_dir() or str(path.relative_to(ROOT)) in files
    assert {"playground/domain/presets.toml", "playground/cli/main.py"} <= files


def test_what_trains_the_model_is_in_the_checkout_alone() -> None:
    files = wheel()
    assert (ROOT / "tgi/embedded/training/train.py").exists()
    assert not [each for each in files if each.startswith("tgi/embedded/training")]
    for name in files:
        if name.endswith(".py"):
            assert "embedded.training" not in (ROOT / name).read_text(encoding="utf-8"), name
