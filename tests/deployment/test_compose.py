"""docker-compose.yml and the files over it, without a daemon."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from playground.cli.demo.gguf import Header
from playground.cli.demo.llamacpp import create_parser
from playground.cli.demo.room import Layout, lay_out
from playground.settings import IN_COMPOSE, PREFIX, Settings, is_loopback, load_settings
from tests.composition import (
    BASE,
    CPU,
    GPUS,
    IPV6,
    PROFILES,
    ROOT,
    SGLANG,
    VARIABLE,
    VLLM,
    Loader,
    Override,
    Reset,
    active,
    compose,
    environment,
    example,
    hashes,
    merge,
    read_by_compose,
    seconds,
    texts,
)

SCHEMA = json.loads((ROOT / "tests/data/compose-spec.json").read_text())

SETS = {
    "GPU": (BASE,),
    "CPU": (BASE, CPU),
    "two GPUs": (BASE, GPUS),
    "vLLM": (BASE, VLLM),
    "SGLang": (BASE, SGLANG),
}
FILES = (BASE, CPU, GPUS, VLLM, SGLANG, IPV6)
ENGINES = {"tgi", "tgi-1", "vllm", "sglang", "llamacpp"}
every_set = pytest.mark.parametrize("files", SETS.values(), ids=SETS)


# The files against the specification


@every_set
@pytest.mark.parametrize("variables", [{}, example()], ids=["no .env", ".env.example"])
def test_the_project_holds_against_the_specification(
    files: Sequence[Path], variables: Mapping[str, str]
) -> None:
    project = compose(*files, variables=variables)
    jsonschema.Draft7Validator(SCHEMA).validate(project)
    # What is left is for a shell inside: it was written with $$.
    assert not [text for text in texts(project) if "$" in text and "exec " not in text]


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


@pytest.mark.parametrize("more", [(), (IPV6,)], ids=["", "and IPv6"])
@every_set
def test_compose_itself_reads_it_without_a_warning(
    files: Sequence[Path], more: Sequence[Path]
) -> None:
    """With each profile alone, without each, with all and none; as the other tests find it."""
    files = (*files, *more)
    ours = compose(*files)
    counts = {0, 1, len(PROFILES) - 1, len(PROFILES)}
    chosen = [some for count in sorted(counts) for some in combinations(PROFILES, count)]
    with ThreadPoolExecutor(4) as several:
        read = partial(read_by_compose, *files)
        projects = list(several.map(lambda profiles: read(profiles=profiles), chosen))
    for profiles, project in zip(chosen, projects, strict=True):
        services, expected = project["services"], active(ours, *profiles)
        assert set(services) == set(expected)
        for name, network in project["networks"].items():
            assert network["ipam"] == ours["networks"][name]["ipam"]
        for name, service in services.items():
            assert service["image"] == expected[name]["image"]
            assert set(service["networks"]) == set(expected[name]["networks"])
            assert ("devices" in json.dumps(service)) == ("devices" in json.dumps(expected[name]))
            given = {key: str(value) for key, value in environ(expected[name]).items()}
            assert {key: str(value) for key, value in environ(service).items()} == given


def environ(service: Mapping[str, Any]) -> dict[str, Any]:
    """A service's variables, those of its file among them."""
    file = service.get("env_file")
    ours = environment(ROOT / file) if isinstance(file, str) else {}
    return {**ours, **(service.get("environment") or {})}


# Other defaults than outside of compose.
OWN = ("PLAYGROUND_METRICS_FROM", "PLAYGROUND_LOG_FORMAT", "PLAYGROUND_ENGINE_QUANTISATION")


def test_every_variable_has_a_default_and_is_explained() -> None:
    explained = example()
    for file in FILES:
        content = yaml.load(file.read_text(), Loader)
        for text in texts(content):
            for dollar, name, operator, default, bare in VARIABLE.findall(text):
                if dollar:  # a shell's own, inside
                    continue
                assert not bare, f"${bare} has no default"
                assert operator in (":-", ":+"), f"{name} has no default"
                assert name in explained, f"{name} is not in .env.example"
                own = name in OWN or default.endswith("/unset_secret")
                if operator == ":-" and default and not own:
                    assert explained[name] == default, name
        for service in content["services"].values():
            if isinstance(service, Reset):
                continue
            variables: Any = service.get("environment", {})
            if isinstance(variables, Override):
                variables = variables.value
            for name, value in variables.items():
                assert value is not None or name in explained, f"{name} is not in .env.example"


def test_the_settings_of_compose_with_names_of_their_own_are_known() -> None:
    """So that what is said of one can name the variable that works."""
    page = yaml.load(BASE.read_text(), Loader)["services"]["playground"]["environment"]
    other = {}
    for name, value in page.items():
        found = VARIABLE.fullmatch(value)
        if found and found[3] == ":-" and found[2] != name:
            other[name.removeprefix(PREFIX).lower()] = found[2]
    assert other == IN_COMPOSE


def test_every_variable_that_is_explained_exists() -> None:
    used = {
        name
        for file in FILES
        for name in re.findall(r"\$\{(\w+)|^      ([A-Z_0-9]+):$", file.read_text(), re.MULTILINE)
        for name in name
        if name
    }
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(example()) - used <= settings | {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}
    assert settings <= set(example())


def test_the_defaults_of_the_settings_are_those_explained() -> None:
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        if isinstance(field.default, bool):
            default = default.lower()
        elif isinstance(field.default, float):
            default = f"{field.default:g}"
        elif isinstance(field.default, list):
            default = ",".join(str(each).removesuffix("/128") for each in field.default)
        if name == "data_dir":  # below the home folder of whoever runs it
            default = ""
        assert example()[PREFIX + name.upper()] == default


# What must hold whatever is edited


@every_set
def test_only_the_page_is_published_and_only_here(files: Sequence[Path]) -> None:
    services = active(compose(*files))
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"playground": ["127.0.0.1:7860:7860"]}
    assert services["playground"]["environment"]["PLAYGROUND_PUBLISHED_HOST"] == "127.0.0.1"
    moved = compose(*files, variables={"PORT": "7999", "BIND": "0.0.0.0"})["services"]["playground"]
    assert moved["ports"] == ["0.0.0.0:7999:7860"]
    assert moved["environment"]["PLAYGROUND_PUBLISHED_HOST"] == "0.0.0.0"


def test_what_the_profiles_publish() -> None:
    services = read_by_compose(BASE, profiles=PROFILES)["services"]
    assert published(services["caddy"]) == {(None, "80"), (None, "443")}  # wherever it is reached
    assert published(services["grafana"]) == {("127.0.0.1", "3000")}
    assert {name for name, each in services.items() if "ports" in each} == {
        "playground", "caddy", "grafana"
    }  # fmt: skip
    here = read_by_compose(BASE, profiles=PROFILES, variables={"TLS_BIND": "[::1]"})["services"]
    assert published(here["caddy"]) == {("::1", "80"), ("::1", "443")}


def published(service: Mapping[str, Any]) -> set[tuple[str | None, str]]:
    """The addresses and ports of this machine that Compose gives a service."""
    return {(each.get("host_ip"), each["published"]) for each in service["ports"]}


def test_a_second_copy_shares_nothing_with_the_first() -> None:
    """With the variables that .env.example names for it, and with none of them left out."""
    paragraphs = (ROOT / ".env.example").read_text().split("\n\n")
    [words] = [each for each in paragraphs if "second copy" in each]
    named = set(re.findall(r"[A-Z]+_[A-Z_]+|PORT|SUBNETS", words))
    own = {
        "COMPOSE_PROJECT_NAME": "another",
        "PORT": "7870",
        "SUBNETS": "10.214",
        "PLAYGROUND_VERSION": "another",
        "GRAFANA_PORT": "3001",
        "TLS_BIND": "127.0.0.2",
    }
    assert named == set(own)
    with ThreadPoolExecutor(4) as several:
        read = partial(read_by_compose, BASE, CPU, profiles=PROFILES)
        first, second = several.map(
            lambda given: read(variables=given), ({"TLS_BIND": "127.0.0.1"}, own)
        )
        lacking = several.map(
            lambda left: read(variables={each: own[each] for each in own if each != left}), own
        )
    for kind, mine in taken(first).items():
        assert not mine & taken(second)[kind], kind
    for left, project in zip(own, lacking, strict=True):
        assert any(mine & taken(project)[kind] for kind, mine in taken(first).items()), left


def taken(project: Mapping[str, Any]) -> dict[str, set[object]]:
    """What of a machine only one project can have."""
    services = project["services"].values()
    return {
        "names": {
            each["name"] for kind in ("volumes", "networks") for each in project[kind].values()
        },
        "subnets": {
            pool["subnet"]
            for each in project["networks"].values()
            for pool in each["ipam"]["config"]
        },
        "ports": {
            (address, port)
            for each in services
            if "ports" in each
            for host, port in published(each)
            for address in ([host] if host else ["127.0.0.1", "127.0.0.2"])
        },
        "images": {each["image"] for each in services if "build" in each},
    }


@every_set
def test_services_are_confined(files: Sequence[Path]) -> None:
    for name, service in compose(*files)["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cap_drop"] == ["ALL"], name
        assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & set(service)
        assert service["deploy"]["resources"]["limits"]["pids"], name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["restart"] == "unless-stopped"
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["stop_grace_period"]
        assert service["networks"]
        if "text-generation-inference" in service["image"]:
            # It runs as root and writes where it likes; it keeps root's rights over files alone.
            assert service["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
        else:
            assert service["read_only"] is True, name
            assert "/tmp" in [each.split(":")[0] for each in service["tmpfs"]], name
            caddy = service["image"].startswith("caddy:")
            assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if caddy else []), name


@every_set
def test_the_page_does_not_wait_for_the_model(files: Sequence[Path]) -> None:
    service = compose(*files)["services"]["playground"]
    [engine] = ENGINES & set(service["depends_on"])
    assert service["depends_on"][engine] == {"condition": "service_started"}
    waits = {name for name, how in service["depends_on"].items() if "healthy" in how["condition"]}
    assert waits == {"postgres"}


@every_set
def test_the_engine_stops_after_the_page(files: Sequence[Path]) -> None:
    """Compose stops what depends on others before these, and the rest at the same time."""
    services = compose(*files)["services"]
    before, reached = {"playground"}, set[str]()
    while before:
        reached |= before
        before = {on for each in before for on in services[each].get("depends_on", {})} - reached
    assert ENGINES & set(services) <= reached


def test_what_docker_says_without_a_gpu_stands_beside_the_command_that_helps() -> None:
    for name in ("docker-compose.yml", "README.md", "tgi/serve/README.md"):
        text = (ROOT / name).read_text()
        _, helps, after = text.partition("-f docker-compose.yml -f tgi/serve/cpu.yml up")
        assert helps, name
        assert 'could not select device driver "nvidia"' in " ".join(after.split())[:400], name


@pytest.mark.parametrize("profiles", [(), *((each,) for each in PROFILES), PROFILES])
@every_set
def test_a_profile_adds_and_needs_nothing_else(
    files: Sequence[Path], profiles: Sequence[str]
) -> None:
    services = active(compose(*files), *profiles)
    added = {
        "tls": {"caddy"},
        "postgres": {"postgres"},
        "valkey": {"valkey"},
        "obs": {"prometheus", "grafana"},
    }
    plain = set(active(compose(*files)))
    assert set(services) == plain.union(*(added[each] for each in profiles))
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert name in services or how["required"] is False


@every_set
def test_what_is_private_has_no_way_out(files: Sequence[Path]) -> None:
    project = compose(*files)
    services = project["services"]
    networks = project["networks"]
    assert networks.keys() == {"frontend", "backend", "egress"}
    assert networks["backend"]["internal"] is True
    on = {
        network: {name for name, each in services.items() if network in each["networks"]}
        for network in project["networks"]
    }
    engines = ENGINES & set(services)
    assert on["egress"] == engines  # the weights come from the Hub, and nobody else is there
    assert on["frontend"] == {"playground", "caddy", "grafana"}
    assert not engines & on["frontend"]
    for name in ("postgres", "valkey", "prometheus"):
        assert services[name]["networks"] == ["backend"]


@pytest.mark.parametrize("subnets", ["10.213", "10.99"])
def test_caddy_has_an_address_that_nobody_else_can_get(subnets: str) -> None:
    """So that it alone is trusted: what comes in by a port has another address of this network."""
    project = compose(BASE, variables={"SUBNETS": subnets})
    pools = project["networks"]["frontend"]["ipam"]["config"]
    caddy = alone(pools, project["services"]["caddy"]["networks"]["frontend"]["ipv4_address"])
    [behind] = project["networks"]["backend"]["ipam"]["config"]
    settings = load_settings(
        metrics_from=project["services"]["playground"]["environment"]["PLAYGROUND_METRICS_FROM"]
    )
    assert ip_network(behind["subnet"]) in settings.metrics_from
    [network] = [ip_network(pool["subnet"]) for pool in pools]
    assert not any(network.overlaps(each) for each in settings.metrics_from[2:])
    if subnets == example()["SUBNETS"]:
        assert f"PLAYGROUND_TRUSTED_PROXIES={caddy} " in (ROOT / "tgi/serve/README.md").read_text()


@pytest.mark.parametrize("subnets", ["fd7c:4b1e:9a52", "fd00:1:2"])
def test_with_ipv6_caddy_has_two_of_them(subnets: str) -> None:
    project = read_by_compose(BASE, IPV6, profiles=PROFILES, variables={"SUBNETS6": subnets})
    network = project["networks"]["frontend"]
    assert network["enable_ipv6"] is True
    pools = network["ipam"]["config"]
    assert pools[:-1] == compose(BASE)["networks"]["frontend"]["ipam"]["config"]
    given = project["services"]["caddy"]["networks"]["frontend"]
    first, second = alone(pools, given["ipv4_address"]), alone(pools, given["ipv6_address"])
    assert all(ip_network(pool["subnet"]).is_private for pool in pools)
    if subnets == example()["SUBNETS6"]:
        assert f"PLAYGROUND_TRUSTED_PROXIES={first},{second}\n" in IPV6.read_text()


def alone(pools: Sequence[Mapping[str, str]], text: str) -> object:
    """The address of a text, after a look that Docker takes and gives it to nobody by itself."""
    address = ip_address(text)
    [pool] = [each for each in pools if address in ip_network(each["subnet"])]
    network, dealt = ip_network(pool["subnet"]), ip_network(pool["ip_range"])
    assert address not in dealt
    assert address != network[1], "where Docker puts itself"
    assert dealt[0] in network
    return address


@every_set
def test_replicas_are_a_variable_so_that_an_upgrade_keeps_them(files: Sequence[Path]) -> None:
    given = {"REPLICAS": "3", "PORT": "7860-7869"}
    for variables, replicas, ports in (({}, 1, "7860"), (given, 3, "7860-7869")):
        page = read_by_compose(*files, variables=variables)["services"]["playground"]
        assert page["deploy"]["replicas"] == replicas
        assert published(page) == {("127.0.0.1", ports)}
    text = (ROOT / "tgi/serve/README.md").read_text()
    assert all(f"`{name}={value}`" in text for name, value in given.items())
    assert "--scale" not in text


@every_set
def test_no_network_is_where_docker_puts_its_own(files: Sequence[Path]) -> None:
    """Docker would give one without a subnet a place over those that have theirs."""
    networks = [
        ip_network(pool["subnet"])
        for each in compose(*files)["networks"].values()
        for pool in each["ipam"]["config"]
    ]
    pools = [ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16")]
    for one, other in combinations([*networks, *pools], 2):
        assert not one.overlaps(other), (one, other)


@every_set
def test_secrets_are_files_and_nothing_has_to_be_set(files: Sequence[Path]) -> None:
    project = compose(*files)
    for service in project["services"].values():
        for variable in service.get("environment") or {}:
            assert not re.search("(KEY|TOKEN|SECRET|PASSWORD)$", variable), variable
        for name in service.get("secrets", []):
            assert (ROOT / project["secrets"][name]["file"]).read_bytes() == b""
    page = project["services"]["playground"]["environment"]
    assert page["PLAYGROUND_SECRET_FILE"] == page["PLAYGROUND_DATABASE_PASSWORD_FILE"] == ""


def test_the_secrets_of_the_instructions_can_be_read_inside(tmp_path: Path) -> None:
    """By the block for copying, where the shell keeps new files from everybody else."""
    text = (ROOT / "tgi/serve/README.md").read_text()
    [block] = [each for each in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "openssl" in each
               and "secrets/" in each]  # fmt: skip
    makes, docker, _ = block.partition("docker compose")
    assert docker
    subprocess.run(["sh", "-ec", f"umask 077\n{makes}"], cwd=tmp_path, check=True)
    made = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert {each.name for each in made} == {"database", "secret"}
    for each in made:
        assert each.stat().st_mode & 0o777 == 0o644
        assert each.parent.stat().st_mode & 0o777 == 0o700
        assert len(each.read_text()) > 16


def test_a_secret_that_is_set_is_where_its_variable_says() -> None:
    variables = {
        "PLAYGROUND_SECRET_FILE": "./secrets/seal",
        "PLAYGROUND_DATABASE_PASSWORD_FILE": "./secrets/database",
    }
    project = compose(BASE, variables=variables)
    page = project["services"]["playground"]
    for name, file in variables.items():
        secret = page["environment"][name].removeprefix("/run/secrets/")
        assert secret in page["secrets"]
        assert project["secrets"][secret]["file"] == file
    database = project["services"]["postgres"]
    assert database["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/database_password"
    assert "database_password" in database["secrets"]


@every_set
def test_another_path_for_a_secret_makes_its_containers_anew(files: Sequence[Path]) -> None:
    project = compose(*files)
    before = hashes(*files)
    for variable, secret in (
        ("HF_TOKEN_FILE", "hf_token"),
        ("PLAYGROUND_SECRET_FILE", "playground_secret"),
        ("PLAYGROUND_DATABASE_PASSWORD_FILE", "database_password"),
    ):
        one = hashes(*files, variables={variable: "./secrets/one"})
        other = hashes(*files, variables={variable: "./secrets/other"})
        users = {
            name for name, each in project["services"].items() if secret in each.get("secrets", [])
        }
        assert users
        for old, new in ((before, one), (one, other)):
            assert {name for name in old if old[name] != new[name]} == users, variable


@every_set
def test_images_are_pinned(files: Sequence[Path]) -> None:
    for name, service in compose(*files)["services"].items():
        assert re.search(r":v?\d+\.\d+", service["image"]) or "build" in service, name
    digest = "@sha256:" + "0" * 64
    versions = {
        name: tag + digest for name, tag in example().items() if name.endswith("_VERSION")
    } | {"PLAYGROUND_VERSION": ""}
    services = read_by_compose(*files, profiles=PROFILES, variables=versions)["services"]
    for name, service in services.items():
        assert service["image"].endswith(digest) or "build" in service, name


def test_tgi_gets_a_gpu_and_keeps_its_weights() -> None:
    project = compose(BASE)
    tgi = project["services"]["tgi"]
    assert tgi["image"] == "ghcr.io/huggingface/text-generation-inference:3.3.7"
    [device] = tgi["deploy"]["resources"]["reservations"]["devices"]
    assert tgi["environment"]["NUM_SHARD"] == device["count"]
    assert (device["driver"], device["capabilities"], device["count"]) == ("nvidia", ["gpu"], "1")
    assert "weights:/data" in tgi["volumes"]
    assert "weights" in project["volumes"]
    assert tgi["shm_size"] == "1gb"


def test_without_a_gpu_nothing_of_it_is_left() -> None:
    project = compose(BASE, CPU)
    engine, page = project["services"]["llamacpp"], project["services"]["playground"]
    assert "tgi" not in project["services"]
    assert "devices" not in json.dumps(project)
    assert not engine.get("env_file")
    assert set(engine["environment"]) == {"HF_HOME", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"}
    assert "entrypoint" not in engine
    assert "text-generation-inference" not in json.dumps(project)
    assert (engine["image"], engine["build"]) == (page["image"], page["build"])


def test_llama_cpp_gets_the_model_and_keeps_it() -> None:
    project = compose(BASE, CPU)
    service = project["services"]["llamacpp"]
    options = create_parser().parse_args(service["command"][3:])
    assert service["command"][:3] == ["python", "-m", "playground.cli.demo.llamacpp"]
    assert (options.host, options.port, options.child) == ("0.0.0.0", 8080, False)
    repository, _, quantisation = options.model.partition(":")
    assert "Contextual_KTO_Mistral_PairRM" in repository
    assert quantisation == "Q4_K_M"
    [volume] = service["volumes"]
    assert volume == f"models:{service['environment']['HF_HOME']}"
    assert "models" in project["volumes"]
    # The weights, and the conversations of four: 32 layers of 8 heads of 128 numbers, twice.
    header = Header("llama", "", "Q4_K_M", 32768, 131072)
    memory = service["deploy"]["resources"]["limits"]["memory"]
    free = int(memory.removesuffix("g")) * 2**30
    assert lay_out(header, 4_370_000_000, "It", free) == Layout(4, 8192)
    moved = compose(BASE, CPU, variables={"GGUF_MODEL": "a/b"})["services"]["llamacpp"]
    assert moved["command"][-2:] == ["--model", "a/b"]


def test_two_gpus_hold_a_model_each() -> None:
    services = compose(BASE, GPUS)["services"]
    devices = [
        each["deploy"]["resources"]["reservations"]["devices"]
        for name, each in services.items()
        if name.startswith("tgi")
    ]
    assert [device["device_ids"] for [device] in devices] == [["0"], ["1"]]
    for name in ("tgi", "tgi-1"):
        assert services[name]["environment"]["NUM_SHARD"] == "1"
        assert f"{name}:8080" in services["balancer"]["environment"]["UPSTREAMS"].split()
    assert services["tgi-1"]["healthcheck"] == services["tgi"]["healthcheck"]
    assert services["playground"]["environment"]["PLAYGROUND_ENGINE_URL"] == "http://balancer:8080"


@pytest.mark.parametrize(("file", "name"), [(VLLM, "vllm"), (SGLANG, "sglang")])
def test_another_engine_takes_the_place_of_tgi_with_all_that_confines_it(
    file: Path, name: str
) -> None:
    was, now = compose(BASE), compose(BASE, file)
    tgi, engine = was["services"]["tgi"], now["services"][name]
    assert set(now["services"]) == set(was["services"]) - {"tgi"} | {name}
    same = ("deploy", "networks", "secrets", "security_opt", "restart", "logging", "cap_drop")
    assert all(engine[each] == tgi[each] for each in same)
    assert "weights:/data" in engine["volumes"]
    assert engine["environment"]["HF_HUB_CACHE"] == "/data"  # what TGI's image has it
    page = now["services"]["playground"]["environment"]
    assert page["PLAYGROUND_ENGINE"] == name
    assert page["PLAYGROUND_ENGINE_URL"] == f"http://{name}:8080"
    assert "http://127.0.0.1:8080/health" in engine["healthcheck"]["test"][-1]


@pytest.mark.parametrize(
    ("file", "name", "context", "at_a_time"),
    [
        (VLLM, "vllm", "--max-model-len", "--max-num-seqs"),
        (SGLANG, "sglang", "--context-length", "--max-running-requests"),
    ],
)
@pytest.mark.parametrize("revision", ["", "0123abc"])
def test_another_engine_is_started_with_the_same_model_and_limits(
    file: Path, name: str, context: str, at_a_time: str, revision: str, tmp_path: Path
) -> None:
    """What its program gets, by a shell that runs the container's own line."""
    service = compose(BASE, file, variables={"GPU_COUNT": "2"})["services"][name]
    for program in ("vllm", "python3"):
        script = tmp_path / program
        script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv\n')
        script.chmod(0o755)
    given = {key: value for key, value in service["environment"].items() if value is not None}
    environ = given | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if revision:
        environ |= {"REVISION": revision, "HF_HUB_OFFLINE": "true"}
    done = subprocess.run(
        service["entrypoint"], env=environ, capture_output=True, text=True, check=True
    )
    words = done.stdout.splitlines()
    assert "ContextualAI/Contextual_KTO_Mistral_PairRM" in words

    def value(option: str) -> str:
        return words[words.index(option) + 1]

    assert ("HF_HUB_OFFLINE=1" in words) == bool(revision)
    assert ("--revision" in words) == bool(revision)
    assert not revision or value("--revision") == revision
    assert value("--quantization").upper() == "FP8"
    page = compose(BASE, file)["services"]["playground"]["environment"]
    assert page["PLAYGROUND_ENGINE_QUANTISATION"] == "FP8"
    assert int(value(context)) == load_settings().context_tokens
    assert int(value(at_a_time)) > load_settings().max_streams
    assert value("--tensor-parallel-size") == "2"
    assert (value("--host"), value("--port")) == ("0.0.0.0", "8080")
    [template] = [each for each in service["volumes"] if value("--chat-template") in each]
    assert template.split(":") == [
        "./tgi/serve/chat_template.jinja",
        value("--chat-template"),
        "ro",
    ]
    if name == "vllm":  # else the model's own file sets what a request leaves out
        assert value("--generation-config") == "vllm"
        assert seconds(service["stop_grace_period"]) > int(value("--shutdown-timeout"))
    else:  # with it a request with min_p would end the server
        assert "--enable-deterministic-inference" not in words


@every_set
def test_every_volume_is_used(files: Sequence[Path]) -> None:
    project = compose(*files)
    mounts = [mount for each in project["services"].values() for mount in each.get("volumes", [])]
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith(".")}
    assert set(project["volumes"]) == named


@every_set
def test_mounts_and_env_files_exist(files: Sequence[Path]) -> None:
    project = compose(*files)
    for service in project["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in project["volumes"] or (ROOT / source).exists()
        if service.get("env_file"):
            assert (ROOT / service["env_file"]).is_file()
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_engine_is_where_the_page_looks_for_it() -> None:
    variables = environment(ROOT / "tgi/serve/fp8.env")
    assert variables["PORT"] == "8080"
    for files, name in (((BASE,), "tgi"), ((BASE, CPU), "llamacpp")):
        services = compose(*files)["services"]
        page = services["playground"]["environment"]
        assert page["PLAYGROUND_ENGINE_URL"] == f"http://{name}:8080"
        check = services[name]["healthcheck"]["test"][-1]
        assert "127.0.0.1:8080/health" in check or "127.0.0.1/8080 " in check


# What TGI 3.3.7's launcher reads, as far as somebody could want to set it here.
LAUNCHER = {
    "CORS_ALLOW_ORIGIN", "CUDA_GRAPHS", "CUDA_MEMORY_FRACTION", "DISABLE_GRAMMAR_SUPPORT", "DTYPE",
    "GRACEFUL_TERMINATION_TIMEOUT", "HF_HUB_OFFLINE", "HF_TOKEN", "HUGGINGFACE_HUB_CACHE",
    "JSON_OUTPUT", "KV_CACHE_DTYPE", "MAX_BATCH_PREFILL_TOKENS", "MAX_BATCH_SIZE",
    "MAX_BATCH_TOTAL_TOKENS", "MAX_CLIENT_BATCH_SIZE", "MAX_CONCURRENT_REQUESTS",
    "MAX_INPUT_TOKENS", "MAX_STOP_SEQUENCES", "MAX_TOP_N_TOKENS", "MAX_TOTAL_TOKENS",
    "MAX_WAITING_TOKENS", "MODEL_ID", "NUM_SHARD", "PAYLOAD_LIMIT", "PORT", "QUANTIZE", "REVISION",
    "TOKENIZER_CONFIG_PATH", "USAGE_STATS", "VALIDATION_WORKERS", "WAITING_SERVED_RATIO",
}  # fmt: skip


def test_the_page_says_the_quantisation_that_tgi_is_given_and_none_without_tgi() -> None:
    name = "PLAYGROUND_ENGINE_QUANTISATION"
    given = environment(ROOT / "tgi/serve/fp8.env")["QUANTIZE"].upper()
    assert compose(BASE)["services"]["playground"]["environment"][name] == given
    assert compose(BASE, CPU)["services"]["playground"]["environment"][name] == ""


def test_tgi_knows_every_variable_that_it_is_given() -> None:
    given = set(environment(ROOT / "tgi/serve/fp8.env"))
    given |= set(compose(BASE)["services"]["tgi"]["environment"])
    assert given <= LAUNCHER


def test_people_wait_in_the_pages_line_and_not_in_tgis() -> None:
    at_a_time = int(environment(ROOT / "tgi/serve/fp8.env")["MAX_CONCURRENT_REQUESTS"])
    assert at_a_time > load_settings().max_streams


# The shell's part of the services' commands, run by a shell


def command(service: str, *words: tuple[str, str]) -> list[str]:
    """A service's entrypoint with some words replaced."""
    shell, option, script = compose(BASE)["services"][service]["entrypoint"]
    assert (shell, option) == ("sh", "-c")
    for old, new in words:
        assert old in script
        script = script.replace(old, new)
    return [shell, option, script]


def test_tgi_gets_its_token_from_the_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    run = command("tgi", ("/run/secrets/hf_token", str(token)), ("/tgi-entrypoint.sh", "env"))

    environ = {"PATH": os.environ["PATH"]}

    def told() -> str:
        done = subprocess.run(run, env=environ, capture_output=True, text=True, check=True)
        return done.stdout

    token.touch()
    assert "HF_TOKEN" not in told()  # TGI would take "" for a token
    token.write_text("hf_canary\n")
    assert "HF_TOKEN=hf_canary\n" in told()
    token.unlink()
    token.mkdir()  # which nobody can read as a file, root neither
    done = subprocess.run(run, env=environ, capture_output=True, text=True)
    assert done.returncode
    assert "chmod 644 for HF_TOKEN_FILE" in done.stdout
    assert "Is a directory" in done.stderr


@pytest.mark.parametrize(("file", "name"), [(VLLM, "vllm"), (SGLANG, "sglang")])
def test_another_engine_says_when_its_token_cannot_be_read(
    file: Path, name: str, tmp_path: Path
) -> None:
    service = compose(BASE, file)["services"][name]
    environ = {"PATH": os.environ["PATH"], "HF_TOKEN_PATH": str(tmp_path)}
    done = subprocess.run(service["entrypoint"], env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "chmod 644 for HF_TOKEN_FILE" in done.stdout
    assert "Is a directory" in done.stderr


@pytest.mark.parametrize("variables", [{}, {"REVISION": "0123abc", "OFFLINE": "true"}])
def test_tgi_is_handed_no_value_that_is_empty(variables: Mapping[str, str]) -> None:
    """It would take an empty revision for the name of one. Whether it is offline it wants as 1."""
    given = compose(BASE, variables=variables)["services"]["tgi"]["environment"]
    environ = {name: value or variables.get(name, "") for name, value in given.items()}
    done = subprocess.run(
        command("tgi", ("/tgi-entrypoint.sh", "env")),
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    handed = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert all(handed.values())
    assert handed.get("REVISION") == variables.get("REVISION")
    assert handed.get("HF_HUB_OFFLINE") == ("1" if variables else None)
    assert "KV_CACHE_DTYPE" not in handed


@every_set
def test_the_way_out_can_be_closed_when_the_weights_are_there(files: Sequence[Path]) -> None:
    for variables, closed in (({}, False), ({"OFFLINE": "true"}, True)):
        project = read_by_compose(*files, variables=variables)
        inside = {name for name, each in project["networks"].items() if each.get("internal")}
        assert inside == ({"backend", "egress"} if closed else {"backend"})
        for name in ENGINES & set(project["services"]):
            engine = project["services"][name]
            assert not closed or set(engine["networks"]) <= inside
            assert engine["environment"]["HF_HUB_OFFLINE"] == str(closed).lower()


def test_a_profile_says_what_it_must_be_given(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for run, ready in (
        (command("caddy", ("caddy run", "echo caddy run")), {"SITE_ADDRESS": "https://a.example"}),
        (
            command(
                "postgres",
                ("/run/secrets/database_password", str(file)),
                ("docker-entrypoint.sh", "echo docker-entrypoint.sh"),
                ("/docker-entrypoint-initdb.d/", f"{ROOT}/tgi/serve/"),
            ),
            {},
        ),
    ):
        file.write_text("")
        environ = {"PATH": os.environ["PATH"], "SITE_ADDRESS": ""}
        done = subprocess.run(run, env=environ, capture_output=True, text=True)
        assert done.returncode
        assert not re.search("^(caddy|docker)", done.stdout)
        assert re.search(r"PLAYGROUND_\w+( in .env)? must ", done.stdout + done.stderr)
        file.write_text("word")
        done = subprocess.run(run, env=environ | ready, capture_output=True, text=True, check=True)
        assert re.search("^(caddy|docker)", done.stdout)
    file.unlink()
    file.mkdir()
    done = subprocess.run(run, env=environ, capture_output=True, text=True)
    assert done.returncode
    assert "a file that user 999 can read" in done.stdout
    assert "docker-entrypoint.sh" not in done.stdout


@pytest.mark.parametrize(
    ("site", "bind", "refused"),
    [
        ("https://localhost", "", True),
        ("https://LOCALHOST:8443", "0.0.0.0", True),
        ("https://localhost/playground", "192.0.2.1", True),
        ("https://127.0.0.2", "", True),
        ("https://[::1]", "", True),
        ("https://[0:0:0:0:0:0:0:1]", "", True),
        ("https://localhost", "127.0.0.1", False),
        ("https://[::1]", "[::1]", False),
        ("https://localhost.example", "", False),
        ("https://[2001:db8::1]", "", False),
    ],
)
def test_the_names_of_this_machine_are_published_to_this_machine_alone(
    site: str, bind: str, refused: bool
) -> None:
    """Without a login the page takes whoever asks by such a name for somebody who sits here."""
    environ = {"PATH": os.environ["PATH"], "SITE_ADDRESS": site, "TLS_BIND": bind}
    run = command("caddy", ("exec caddy", "echo caddy"))
    done = subprocess.run(run, env=environ, capture_output=True, text=True)
    assert not done.stderr
    assert (done.returncode != 0) == refused
    assert ("TLS_BIND must be 127.0.0.1" in done.stdout) == refused
    assert ("caddy run" in done.stdout) != refused
    host = urlsplit(site).hostname or ""
    assert refused <= is_loopback(host)


# Time to stop


@pytest.mark.parametrize("grace", ["", "0.5", "120"])
def test_stopping_waits_for_the_answers_that_are_being_written(grace: str) -> None:
    variables = {"PLAYGROUND_GRACE_SECONDS": grace}
    services = read_by_compose(BASE, GPUS, profiles=PROFILES, variables=variables)["services"]
    given = {name: seconds(each["stop_grace_period"]) for name, each in services.items()}
    tgi = int(environment(ROOT / "tgi/serve/fp8.env")["GRACEFUL_TERMINATION_TIMEOUT"])
    assert given["tgi"] == given["tgi-1"] == given["balancer"] >= tgi + 10
    known = services["playground"]["environment"]["PLAYGROUND_GRACE_SECONDS"]
    own = load_settings(**({"grace_seconds": known} if known else {})).grace_seconds
    assert own == float(grace or 25)
    assert own + 10 <= given["playground"] <= given["caddy"]
    # Who asks while a page is restarted waits for its answers to end and for its start.
    assert seconds(services["caddy"]["environment"]["TRY_FOR"]) >= own + 20
