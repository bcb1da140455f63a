"""docker-compose.yml and its CPU override, without a daemon."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from playground.settings import PREFIX, Settings
from tests.composition import (
    BASE,
    CPU,
    ROOT,
    VARIABLE,
    Loader,
    Override,
    compose,
    environment,
    example,
    has_compose,
    merge,
    texts,
)

SCHEMA = json.loads((ROOT / "tests/data/compose-spec.json").read_text())

SETS = {"GPU": (BASE,), "CPU": (BASE, CPU)}
every_set = pytest.mark.parametrize("files", SETS.values(), ids=SETS)


# The files against the specification


@every_set
@pytest.mark.parametrize("variables", [{}, example()], ids=["no .env", ".env.example"])
def test_the_project_holds_against_the_specification(
    files: Sequence[Path], variables: Mapping[str, str]
) -> None:
    project = compose(*files, variables=variables)
    jsonschema.Draft7Validator(SCHEMA).validate(project)
    assert not [text for text in texts(project) if "$" in text]


@pytest.mark.parametrize(
    "fault",
    [
        {"services": {"tgi": {"imagee": "x"}}},
        {"services": {"tgi": {"healthcheck": {"start_periods": "1m"}}}},
        {"services": {"tgi": {"deploy": {"resources": {"limits": {"memory": ["1g"]}}}}}},
        {"volume": {}},
    ],
)
def test_the_schema_sees_faults(fault: Mapping[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(merge(compose(BASE), fault))


@every_set
def test_docker_compose_reads_it(files: Sequence[Path]) -> None:
    command = ["docker", "compose", *(word for file in files for word in ("-f", str(file)))]
    if not has_compose():
        pytest.skip("`docker compose` is not on this machine")
    result = subprocess.run([*command, "config"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    services = yaml.safe_load(result.stdout)["services"]
    assert set(services) == {"tgi", "playground"}
    ours = compose(*files)["services"]
    for name, service in services.items():
        assert service["image"] == ours[name]["image"]
        assert ("devices" in json.dumps(service)) == ("devices" in json.dumps(ours[name]))


def test_every_variablehas_a_default_and_is_explained() -> None:
    explained = example()
    for file in (BASE, CPU):
        content = yaml.load(file.read_text(), Loader)
        for text in texts(content):
            for _, name, operator, default, bare in VARIABLE.findall(text):
                assert not bare, f"${bare} has no default"
                assert operator in (":-", ":?"), f"{name} has no default"
                assert name in explained, f"{name} is not in .env.example"
                if operator == ":-" and default:
                    assert explained[name] == default, name
        for service in content["services"].values():
            variables: Any = service.get("environment", {})
            if isinstance(variables, Override):
                variables = variables.value
            for name, value in variables.items():
                assert value is not None or name in explained, f"{name} is not in .env.example"


def test_every_variable_that_is_explained_exists() -> None:
    used = {
        name
        for file in (BASE, CPU)
        for name in re.findall(r"\$\{(\w+)|^      ([A-Z_]+):$", file.read_text(), re.MULTILINE)
        for name in name
        if name
    }
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(example()) - used <= settings
    assert settings <= set(example())


def test_the_defaults_of_the_settings_are_those_explained() -> None:
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        assert example()[PREFIX + name.upper()] == default


# What must hold whatever is edited


@every_set
def test_only_the_page_is_published_and_only_here(files: Sequence[Path]) -> None:
    services = compose(*files)["services"]
    assert "ports" not in services["tgi"]
    assert services["playground"]["ports"] == ["127.0.0.1:7860:7860"]
    moved = compose(*files, variables={"PORT": "7999", "BIND": "0.0.0.0"})["services"]
    assert moved["playground"]["ports"] == ["0.0.0.0:7999:7860"]


@every_set
def test_services_are_confined(files: Sequence[Path]) -> None:
    for name, service in compose(*files)["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert service["deploy"]["resources"]["limits"]["pids"]
        assert service["restart"] == "unless-stopped"
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["stop_grace_period"]
        if "build" in service:  # an image of ours; TGI's runs as root and writes where it likes
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"], name
            assert service["deploy"]["resources"]["limits"]["memory"], name


@every_set
def test_the_page_does_not_wait_for_the_model(files: Sequence[Path]) -> None:
    service = compose(*files)["services"]["playground"]
    assert service["depends_on"] == {"tgi": {"condition": "service_started"}}


def test_tgi_gets_a_gpu_and_keeps_its_weights() -> None:
    project = compose(BASE)
    tgi = project["services"]["tgi"]
    assert tgi["image"] == "ghcr.io/huggingface/text-generation-inference:3.3.7"
    [device] = tgi["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"], device["count"]) == ("nvidia", ["gpu"], "1")
    assert "weights:/data" in tgi["volumes"]
    assert "weights" in project["volumes"]
    assert tgi["shm_size"] == "1gb"


def test_without_a_gpu_nothing_of_it_is_left() -> None:
    project = compose(BASE, CPU)
    tgi, page = project["services"]["tgi"], project["services"]["playground"]
    assert "devices" not in json.dumps(project)
    assert not tgi.get("env_file")
    assert set(tgi["environment"]) == {"HF_HOME", "HF_TOKEN"}
    assert "text-generation-inference" not in json.dumps(project)
    assert (tgi["image"], tgi["build"]) == (page["image"], page["build"])
    named = {volume.split(":")[0] for volume in tgi["volumes"]}
    assert set(project["volumes"]) == named


@every_set
def test_mounts_and_env_files_exist(files: Sequence[Path]) -> None:
    project = compose(*files)
    for service in project["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in project["volumes"] or (ROOT / source).is_file()
        if service.get("env_file"):
            assert (ROOT / service["env_file"]).is_file()
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_engine_is_where_the_page_looks_for_it() -> None:
    variables = environment(ROOT / "tgi/serve/fp8.env")
    gpu = compose(BASE)["services"]
    assert gpu["playground"]["environment"]["PLAYGROUND_TGI_URL"] == "http://tgi"
    assert variables["PORT"] == "80"
    assert gpu["tgi"]["healthcheck"]["test"][-1] == "http://127.0.0.1:80/health"
    cpu = compose(BASE, CPU)["services"]
    assert cpu["playground"]["environment"]["PLAYGROUND_TGI_URL"] == "http://tgi:8080"
    assert cpu["tgi"]["command"].split()[:7] == [
        "python", "-m", "tgi.embedded", "--host", "0.0.0.0", "--port", "8080",
    ]  # fmt: skip
