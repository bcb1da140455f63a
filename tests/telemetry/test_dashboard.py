"""Prometheus with our configuration over an engine and playgrounds, and every query of the
dashboard against what it has scraped."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.application import Application
from tests.composition import BASE, ROOT, compose
from tests.proxies import free_port, program, running
from tests.servers import stand_in

SERVE = ROOT / "tgi/serve"
DASHBOARD = json.loads((SERVE / "grafana/dashboards/playground.json").read_text())
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}
HI: dict[str, Any] = {"role": "user", "content": "Tell me a story about a lighthouse."}


# Without Prometheus


def test_the_configuration_is_one_and_asks_what_compose_starts() -> None:
    if shutil.which("promtool"):
        command = ["promtool", "check", "config", str(SERVE / "prometheus.yml")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    services = compose(BASE)["services"]
    jobs = yaml.safe_load((SERVE / "prometheus.yml").read_text())["scrape_configs"]
    asked = {
        (name, found["port"])
        for job in jobs
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    engines = {(name, 8080) for name in ("tgi", "tgi-1", "vllm", "sglang")}
    assert asked == {("playground", 7860)} | engines
    [published] = services["playground"]["ports"]
    assert published.endswith(":7860")
    assert services["playground"]["environment"]["PLAYGROUND_ENGINE_URL"] == "http://tgi:8080"


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    grafana = compose(BASE)["services"]["grafana"]
    mounts = dict(each.split(":")[1::-1] for each in grafana["volumes"])
    provisioning = SERVE / "grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards/playground.yml").read_text())[
        "providers"
    ]
    assert (ROOT / mounts[provider["options"]["path"]] / "playground.json").is_file()
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / mounts[str(home.parent)] / home.name).is_file()
    for panel in PANELS:
        for each in (panel, *panel["targets"]):
            assert each["datasource"]["uid"] == source["uid"]


def test_the_panels_have_titles_and_places_of_their_own() -> None:
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert panel["title"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_shows_to_anybody_on_this_machine_and_lets_nobody_in() -> None:
    grafana = compose(BASE)["services"]["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert grafana["environment"]["GF_AUTH_BASIC_ENABLED"] == "false"
    assert [each.rpartition(":")[0] for each in grafana["ports"]] == ["127.0.0.1:3000"]


def test_what_the_panels_are_drawn_of_is_there_before_anything_happened() -> None:
    """Or they would be empty until the first error and the first refusal."""
    with Application() as playground:
        told = [httpx.get(f"{playground.url}/metrics", timeout=60).text for _ in range(2)][-1]
    samples = set(re.findall(r"^(playground_\w+)[{ ]", told, re.MULTILINE))
    asked = {name for query in QUERIES.values() for name in re.findall(r"playground_\w+", query)}
    assert {"playground_errors_total", "playground_refusals_total"} <= asked <= samples
    for kind in ('errors_total{kind="offline"}', 'refusals_total{kind="busy"}'):
        assert f"playground_{kind} 0.0\n" in told


# With it


class Prometheus:
    """A Prometheus that scrapes every second."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[float]:
        """The values now; those that are no number are left out."""
        answer = httpx.post(
            f"{self.url}/api/v1/query", data={"query": expression}, timeout=60
        ).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        values = [float(each["value"][1]) for each in answer["data"]["result"]]
        return [value for value in values if value == value]

    def wait_for(self, expression: str, *, above: float) -> None:
        wait(lambda: max(self.query(expression), default=above) > above)


def stream(url: str, **pane: Any) -> int:
    """One answer, read to its end; the status."""
    answer = httpx.post(f"{url}/api/stream", json={"messages": [HI], "panes": [pane]}, timeout=60)
    return answer.status_code


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen two playgrounds, one of them without an engine, after answers, a comparison, a
    wait in line, an error and a refusal."""
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        engine = stack.enter_context(stand_in("--max-top-n-tokens", "50"))
        sites = [
            stack.enter_context(Application(url, max_streams=1, published_host="127.0.0.1"))
            for url in (engine.url, f"http://127.0.0.1:{free_port()}")
        ]
        config = yaml.safe_load((SERVE / "prometheus.yml").read_text())
        config["global"]["scrape_interval"] = "1s"
        targets = {"playground": [each.url for each in sites], "tgi": [engine.url]}
        for job in config["scrape_configs"]:
            del job["dns_sd_configs"]
            found = [each.removeprefix("http://") for each in targets.get(job["job_name"], [])]
            job["static_configs"] = [{"targets": found}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        service = compose(BASE)["services"]["prometheus"]
        moved = {
            "--config.file": folder / "prometheus.yml",
            "--storage.tsdb.path": folder / "data",
            "--web.listen-address": f"127.0.0.1:{port}",
        }
        own = [each for each in service["command"] if each.partition("=")[0] not in moved]
        assert len(own) == len(service["command"]) - 2
        command = [program("prometheus"), *own, *(f"{name}={to}" for name, to in moved.items())]
        url = stack.enter_context(running(command, port, folder))
        health = service["healthcheck"]["test"][-1].replace("http://127.0.0.1:9090", url)
        wait(lambda: httpx.get(health, timeout=60).status_code == 200)
        made = Prometheus(url)
        wait(lambda: made.query("up") == [1, 1, 1])
        for number in range(2):  # before a scrape and after it: a rate needs two
            assert stream(sites[0].url, max_new_tokens=20) == 200
            emulated = {"temperature": 1.5, "min_p": 0.3}
            assert stream(sites[0].url, max_new_tokens=20, seed=1, sampler=emulated) == 200
            assert stream(sites[0].url, max_new_tokens=20, stop=["x"] * 9) == 422
            assert stream(sites[1].url) in (200, 503)
            bad = {"inputs": "", "parameters": {}}
            assert httpx.post(f"{engine.url}/generate", json=bad, timeout=60).status_code == 422
            made.wait_for("sum(playground_errors_total)", above=number)
            made.wait_for("sum(tgi_request_success)", above=number)
        yield made


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_of_the_dashboard_has_data(prometheus: Prometheus, name: str) -> None:
    expression = QUERIES[name].replace("$__rate_interval", "1m")
    assert not re.search(r"\$\w", expression)
    wait(lambda: bool(prometheus.query(expression)))


def test_a_query_of_what_does_not_exist_has_none(prometheus: Prometheus) -> None:
    assert prometheus.query("sum(playground_nothing)") == []


def test_the_figures_are_those_of_what_happened(prometheus: Prometheus) -> None:
    wait(lambda: prometheus.query('sum(playground_answers_total{outcome="done"})') == [4])
    wait(lambda: prometheus.query('sum(playground_answers_total{outcome="failed"})') == [2])
    # What is emulated is asked for in more requests than one.
    assert prometheus.query("sum(tgi_request_success)")[0] >= 4
    assert prometheus.query('sum(tgi_request_failure{err="validation"})') == [2]
    states = prometheus.query('sum by (state) (playground_engine_state{state!="offline"})')
    assert sorted(states) == [1, 1]  # ready for one, still loading as far as the other knows
