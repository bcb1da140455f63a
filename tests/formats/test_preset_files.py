"""Presets files of the format before, which must go on working."""

from dataclasses import replace
from pathlib import Path

import pytest

from playground.domain.presets import PresetsError, load_presets
from playground.domain.samplers import Sampler
from tests.servers import ROOT

V1 = ROOT / "tests" / "data" / "presets-v1.toml"
HEAD = '[[preset]]\nid = "a"\nname = "A"\n'


def test_a_file_of_version_1_still_loads_as_it_is() -> None:
    assert V1.read_text(encoding="utf-8").count("version = 1") == 1
    presets = load_presets(V1)
    assert [(p.id, p.sampler, p.max_new_tokens) for p in presets] == [
        ("alpacaeval", Sampler(temperature=0.7, top_p=0.95), 2048),
        (
            "huggingchat",
            Sampler(temperature=0.3, top_p=0.95, top_k=50, repetition_penalty=1.2),
            1024,
        ),
        ("min-p", Sampler(temperature=1.0, min_p=0.1), None),
    ]
    assert not any(preset.default for preset in presets)
    now = [replace(each, description="", name="") for each in load_presets()]
    assert [replace(each, name="") for each in presets] == now, "but for what they are called"


def test_version_2_needs_no_source_and_knows_a_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"version = 2\n{HEAD}default = true\n")
    (preset,) = load_presets(path)
    assert (preset.source, preset.default) == ("", True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"version = 1\n{HEAD}", "source must be"),
        (f'version = 1\n{HEAD}source = "S"\ndefault = true\n', "default is not known"),
        (f"version = 2\n{HEAD}default = 1\n", "default must be true or false"),
        (
            f"version = 2\n{HEAD}default = true\n"
            '[[preset]]\nid = "b"\nname = "B"\ndefault = true\n',
            "more than one preset is the default",
        ),
    ],
)
def test_each_version_is_held_to_its_own_rules(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(PresetsError, match=reason):
        load_presets(path)
