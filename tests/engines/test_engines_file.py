"""The file with several engines: what it says, and how it can be wrong."""

from pathlib import Path

import pytest

from playground.domain.errors import InvalidRequest
from playground.domain.prompt_formats import CHATML
from playground.engines.base import EngineAddress
from playground.engines.factory import engine_addresses
from playground.engines.registry import resolve
from playground.settings import SettingsError, load_settings

TGI = '[[engine]]\nid = "tgi"\nurl = "http://127.0.0.1:8080"\n'


def read(path: Path, text: str) -> tuple[EngineAddress, ...]:
    """The engines of a file, as the settings lead to them."""
    file = path / "engines.toml"
    file.write_text(text, encoding="utf-8")
    return engine_addresses(load_settings(engines_file=file, engine_url="http://unused:1"))


def test_a_file_names_its_engines_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("the key\n", encoding="utf-8")
    text = (
        TGI
        + '[[engine]]\nid = "q4_k-m"\nname = "Q4  on llama.cpp"\nkind = "llamacpp"\n'
        + 'url = "https://elsewhere.example/v1/"\nkey_file = "a.key"\nmodel = "some/model"\n'
        + 'prompt_format = "chatml"\nquantisation = "Q4_K_M"\n'
    )
    first, second = read(tmp_path, text)
    assert first == EngineAddress(id="tgi", kind="auto", url="http://127.0.0.1:8080")
    assert second == EngineAddress(
        id="q4_k-m",
        name="Q4 on llama.cpp",
        kind="llamacpp",
        url="https://elsewhere.example/v1",
        api_key="the key",
        model="some/model",
        quantisation="Q4_K_M",
        prompt_format=CHATML,
    )
    assert "the key" not in repr(second)


@pytest.mark.parametrize(
    ("text", "entry", "words"),
    [
        ("", "", "engine is missing: it must be a list"),
        ("engine = []", "", "engine must be a list"),
        ("[[engine]", "", "It is not a TOML file: "),
        ("engine = 3", "", "engine must be a list"),
        ("[[engines]]", "", "engines is not known here; there are engine."),
        ('[[engine]]\nurl = "http://a"', ", entry 1", "id is missing"),
        (TGI + '[[engine]]\nid = "q4"', ", entry 2 (q4)", "url is missing"),
        (TGI + TGI, ", entry 2 (tgi)", 'id "tgi" stands twice.'),
        (TGI.replace('"tgi"', '"TGI"'), ", entry 1 (TGI)", "id must be 1 to 40 of a-z, 0-9, _ and"),
        (TGI.replace('"tgi"', '""'), ", entry 1 ()", "id must be 1 to 40"),
        (TGI.replace('"tgi"', '"default"'), ", entry 1 (default)", 'id must not be "default"'),
        (TGI.replace('"tgi"', "7"), ", entry 1", "id must be a text."),
        (
            TGI.replace("//", "//bob:pw@"),
            ", entry 1 (tgi)",
            "url must hold no name, no password and",
        ),
        (TGI.replace("8080", "8080/?key=pw"), ", entry 1 (tgi)", "url must hold no name, no pass"),
        (TGI.replace("http:", "ftp:"), ", entry 1 (tgi)", "url must be an http:// or https:// add"),
        (TGI + 'kind = "mlx"', ", entry 1 (tgi)", "kind must be one of auto, tgi, llamacpp, vllm"),
        (TGI + 'prompt_format = "x"', ", entry 1 (tgi)", "prompt_format must be one of tulu2, "),
        (TGI + 'key = "secret"', ", entry 1 (tgi)", "key is not known here; there are id, name, "),
        (
            TGI + 'key_file = "none"',
            ", entry 1 (tgi)",
            "key_file none cannot be used: No such file",
        ),
        (TGI + 'key_file = "."', ", entry 1 (tgi)", "key_file . cannot be used: Is a directory."),
        (
            TGI + 'key_file = "empty"',
            ", entry 1 (tgi)",
            "cannot be used: it must hold one line of ASCII characters.",
        ),
        (
            TGI + 'key_file = "accents"',
            ", entry 1 (tgi)",
            "cannot be used: it must hold one line of ASCII characters.",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_entry_and_an_example(
    tmp_path: Path, text: str, entry: str, words: str
) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "accents").write_text("sécret\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"PLAYGROUND_ENGINES_FILE: {tmp_path / 'engines.toml'}{entry}: ")
    assert words in said
    assert 'For example:\n[[engine]]\nid = "tgi"' in said
    assert "secret" not in said
    assert "sécret" not in said


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "engines.toml").write_bytes(b"\xff\xfe")
    for name in ("engines.toml", "nowhere.toml"):
        with pytest.raises(SettingsError, match="it must be a TOML file that can be read"):
            load_settings(engines_file=tmp_path / name)


def test_without_a_file_the_single_engine_is_the_default() -> None:
    [only] = engine_addresses(load_settings(engine_url="http://127.0.0.1:9", engine="tgi"))
    assert (only.id, only.kind, only.url) == ("default", "tgi", "http://127.0.0.1:9")


def test_a_request_names_an_engine_or_takes_the_default() -> None:
    ids = ("tgi", "q4")
    assert [resolve(choice, ids, "engine") for choice in (None, "default", "tgi", "q4")] == [
        *("tgi", "tgi", "tgi", "q4")
    ]
    with pytest.raises(InvalidRequest) as caught:
        resolve("x" * 99, ids, "panes[0].engine")
    assert str(caught.value) == (
        f"There is no engine {'x' * 59}… on this server; there are tgi, q4."
    )
    assert caught.value.field == "panes[0].engine"
