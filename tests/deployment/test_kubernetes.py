"""The Kubernetes manifests: as kustomize renders them, against the API's schema and some rules."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from playground.settings import PREFIX, Settings, load_settings
from tests.composition import BASE, ROOT, compose, environment

FOLDER = ROOT / "tgi/serve"
VERSION = "1.32.0"
Resource = dict[str, Any]


def _written() -> list[Resource]:
    """The resources as they stand in their files."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return [
        resource
        for name in kustomization["resources"]
        for resource in yaml.safe_load_all((FOLDER / name).read_text())
    ]


def _rendered() -> list[Resource]:
    """The resources as `kubectl apply -k` sends them; without kubectl, as they are written."""
    if shutil.which("kubectl") is None:
        return _written()
    command = ["kubectl", "kustomize", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


RESOURCES = _rendered()


def name_of(resource: Resource) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


def resource(name: str) -> Resource:
    [found] = [each for each in RESOURCES if name_of(each) == name]
    return found


WORKLOADS = [
    "StatefulSet/tgi",
    "Deployment/playground",
    "StatefulSet/postgres",
    "Deployment/valkey",
]
every_workload = pytest.mark.parametrize("name", WORKLOADS)


def pod(name: str) -> Resource:
    template: Resource = resource(name)["spec"]["template"]
    return template


def container(name: str) -> Resource:
    [only] = pod(name)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def variables(name: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(name)["env"]}


# The schema


@pytest.mark.parametrize("each", RESOURCES, ids=name_of)
def test_a_resource_holds_against_the_schema(each: Resource) -> None:
    kubernetes_validate.validate(each, VERSION, strict=True)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("Deployment/playground", ("spec", "replica"), 2),
        ("StatefulSet/tgi", ("spec", "template", "spec", "gracePeriod"), 80),
        ("NetworkPolicy/tgi", ("spec", "policyTypes"), "Ingress"),
        ("HorizontalPodAutoscaler/tgi", ("spec", "maxReplicas"), "two"),
    ],
)
def test_the_schema_sees_faults(name: str, path: tuple[str, ...], value: object) -> None:
    faulty = json.loads(json.dumps(resource(name)))
    place = faulty
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(faulty, VERSION, strict=True)


def test_kustomize_renders_it() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on this machine: the manifests were read as they are written")
    assert {name_of(each) for each in _written()} <= {name_of(each) for each in RESOURCES}
    [values] = [
        each["data"]
        for each in RESOURCES
        if each["kind"] == "ConfigMap" and "MODEL_ID" in each["data"]
    ]
    assert values == environment(FOLDER / "fp8.env")
    spaced = [each for each in RESOURCES if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in spaced} == {"kto-mistral"}


# What must hold whatever is edited


@every_workload
def test_containers_are_confined(name: str) -> None:
    spec, security = pod(name)["spec"], container(name)["securityContext"]
    assert spec["automountServiceAccountToken"] is False
    # A Service called playground would set PLAYGROUND_PORT, which is a setting.
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]
    if name == "StatefulSet/tgi":  # as in Compose: its image runs as root
        tgi = compose(BASE)["services"]["tgi"]
        assert security["capabilities"]["add"] == tgi["cap_add"]
    else:
        assert "add" not in security["capabilities"]
        assert security["readOnlyRootFilesystem"] is True
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
    assert not any("hostPath" in each for each in spec["volumes"])


@every_workload
def test_containers_have_limits_probes_and_time_to_end(name: str) -> None:
    found = container(name)
    assert found["resources"]["limits"]["memory"]
    assert found["resources"]["requests"]["cpu"]
    assert "cpu" not in found["resources"]["limits"]  # it would stop streams in the middle
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(found)
    ports = {each["name"] for each in found["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if "httpGet" in found[probe]:
            assert found[probe]["httpGet"]["port"] in ports
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] > 30


def test_ending_waits_for_the_answers_that_are_being_written() -> None:
    waits = {"StatefulSet/tgi": 60.0, "Deployment/playground": load_settings().grace_seconds}
    own = environment(FOLDER / "fp8.env")["GRACEFUL_TERMINATION_TIMEOUT"]
    assert waits["StatefulSet/tgi"] == float(own)
    for name, seconds in waits.items():
        first, *rest = container(name)["lifecycle"]["preStop"]["exec"]["command"]
        assert first == "sleep"
        spec = pod(name)["spec"]
        assert spec["terminationGracePeriodSeconds"] >= float(rest[0]) + seconds + 10


@every_workload
def test_secrets_are_files(name: str) -> None:
    found = container(name)
    for each in found.get("env", []):
        assert "valueFrom" not in each
        assert not re.search("(KEY|TOKEN|SECRET|PASSWORD)$", each["name"])
    assert not any("secretRef" in each for each in found.get("envFrom", []))
    folders = {
        each["mountPath"] for each in found["volumeMounts"] if "/secrets/" in each["mountPath"]
    }
    for each in found.get("env", []):
        if each["name"].endswith("_FILE"):
            assert each["value"].rpartition("/")[0] in folders


def test_every_mount_has_its_volume() -> None:
    for name in WORKLOADS:
        volumes = {each["name"] for each in pod(name)["spec"]["volumes"]}
        claims = resource(name)["spec"].get("volumeClaimTemplates", [])
        volumes |= {each["metadata"]["name"] for each in claims}
        assert {each["name"] for each in container(name)["volumeMounts"]} == volumes
    config = {each["metadata"]["name"] for each in RESOURCES if each["kind"] == "ConfigMap"}
    for name in ("StatefulSet/tgi", "StatefulSet/postgres"):
        [files] = [each for each in pod(name)["spec"]["volumes"] if "configMap" in each]
        assert files["configMap"]["name"] in config or not config
    database = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]
    [script] = [each["files"] for each in database if each["name"] == "postgres-role"]
    [mount] = [
        each for each in compose(BASE)["services"]["postgres"]["volumes"] if "initdb.d" in each
    ]
    assert mount.split(":")[0].removeprefix("./tgi/serve/") == script[0]
    folders = {each["mountPath"] for each in container("StatefulSet/postgres")["volumeMounts"]}
    assert mount.split(":")[1].rpartition("/")[0] in folders


def test_the_page_gets_settings_that_exist_and_hold() -> None:
    given = variables("Deployment/playground")
    fields = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    assert set(fields) <= set(Settings.model_fields)
    files = {name for name in fields if name.endswith("_file")}
    settings = load_settings(**{k: v for k, v in fields.items() if k not in files})
    assert settings.auth == "users"
    assert settings.database_address() is not None  # replicas share no file
    assert settings.limits_address() == "redis://valkey:6379"
    assert files == {"users_file", "secret_file", "database_password_file"}


def test_services_lead_to_their_pods() -> None:
    for name, workload in (
        ("tgi", "StatefulSet/tgi"),
        ("playground", "Deployment/playground"),
        ("postgres", "StatefulSet/postgres"),
        ("valkey", "Deployment/valkey"),
    ):
        service = resource(f"Service/{name}")["spec"]
        assert service["selector"].items() <= pod(workload)["metadata"]["labels"].items()
        ports = {each["name"] for each in container(workload)["ports"]}
        assert {each["targetPort"] for each in service["ports"]} <= ports
        assert "sessionAffinity" not in service
    assert variables("Deployment/playground")["PLAYGROUND_ENGINE_URL"] == "http://tgi:8080"
    assert environment(FOLDER / "fp8.env")["PORT"] == "8080"


def test_each_pod_of_tgi_has_a_gpu_and_time_to_download() -> None:
    found = container("StatefulSet/tgi")
    assert found["resources"]["limits"]["nvidia.com/gpu"] == "1"
    probe = found["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 3600
    assert found["image"] == compose(BASE)["services"]["tgi"]["image"]
    assert (
        container("StatefulSet/postgres")["image"] == compose(BASE)["services"]["postgres"]["image"]
    )
    valkey = compose(BASE)["services"]["valkey"]
    assert container("Deployment/valkey")["image"] == valkey["image"]
    assert container("Deployment/valkey")["args"] == valkey["command"]
    mounts = {each["mountPath"] for each in found["volumeMounts"]}
    assert {"/data", "/dev/shm"} <= mounts
    folder = environment(FOLDER / "fp8.env")["TOKENIZER_CONFIG_PATH"].rpartition("/")[0]
    assert folder in mounts


def test_more_of_tgi_when_requests_queue() -> None:
    scaler = resource("HorizontalPodAutoscaler/tgi")["spec"]
    assert scaler["scaleTargetRef"]["kind"] == "StatefulSet"
    [metric] = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == "tgi_queue_size"


def test_two_pages_without_affinity_and_one_always_there() -> None:
    assert resource("Deployment/playground")["spec"]["replicas"] == 2
    assert resource("PodDisruptionBudget/playground")["spec"]["minAvailable"] == 1
    text = json.dumps(resource("Ingress/playground"))
    assert "affinity" not in text
    assert "X-Accel" not in text
    assert (
        variables("Deployment/playground")["PLAYGROUND_PUBLIC_URL"] == "https://playground.example"
    )
    [rule] = resource("Ingress/playground")["spec"]["rules"]
    assert rule["host"] == "playground.example"


# Who may speak to whom


def policies() -> Iterator[Resource]:
    for each in RESOURCES:
        if each["kind"] == "NetworkPolicy":
            yield each


def test_nothing_is_allowed_that_is_not_said() -> None:
    spec = resource("NetworkPolicy/deny-all")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_tgi_hears_the_page_and_prometheus_alone() -> None:
    sources: dict[str, list[object]] = {}
    for policy in policies():
        app = policy["spec"]["podSelector"].get("matchLabels", {}).get("app", "")
        for rule in policy["spec"].get("ingress", []):
            assert rule["ports"]
            sources.setdefault(app, []).extend(rule["from"])
    page = {"podSelector": {"matchLabels": {"app": "playground"}}}

    def namespace(name: str) -> object:
        return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}

    assert sources == {
        "tgi": [page, namespace("monitoring")],
        "playground": [namespace("ingress"), namespace("monitoring")],
        "postgres": [page],
        "valkey": [page],
    }


def test_the_way_out_leads_to_no_private_network() -> None:
    for policy in policies():
        for rule in policy["spec"].get("egress", []):
            for target in rule["to"]:
                if "ipBlock" in target:
                    assert "10.0.0.0/8" in target["ipBlock"]["except"]
                    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
