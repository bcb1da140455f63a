"""Kubernetes with vLLM or SGLang in the place of TGI, as kustomize renders it."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from playground.settings import PREFIX, load_settings
from tests.composition import BASE, ROOT, SGLANG, VLLM, compose
from tests.deployment.test_kubernetes import VERSION, Resource, name_of

FILES = {"vllm": VLLM, "sglang": SGLANG}
each_engine = pytest.mark.parametrize("engine", FILES)

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not on this machine"
)


@cache
def rendered(folder: Path) -> dict[str, Resource]:
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name_of(each): each for each in yaml.safe_load_all(done.stdout)}


def overlay(engine: str) -> dict[str, Resource]:
    return rendered(ROOT / "tgi/kubernetes" / engine)


def base() -> dict[str, Resource]:
    return rendered(ROOT / "tgi/serve")


def pod(resource: Resource) -> Resource:
    template: Resource = resource["spec"]["template"]["spec"]
    return template


def container(resource: Resource) -> Resource:
    [only] = pod(resource)["containers"]
    assert isinstance(only, dict)
    return only


def variables(resource: Resource) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(resource)["env"]}


@each_engine
def test_all_of_it_holds_against_the_schema(engine: str) -> None:
    for resource in overlay(engine).values():
        kubernetes_validate.validate(resource, VERSION, strict=True)
        assert resource["kind"] == "Namespace" or (
            resource["metadata"]["namespace"] == "kto-mistral"
        )


@each_engine
def test_the_engine_takes_the_place_of_all_that_is_tgis(engine: str) -> None:
    """The files that both read stay, under TGI's name."""
    was = {each for each in base() if not each.startswith("ConfigMap/")}
    now = {each for each in overlay(engine) if not each.startswith("ConfigMap/")}
    of_tgi = {each for each in was if each.endswith("/tgi")}
    assert now == was - of_tgi | {each.replace("/tgi", f"/{engine}") for each in of_tgi}
    [config] = [each for each in overlay(engine) if each.startswith("ConfigMap/tgi-files")]
    assert "chat_template.jinja" in overlay(engine)[config]["data"]
    [mounted] = [
        each["configMap"]["name"]
        for each in pod(overlay(engine)[f"StatefulSet/{engine}"])["volumes"]
        if "configMap" in each
    ]
    assert config == f"ConfigMap/{mounted}"


@each_engine
def test_it_is_started_as_compose_starts_it(engine: str) -> None:
    service: Any = compose(BASE, FILES[engine])["services"][engine]
    found = container(overlay(engine)[f"StatefulSet/{engine}"])
    assert found["image"] == service["image"]
    assert found["command"] == service["entrypoint"]
    given = variables(overlay(engine)[f"StatefulSet/{engine}"])
    told = {name: value for name, value in service["environment"].items() if value is not None}
    assert given == told | {"HF_TOKEN_PATH": "/run/secrets/hf/token", "USER": engine}
    mounts = {each["mountPath"]: each for each in found["volumeMounts"]}
    assert {"/data", "/serve", "/dev/shm", "/tmp", "/run/secrets/hf"} == set(mounts)
    volumes = {each["name"] for each in pod(overlay(engine)[f"StatefulSet/{engine}"])["volumes"]}
    assert {each["name"] for each in mounts.values()} == volumes | {"weights"}


@each_engine
def test_it_is_confined_and_has_limits_probes_and_time_to_end(engine: str) -> None:
    spec = pod(overlay(engine)[f"StatefulSet/{engine}"])
    found = container(overlay(engine)[f"StatefulSet/{engine}"])
    tgi = base()["StatefulSet/tgi"]
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for name in ("automountServiceAccountToken", "enableServiceLinks", "tolerations"):
        assert spec[name] == pod(tgi)[name]
    assert spec["terminationGracePeriodSeconds"] == pod(tgi)["terminationGracePeriodSeconds"]
    assert found["resources"] == container(tgi)["resources"]
    assert found["lifecycle"] == container(tgi)["lifecycle"]
    ports = {each["name"] for each in found["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert found[probe]["httpGet"]["port"] in ports
    start = found["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 3600
    scaler = overlay(engine)[f"HorizontalPodAutoscaler/{engine}"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == engine


@each_engine
def test_the_page_asks_it_and_nobody_else_may(engine: str) -> None:
    resources = overlay(engine)
    given = variables(resources["Deployment/playground"])
    assert given["PLAYGROUND_ENGINE_URL"] == f"http://{engine}:8080"
    assert given["PLAYGROUND_ENGINE_QUANTISATION"] == "FP8"
    others = variables(base()["Deployment/playground"])
    ours = {"PLAYGROUND_ENGINE", "PLAYGROUND_ENGINE_URL"}
    assert {name: given[name] for name in set(given) - ours} == {
        name: others[name] for name in set(others) - ours
    }
    fields = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in given.items()
        if not name.endswith("_FILE")
    }
    assert load_settings(**fields).engine == engine

    service = resources[f"Service/{engine}"]["spec"]
    labels = resources[f"StatefulSet/{engine}"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"] == labels == {"app": engine}
    [port] = service["ports"]
    assert port["port"] == 8080

    def allowed(name: str, way: str) -> list[Any]:
        return list(resources[f"NetworkPolicy/{name}"]["spec"][way])

    tgi = base()["NetworkPolicy/tgi"]["spec"]
    assert allowed(engine, "ingress") == tgi["ingress"]
    assert allowed(engine, "egress") == tgi["egress"]
    assert resources[f"NetworkPolicy/{engine}"]["spec"]["podSelector"] == {
        "matchLabels": {"app": engine}
    }
    first, *rest = allowed("playground", "egress")
    assert first["to"] == [{"podSelector": {"matchLabels": {"app": engine}}}]
    assert rest == base()["NetworkPolicy/playground"]["spec"]["egress"][1:]
