"""The presets that come with the project, and files that are wrong."""

from pathlib import Path

import pytest

from playground.domain.presets import Preset, PresetsError, load_presets
from playground.domain.samplers import Sampler

ONE = '[[preset]]\nid = "a"\nname = "A"\nsource = "S"\n'


def test_the_three_of_the_project() -> None:
    presets = load_presets()
    assert {(p.name, p.sampler, p.max_new_tokens) for p in presets} == {
        ("Balanced", Sampler(temperature=0.7, top_p=0.95), 2048),
        (
            "Focused",
            Sampler(temperature=0.3, top_p=0.95, top_k=50, repetition_penalty=1.2),
            1024,
        ),
        ("Creative", Sampler(temperature=1.0, min_p=0.1), None),
    }
    assert all(preset.source for preset in presets)
    assert all(preset.description.count(".") == 1 for preset in presets), "one sentence each"


def test_reads_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"version = 1\n{ONE}max_new_tokens = 9\n[preset.sampler]\ntop_k = 40\n")
    assert load_presets(path) == (Preset("a", "A", "S", Sampler(top_k=40), 9),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version = ", "not a TOML file"),
        (ONE, "version must be 2 or one before it, not missing"),
        (f"version = 3\n{ONE}", "version must be 2 or one before it, not 3"),
        ("version = 1", r"no \[\[preset\]\] table"),
        ("version = 1\npresets = []", "presets is not known"),
        ('version = 1\npreset = ["a"]', "preset 1: must be a"),
        ('version = 1\n[[preset]]\nid = "a"\nname = "A"', "preset a: source must be"),
        (f"version = 1\n{ONE.replace('a', 'A b', 1)}", "preset"),
        (f"version = 1\n{ONE}{ONE}", "preset a: id is used twice"),
        (f"version = 1\n{ONE.replace(chr(34) + 'a', chr(34) + 'A b')}", "preset A b: id must be"),
        (f"version = 1\n{ONE}temperature = 0.7", "preset a: temperature is not known"),
        (f"version = 2\n{ONE}description = 1", "preset a: description must be"),
        (f'version = 1\n{ONE}description = "D"', "preset a: description is not known"),
        (f"version = 1\n{ONE}max_new_tokens = 0", "preset a: max_new_tokens must be"),
        (f"version = 1\n{ONE}max_new_tokens = true", "preset a: max_new_tokens must be"),
        (f"version = 1\n{ONE}sampler = 3", "preset a: sampler: "),
        (
            f"version = 1\n{ONE}[preset.sampler]\ntop_p = 2",
            r"preset a: sampler.top_p: .*0.01 and 1",
        ),
        (f"version = 1\n{ONE}[preset.sampler]\ntopp = 1", "preset a: sampler.topp: "),
    ],
)
def test_says_what_is_wrong_with_a_file_and_where(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(PresetsError, match=reason) as caught:
        load_presets(path)
    assert str(path) in str(caught.value)


def test_says_that_a_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PresetsError, match="cannot be read: No such file"):
        load_presets(tmp_path / "none.toml")
