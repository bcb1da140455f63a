"""Two playgrounds on one PostgreSQL behind a real Caddy and a real nginx, which take turns."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from playwright.sync_api import Browser, expect

from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from tests.conversations import answer as answered
from tests.conversations import column, record
from tests.pages import READY, browsing
from tests.postgres import Cluster
from tests.proxies import PROXIES, free_port, noticed
from tests.servers import Server, stand_in
from tests.ui.test_page import answers, ask, finished

PASSWORDS = {"anna": "correct horse battery", "ben": "staple of ben's own"}
STORY = {"role": "user", "content": "Tell me a story about a lighthouse."}
# Seconds for the answers of each replica when it stops: enough for all, and for none.
GRACE = ("25", "0.3")
every_proxy = pytest.mark.parametrize("proxy", list(PROXIES))


class Replicas:
    """Two processes of one playground, each on a port that it keeps when it is started anew."""

    def __init__(self, stack: ExitStack, env: Mapping[str, str]) -> None:
        self._stack = stack
        self._env = env
        self.ports = [free_port(), free_port()]
        with ThreadPoolExecutor() as pool:
            self.servers = list(pool.map(self._start, (0, 1)))

    def _start(self, number: int) -> Server:
        server = Server(
            ["-m", "playground", "serve", "--port", str(self.ports[number])],
            ready="Playground: http",
            env={**self._env, "PLAYGROUND_GRACE_SECONDS": GRACE[number]},
        )
        self._stack.callback(server.terminate)
        return server

    def restart(self, number: int) -> None:
        self.servers[number] = self._start(number)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def refuses(self, number: int) -> bool:
        """Whether one takes no connections any more."""
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.ports[number]), 5).close()
            return False
        return True

    def figures(self, pattern: str) -> list[float]:
        """The sum of the metrics whose name and labels are like this, of each."""
        sums = []
        for url in self.urls:
            text = httpx.get(f"{url}/metrics", timeout=60).raise_for_status().text
            found = re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE)
            sums.append(sum(map(float, found)))
        return sums

    def answered(self, route: str) -> list[float]:
        """How many requests of a route each of them has had."""
        return self.figures(rf'playground_requests_total{{.*route="{route}".*}}')


@pytest.fixture(scope="module")
def replicas(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """With a login, one secret and one database, which is empty and which both find at once."""
    folder = tmp_path_factory.mktemp("team")
    users = UsersFile(folder / "users")
    for name, password in PASSWORDS.items():
        users.put(name, Passwords().hashed(password), instead_of=None)
    with ExitStack() as stack:
        engine = stack.enter_context(stand_in("--tokens-per-second", "60"))
        yield Replicas(
            stack,
            {
                "PLAYGROUND_ENGINE_URL": engine.url,
                "PLAYGROUND_DATABASE_URL": postgres.database(),
                "PLAYGROUND_AUTH": "users",
                "PLAYGROUND_USERS_FILE": str(users.path),
                "PLAYGROUND_SECRET": "the same on both of them",
                "PLAYGROUND_TRUSTED_PROXIES": "127.0.0.1",
            },
        )


@pytest.fixture
def site(proxy: str, replicas: Replicas, tmp_path: Path) -> Iterator[str]:
    with PROXIES[proxy](tmp_path, replicas.urls) as url:
        yield url


@contextmanager
def browser(url: str, name: str = "anna") -> Iterator[httpx.Client]:
    """Somebody who has logged in."""
    with httpx.Client(base_url=url, timeout=60) as client:
        answer = client.post("/login", data={"name": name, "password": PASSWORDS[name]})
        assert answer.status_code == 303, answer.text
        yield client


def stream(
    client: httpx.Client, panes: int = 1, tokens: int = 8, begun: Callable[[], None] | None = None
) -> list[tuple[str, Any]]:
    """All events of an answer, or of several side by side. begun: called with the first text."""
    body = {"messages": [STORY], "panes": [{"max_new_tokens": tokens}] * panes}
    events = []
    with connect_sse(client, "POST", "/api/stream", json=body) as source:
        assert source.response.status_code == 200, source.response.read()
        for each in source.iter_sse():
            events.append((each.event, json.loads(each.data)))
            if begun and each.event == "delta":
                begun()
                begun = None
    return events


def ends(events: list[tuple[str, Any]]) -> list[str]:
    """How each pane ended: done, or the kind of the error."""
    return [
        "done" if name == "done" else data["kind"]
        for name, data in events
        if name in ("done", "error")
    ]


@every_proxy
def test_everything_works_while_requests_take_turns(replicas: Replicas, site: str) -> None:
    routes = ("/api/stream", "/api/shares", "/api/visitor")
    before = {route: replicas.answered(route) for route in routes}
    with browser(site) as anna, browser(site, "ben") as ben:
        for _ in range(4):
            assert anna.get("/api/visitor").json()["name"] == "anna"
            assert ben.get("/api/visitor").json()["name"] == "ben"
        for _ in range(2):
            assert ends(stream(anna)) == ["done"]
        assert ends(stream(anna, panes=3)) == ["done"] * 3
        made = []
        for _ in range(2):
            talk = record(column({"role": "user", "content": "Hi"}, answered()))
            answer = anna.post("/api/shares", json={"record": talk})
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["token"])
        for _ in range(2):
            assert set(made) <= tokens_of(anna)
            assert not set(made) & tokens_of(ben)
            for token in made:
                assert ben.get(f"/api/shares/{token}").json()["record"] == talk
                assert ben.delete(f"/api/shares/{token}").status_code == 404
        for token in made:
            assert anna.delete(f"/api/shares/{token}").is_success
            for _ in range(2):
                assert ben.get(f"/api/shares/{token}").status_code == 404
        for _ in range(2):
            assert anna.get("/metrics").status_code in (403, 404)
        anna.post("/logout")
        for _ in range(2):  # the session is over on both
            assert anna.get("/api/visitor").status_code == 401
    for route in routes:
        for was, now in zip(before[route], replicas.answered(route), strict=True):
            assert now > was, f"{route} was answered by one of the two alone"


def tokens_of(client: httpx.Client) -> set[str]:
    """The links that are somebody's."""
    return {each["token"] for each in client.get("/api/shares").json()["shares"]}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@every_proxy
@pytest.mark.browser
def test_the_page_loads_from_both_and_chats(
    chromium: Browser, replicas: Replicas, site: str
) -> None:
    """Gradio's page needs no replica of its own: it asks for its files, and for nothing else."""
    context = chromium.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "response",
        lambda answer: (
            wrong.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )
    page.goto(site + "/")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(PASSWORDS["anna"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector(READY)
    expect(page.locator("#engine-state")).to_have_attribute("data-state", "ready")
    for number in (1, 2):
        ask(page, "Hello!")
        finished(page)
        expect(answers(page)).to_have_count(number)
    assert wrong == []
    context.close()


class Readers:
    """Readers of long answers, each in a thread of its own."""

    def __init__(self, client: httpx.Client, count: int) -> None:
        self._results: list[list[tuple[str, Any]]] = []
        self._begun = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._read, args=(client,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            assert self._begun.acquire(timeout=60)

    def _read(self, client: httpx.Client) -> None:
        self._results.append(stream(client, tokens=300, begun=self._begun.release))

    def ends(self) -> list[str]:
        """How the answers ended, when all have."""
        for thread in self._threads:
            thread.join(60)
        return sorted(end for events in self._results for end in ends(events))


@pytest.mark.parametrize(
    ("proxy", "number", "end"), [("caddy", 0, "done"), ("nginx", 1, "shutdown")]
)
def test_a_replica_stops_under_load_and_comes_back(
    replicas: Replicas, site: str, tmp_path: Path, proxy: str, number: int, end: str
) -> None:
    """Nobody gets an error but those whose answers are longer than the grace, and they are told."""
    with browser(site) as anna:
        readers = Readers(anna, 6)
        written = replicas.figures("playground_streams")
        assert min(written) >= 1, "one of the two writes nothing"
        stopping = replicas.servers[number]
        seen = (tmp_path / "log").stat().st_size
        stopping.signal(signal.SIGTERM)
        if proxy == "caddy":
            noticed(tmp_path, seen)
        for _ in range(6):  # while it stops
            assert ends(stream(anna)) == ["done"]
        assert replicas.refuses(number)
        told = readers.ends()
        assert len(told) == 6
        assert set(told) == {"done", end}
        assert told.count("shutdown") <= written[number]  # nobody whom the other one answered
        assert stopping.wait() == 0
        for _ in range(2):  # when it has stopped
            assert ends(stream(anna)) == ["done"]
        if number == 0:  # once is enough
            replicas.restart(number)
            deadline = time.monotonic() + 30
            while not replicas.answered("/api/stream")[number]:
                assert time.monotonic() < deadline
                assert ends(stream(anna)) == ["done"]
