"""The image, and its commands and health checks as processes; built and run with a daemon."""

import json
import os
import re
import socket
import subprocess
import threading
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from packaging.requirements import Requirement

from playground.cli.demo.sources import find_model
from playground.settings import load_settings
from playground.store.store import Store
from tests import servers
from tests.composition import BASE, CPU, GPUS, ROOT, compose, has_compose, has_daemon, seconds
from tests.hub import Hub, Repository
from tests.postgres import Cluster
from tests.proxies import program, request_buffers

DOCKERFILE = ROOT / "playground/Dockerfile"
# For a Python in which some packages are not installed.
_WITHOUT = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nowhere())
"""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line]


def instruction(name: str) -> str:
    """The arguments of the last instruction of a name, which is the one that counts."""
    return [arguments for each, arguments in instructions() if each == name][-1]


def health_check() -> list[str]:
    """The health check of the image, as a command."""
    command: list[str] = json.loads(instruction("HEALTHCHECK").split(" CMD ")[1])
    return command


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the top folder out of the build.

    As far as ours goes: a path with all below it, where ``**`` stands for any folders or none.
    """
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?")
            if re.fullmatch(pattern.replace(r"\*", "[^/]*") + "(/.*)?", path):
                out = not line.startswith("!")
    return out


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, arguments in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found


def test_the_image_is_made_of_files_that_exist() -> None:
    copied = []
    for name, arguments in instructions():
        if name == "COPY" and not arguments.startswith("--from"):
            copied += arguments.split()[:-1]
    assert {"pyproject.toml", "constraints.txt", "playground", "tgi"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    for private in (".env", ".git", "tests", ".venv", "playground/__pycache__", "data"):
        assert ignored(private), private


def test_what_changes_often_makes_nothing_anew_that_does_not_depend_on_it() -> None:
    """Words for readers nothing at all, and our code one layer without the dependencies."""
    dependencies, ours, final = stages()
    copied = [each for name, each in dependencies if name == "COPY"]
    assert copied == ["pyproject.toml constraints.txt ./"]
    assert [each for name, each in ours if name == "COPY"] == [
        "README.md LICENSE ./",
        "playground playground",
        "tgi tgi",
    ]
    layers = [each.split() for name, each in final if name == "COPY"]
    assert [each[0] for each in layers] == ["--from=dependencies", "--from=build"]
    assert not {each[-1] for each in layers[:1]} & {each[-1] for each in layers[1:]}
    [installs] = [each for name, each in ours if name == "RUN"]
    assert f"--target {layers[1][-1]} " in installs
    assert "--no-index --no-deps" in installs  # nothing is fetched for it
    for words in ("playground/README.md", "playground/api/README.md", "tgi/serve/vllm.yml"):
        assert ignored(words)
    for code in ("playground/app.py", "playground/domain/presets.toml", "tgi/client.py"):
        assert not ignored(code)


def test_the_image_is_pinned_and_not_root() -> None:
    python = dict(each.split("=", 1) for name, each in instructions() if name == "ARG")["PYTHON"]
    assert re.fullmatch(r"3\.\d+-slim-\w+", python)
    assert instruction("USER") == "10001:10001"
    dependencies, _, final = (
        " ".join(each for name, each in stage if name == "RUN") for stage in stages()
    )
    assert "install libgomp1" in re.sub(r"--\S+ ", "", final)  # or llama.cpp does not load
    installs = [each for each in dependencies.split("&&") if re.search("pip.* install ", each)]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in each for each in installs)


def test_the_command_of_the_image_is_a_script_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    command = json.loads(instruction("CMD"))
    assert command == ["playground", "serve"]
    assert project["scripts"]["playground"] == "playground.cli.main:main"


def left_out() -> set[str]:
    """The packages that the image does without, though others ask for them."""
    [words] = [
        found[1]
        for _, each in stages()[0]
        if (found := re.search(r" uninstall --yes ([\w -]+) &&", each))
    ]
    return set(words.split()) - {"kto-mistral-playground"}


def test_nothing_but_gradio_asks_for_what_the_image_does_without() -> None:
    """As far as the packages say that the playground needs."""
    out = left_out()
    assert "pandas" in out
    pending, needed = {"kto-mistral-playground"}, dict[str, set[str]]()
    while pending:
        name = pending.pop()
        needed[name] = {
            each.name.lower()
            for each in map(Requirement, distribution(name).requires or [])
            if each.marker is None or each.marker.evaluate({"extra": ""})
        }
        pending |= needed[name] - set(needed) - {"uvloop"}
    askers = {name for name, asks in needed.items() if asks & out}
    assert askers - out == {"gradio"}


@pytest.mark.parametrize("files", [(BASE,), (BASE, CPU)], ids=["GPU", "CPU"])
def test_no_volume_of_the_image_is_left_for_docker_to_make(files: Sequence[Path]) -> None:
    """One for each container that is made, and nobody would take it away."""
    declared = {
        each for name, words in instructions() if name == "VOLUME" for each in words.split()
    }
    assert declared
    services = compose(*files)["services"]
    ours = [each for each in services.values() if "build" in each]
    assert len(ours) == len(files)
    for service in ours:
        mounted = {each.split(":")[1] for each in service.get("volumes", [])}
        assert declared <= mounted | {each.split(":")[0] for each in service["tmpfs"]}


# Commands and health checks, as processes


def run(command: Sequence[str], url: str) -> int:
    """The exit status of a health check that asks `url` in the place of the container's own."""
    moved = [
        re.sub(r"/dev/tcp/127\.0\.0\.1/\d+", f"/dev/tcp/127.0.0.1/{urlsplit(url).port}", word)
        for word in command
    ]
    assert moved != list(command)
    return subprocess.run(moved, capture_output=True, timeout=60).returncode


def test_llama_cpp_starts_as_compose_starts_it(tmp_path: Path) -> None:
    """With a Hub of our own, and the small model in the place of the large one."""
    service = compose(BASE, CPU)["services"]["llamacpp"]
    python, *command = service["command"]
    assert python == "python"
    command[command.index("--host") + 1] = "127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        command[command.index("--port") + 1] = str(probe.getsockname()[1])
    kind, *check = service["healthcheck"]["test"]
    assert kind == "CMD"
    repository, _, quantisation = command[-1].partition(":")
    content = find_model(None).fetch(lambda *_: None, threading.Event()).read_bytes()
    token = tmp_path / "token"
    token.touch()  # as an unset secret
    env = {**service["environment"], "HF_HOME": str(tmp_path), "HF_TOKEN_PATH": str(token)}
    with Hub({repository: Repository({f"model.{quantisation}.gguf": content})}) as hub:
        env["HF_ENDPOINT"] = hub.url
        with servers.Server(command, env=env) as server:
            assert run(check, server.url) == 0
            with urllib.request.urlopen(server.url + "/v1/models") as answer:
                assert json.load(answer)["data"][0]["id"] == repository
            assert {each for _, each in hub.tokens} == {None}
            server.terminate(timeout=seconds(service["stop_grace_period"]))
    assert run(check, server.url) != 0


def test_the_page_starts_as_the_image_starts_it(tmp_path: Path) -> None:
    """With no engine at all and without the packages that the image leaves out, in a folder that is
    not the project's, and it is up at once."""
    names = packages_distributions().items()
    without = {module for module, packages in names if left_out().intersection(packages)}
    assert "pandas" in without
    (tmp_path / "sitecustomize.py").write_text(_WITHOUT.format(without))
    command = json.loads(instruction("CMD"))
    service = compose(BASE)["services"]["playground"]
    variables = {name: str(value) for name, value in service["environment"].items()}
    variables |= {
        "PLAYGROUND_HOST": "127.0.0.1",
        "PLAYGROUND_PORT": "0",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }
    variables |= {"PLAYGROUND_ENGINE_URL": "http://127.0.0.1:1"}
    with servers.Server(
        ["-m", *command], ready="Playground: http", env=variables, cwd=tmp_path
    ) as server:
        assert run(health_check(), server.url) == 0
        with urllib.request.urlopen(server.url + "/api/engine") as answer:
            assert json.load(answer)["state"] != "ready"
        for path in ("/", "/config", "/theme.css"):
            with urllib.request.urlopen(server.url + path) as answer:
                assert answer.status == 200
        server.terminate(timeout=seconds(service["stop_grace_period"]))
    assert run(health_check(), server.url) != 0


def test_a_health_check_takes_no_other_answer_for_a_good_one() -> None:
    """Of an engine that still loads, of one that says nothing, and of what is no server."""
    llamacpp = compose(BASE, CPU)["services"]["llamacpp"]["healthcheck"]["test"][1:]
    for check in (health_check(), llamacpp):
        for said, status in (
            (b"HTTP/1.1 200 OK\r\n\r\n", 0),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1),
            (b"", 1),
            (b"HTTP/1.1 \r\n", 1),
        ):
            with socket.create_server(("127.0.0.1", 0)) as listener:

                def answer(listener: socket.socket = listener, said: bytes = said) -> None:
                    peer, _ = listener.accept()
                    with peer, peer.makefile("rb") as lines:
                        while lines.readline().strip():  # the shell sends a line at a time
                            pass
                        peer.sendall(said)

                thread = threading.Thread(target=answer)
                thread.start()
                host, port = listener.getsockname()
                assert run(check, f"http://{host}:{port}") == status
                thread.join()


def test_the_database_is_asked_whether_it_is_ready(postgres: Cluster) -> None:
    kind, *check = compose(BASE)["services"]["postgres"]["healthcheck"]["test"]
    assert kind == "CMD"
    assert check[0] == "pg_isready"
    check += ["--port", str(postgres.port)]
    assert subprocess.run(check).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as probe:
        check[-1] = str(probe.getsockname()[1])
    assert subprocess.run(check).returncode == 2


async def test_the_page_has_a_role_of_its_own_and_the_superuser_no_password(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the file that PostgreSQL's image runs when it makes its own, as its superuser."""
    service = compose(BASE)["services"]["postgres"]
    assert service["environment"]["POSTGRES_USER"] == "postgres"
    [mount] = [each for each in service["volumes"] if "/docker-entrypoint-initdb.d/" in each]
    postgres.psql("postgres", f"ALTER ROLE {postgres.user} PASSWORD 'the same'")
    monkeypatch.setenv("POSTGRES_PASSWORD", "it's")  # its image reads it from the file
    file = str(ROOT / mount.split(":")[0])
    options = ("--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--username={postgres.user}")
    postgres.pipe("psql", *options, "--dbname=postgres", f"--file={file}")
    try:
        rights = "rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
        asked = f"SELECT rolname, {rights}, left(rolpassword, 5) FROM pg_authid WHERE rolcanlogin"
        roles = {line.split("|", 1)[0]: line.split("|")[1:]
                 for line in postgres.psql("postgres", asked).splitlines()}  # fmt: skip
        assert roles["playground"] == ["f", "f", "f", "f", "f", "SCRAM"]
        assert roles[postgres.user][-1] == ""
        url = f"postgresql://playground@127.0.0.1:{postgres.port}/playground"
        async with aclosing(Store.from_settings(load_settings(database_url=url))) as store:
            assert await store.shares.of() == []
    finally:
        postgres.psql("postgres", "DROP DATABASE playground WITH (FORCE)")
        postgres.psql("postgres", "DROP ROLE playground")


@pytest.mark.parametrize(
    ("files", "service", "variables", "tries"),
    [
        ((BASE,), "caddy", {"PLAYGROUND_PUBLIC_URL": "https://playground.example"}, 45),
        (
            (BASE,),
            "caddy",
            {"PLAYGROUND_PUBLIC_URL": "https://[::1]:8443", "PLAYGROUND_GRACE_SECONDS": "0.5"},
            20.5,
        ),
        ((BASE, GPUS), "balancer", {}, 5),
    ],
)
def test_caddy_takes_its_configuration(
    files: Sequence[Path],
    service: str,
    variables: Mapping[str, str],
    tries: float,
    tmp_path: Path,
) -> None:
    found = compose(*files, variables=variables)["services"][service]
    [source] = [each for each in found["volumes"] if each.endswith("/etc/caddy/Caddyfile:ro")]
    file = tmp_path / "Caddyfile"
    file.write_text((ROOT / source.split(":")[0]).read_text())
    env = {
        **os.environ,
        **found["environment"],
        "HOME": str(tmp_path),
        "REQUEST_BUFFERS": request_buffers(),
    }
    for command in (["validate"], ["adapt", "--pretty"]):
        done = subprocess.run(
            [program("caddy"), *command, "--config", str(file), "--adapter", "caddyfile"],
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert strict(json.loads(done.stdout)) == [
        {"not": [{"host": ["localhost", "127.0.0.1", "::1"]}], "protocol": "https"}
    ] * (service == "caddy")
    health = httpx.URL(found["healthcheck"]["test"][-1])
    assert f'"127.0.0.1:{health.port}"' in done.stdout
    assert f'"try_duration": {tries * 1e9:.0f}' in done.stdout
    for name in found["environment"].get("UPSTREAMS", "playground:7860").split():
        assert f'"dial": "{name}"' in done.stdout


def strict(part: Any) -> list[Any]:
    """For which requests a configuration of Caddy tells browsers to come by TLS alone."""
    if isinstance(part, dict):
        if "Strict-Transport-Security" in json.dumps(part.get("handle")) and "match" in part:
            deeper = strict(part["handle"])
            return deeper or list(part["match"])
        part = list(part.values())
    return [each for below in part for each in strict(below)] if isinstance(part, list) else []


@pytest.mark.docker
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("profiles", ["", "obs,postgres"])
def test_the_cpu_set_builds_and_runs(profiles: str, tmp_path: Path) -> None:
    if not (has_daemon() and has_compose()):
        pytest.skip("no Docker daemon with `docker compose` on this machine")
    port = "17860"
    command = ["docker", "compose", "-p", "kto-mistral-playground-test"]
    command += ["-f", str(BASE), "-f", str(CPU)]
    variables = {**os.environ, "PORT": port, "PLAYGROUND_VERSION": "test"}
    variables |= {"GGUF_MODEL": "bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M"}
    if profiles:
        password = tmp_path / "password"
        password.write_text("of a database that is thrown away")
        password.chmod(0o644)
        variables |= {
            "COMPOSE_PROFILES": profiles,
            "GRAFANA_PORT": "13000",
            "PLAYGROUND_DATABASE_URL": "postgresql://playground@postgres/playground",
            "PLAYGROUND_DATABASE_PASSWORD_FILE": str(password),
        }
    try:
        subprocess.run(
            [*command, "up", "--build", "--detach", "--wait", "--wait-timeout", "300"],
            cwd=ROOT,
            env=variables,
            check=True,
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez") as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/engine") as answer:
            assert json.load(answer)["state"] == "ready"
        who = [*command, "exec", "-T", "playground", "id", "-u"]
        result = subprocess.run(who, env=variables, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "10001"
    finally:
        subprocess.run([*command, "down", "--volumes"], env=variables, check=False)
