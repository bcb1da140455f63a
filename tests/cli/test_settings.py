"""The environment: defaults, files, and sentences for what is wrong."""

from pathlib import Path

import pytest

from playground.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PLAYGROUND_{name.upper()}", raising=False)


def test_has_a_default_for_everything() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)
    assert settings.engine_url == "http://127.0.0.1:8080"
    assert settings.model_id == "ContextualAI/Contextual_KTO_Mistral_PairRM"
    assert settings.api_key() is None


def test_reads_the_environment_and_a_file_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PLAYGROUND_PORT=1\nPLAYGROUND_MAX_STREAMS=7\nHF_TOKEN=x\n")
    monkeypatch.setenv("PLAYGROUND_ENGINE_URL", "https://tgi.example/base/")
    monkeypatch.setenv("PLAYGROUND_PORT", "8000")
    monkeypatch.setenv("PLAYGROUND_PRESETS_FILE", "")
    settings = load_settings()
    assert settings.engine_url == "https://tgi.example/base"
    assert (settings.port, settings.max_streams) == (8000, 7)
    assert settings.presets_file is None, "an empty variable is an unset one"
    assert load_settings(port=9).port == 9


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("from-file\n")
    monkeypatch.setenv("PLAYGROUND_ENGINE_API_KEY_FILE", str(key))
    assert load_settings().api_key() == "from-file"
    monkeypatch.delenv("PLAYGROUND_ENGINE_API_KEY_FILE")
    monkeypatch.setenv("PLAYGROUND_ENGINE_API_KEY", "direct")
    settings = load_settings()
    assert settings.api_key() == "direct"
    assert "direct" not in repr(settings)


PASSWORDS = (
    "http://bob:hunter2@127.0.0.1:8080",
    "http://hunter2@127.0.0.1:8080",
    "http://bob%3Ahunter2%40127.0.0.1:8080",
    "bob:hunter2@127.0.0.1:8080",
    "http://127.0.0.1:8080/?key=hunter2",
    "http://127.0.0.1:8080/#hunter2",
    "http://127.0.0.1:port/?key=hunter2",
)


@pytest.mark.parametrize("name", ["ENGINE_URL", "TGI_URL", "PUBLIC_URL"])
@pytest.mark.parametrize("address", PASSWORDS)
def test_an_address_holds_no_password_and_none_is_repeated(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"PLAYGROUND_{name}", address)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "cannot be used; it must be an http:// or https:// address" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "redis"),
    [
        ("valkey://limits:6379", "redis://limits:6379"),
        ("valkeys://anna:s3cret@limits/2", "rediss://anna:s3cret@limits/2"),
        ("rediss://:s3cret@limits", "rediss://:s3cret@limits"),
        ("memcached://:s3cret@limits", None),
        ("valkey://:s3cret@limits:port", None),
        ("valkey://:s3cret@limits/two", None),
        ("valkey://:s3cret@limits?db=2", None),
        ("valkey:///2#s3cret", None),
    ],
)
def test_where_processes_count_together(address: str, redis: str | None) -> None:
    if redis is not None:
        assert load_settings(limits_url=address).limits_address() == redis
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(limits_url=address)
    assert str(caught.value).startswith("PLAYGROUND_LIMITS_URL cannot be used; it must be valkey:")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("ENGINE_URL", "tgi:8080", "http"),
        ("ENGINE_URL", "ftp://tgi", "http"),
        ("PORT", "70000", "0 to 65535"),
        ("PORT", "http", "0 to 65535"),
        ("ROOT_PATH", "playground/", "a path such as /playground"),
        ("MAX_STREAMS", "0", "from 1"),
        ("CONTEXT_TOKENS", "12", "from 256"),
        ("ENGINE_API_KEY_FILE", "/nowhere/key", "a file that can be read"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy,::1/129", "addresses or networks with commas"),
        ("TRUSTED_PROXIES", "none", "addresses or networks with commas"),
        ("METRICS_FROM", "10.0.0.1/8", "addresses or networks with commas"),
        ("METRICS_FROM", "none,::1", "; or none"),
        ("PROXY_USER_HEADER", "X User", "the name of a header that the proxy alone sets"),
        ("PROXY_USER_HEADER", "Cookie", "the name of a header that the proxy alone sets"),
        ("PROXY_USER_HEADER", "host", "the name of a header that the proxy alone sets"),
    ],
)
def test_names_the_variable_its_value_and_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepted: str
) -> None:
    monkeypatch.setenv(f"PLAYGROUND_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"PLAYGROUND_{name} is {value!r}; it must be ")
    assert accepted in line


@pytest.mark.parametrize(
    "key", ["hunter2é", "hunter2\nx: y", "hunter2\u2028", " hunter2", "hunter2\x7f"]
)
def test_a_key_that_no_header_holds_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    monkeypatch.setenv("PLAYGROUND_ENGINE_API_KEY", key)
    with pytest.raises(SettingsError) as direct:
        load_settings()
    monkeypatch.delenv("PLAYGROUND_ENGINE_API_KEY")
    file = tmp_path / "key"
    file.write_text(f"{key}é\n", encoding="utf-8")
    monkeypatch.setenv("PLAYGROUND_ENGINE_API_KEY_FILE", str(file))
    with pytest.raises(SettingsError) as in_file:
        load_settings()
    assert str(direct.value).startswith("PLAYGROUND_ENGINE_API_KEY cannot be used; it must be one ")
    assert str(file) in str(in_file.value)
    for each in (direct, in_file):
        assert "line of ASCII characters" in str(each.value)
        assert "hunter2" not in str(each.value)


def test_names_the_variable_of_compose_where_that_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAYGROUND_MODEL_ID", "a b")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(
        "PLAYGROUND_MODEL_ID (in compose MODEL_ID) is 'a b'; it must"
    )
    assert "owner/name" in str(caught.value)


def test_says_why_a_file_cannot_be_read_and_nothing_of_what_is_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    monkeypatch.setenv("PLAYGROUND_SECRET_FILE", str(file))
    file.mkdir()
    with pytest.raises(SettingsError, match=r"a file that can be read, and is not: Is a directory"):
        load_settings()
    file.rmdir()
    file.write_bytes(b"hunter2\xff")
    with pytest.raises(SettingsError, match=r"and is not: no text in UTF-8") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    assert "ff" not in str(caught.value).replace(str(file), "")


@pytest.mark.parametrize(
    ("value", "networks"),
    [
        ("10.0.0.0/8, ::1 ,192.0.2.1,", ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]),
        ("none", []),
        ("", ["127.0.0.0/8", "::1/128"]),
    ],
)
def test_networks_stand_with_commas_between_them(
    monkeypatch: pytest.MonkeyPatch, value: str, networks: list[str]
) -> None:
    monkeypatch.setenv("PLAYGROUND_METRICS_FROM", value)
    assert [str(each) for each in load_settings().metrics_from] == networks
    assert load_settings().trusted_proxies == []


def test_names_all_that_is_wrong_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PORT", "x")
    monkeypatch.setenv("PLAYGROUND_MAX_STREAMS", "x")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == 2
