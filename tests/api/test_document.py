"""The OpenAPI document: valid, complete, and true of what is answered."""

import ast
import asyncio
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from httpx_sse import aconnect_sse
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

import playground
from playground.api.schemas import EVENTS, KINDS
from playground.app import create_app
from playground.domain.errors import PlaygroundError
from playground.domain.messages import Notice
from playground.engines import http as engine
from playground.generation.events import named
from playground.settings import load_settings
from playground.sharing import setup
from tests.api.test_proof import ANSWER as PROVING
from tests.application import NOWHERE, Application
from tests.conversations import record
from tests.faults import Peer, error_event, event
from tests.servers import data_dir
from tests.stock import INFO, tgi, writing

HI = [{"role": "user", "content": "Hi"}]
LINK = "setup=1&tab=chat&column=min-p,temperature:1,min_p:0.1:0.05&seed=7&end"
# What is no part of the API: pages, files, and what refuses the rest below /api.
PAGES = r"/login|/logout|/[sd]/\{token\}|/ui/.*|/api/docs|/api/openapi.json|/api/\{path:path\}"
# Kinds that end a command, or that a route turns into something else.
JSON = "application/json"
TYPED = {"content-type": JSON}
TERMS = {"title": "Try it", "panes": [{"preset": "min-p"}], "budget_tokens": 2000}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/api/pieces", {"texts": ["Hi", ""]}),
    ("/api/tokenize", {"messages": HI}),
    ("/api/render", {"text": "# Hi"}),
    ("/api/proof", {}),
    ("/api/links/read", {"link": LINK}),
    ("/api/links/read", {"link": "setup=1"}),
    ("/api/presets/import", {"text": '{"temperature": 0.7, "logit_bias": {"5": 1}, "x": [1]}'}),
    ("/api/presets/import", {"text": "version = 2\n["}),
    ("/api/presets/export", {"presets": [{"sampler": {"min_p": 0.1}}], "format": "openai"}),
]
NEVER_ANSWERED = {
    *("presets", "settings", "users", "usage", "unreadable", "password"),
    *("model", "download", "backup"),  # of commands, on the terminal
}


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    settings = load_settings(engine_url=NOWHERE, data_dir=data_dir())
    return create_app(settings, ui=False).openapi()


def test_the_document_is_valid(document: Mapping[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(dict(document)).iter_errors()) == []


def test_every_route_is_in_it(document: Mapping[str, Any]) -> None:
    app = create_app(load_settings(engine_url=NOWHERE, data_dir=data_dir()), ui=False)
    routes = {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if route.path and method != "HEAD" and not re.fullmatch(PAGES, route.path)
    }
    assert routes == {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }


def test_every_route_and_type_is_described(document: Mapping[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for operation in operations:
        assert set(operation["tags"]) <= tags
        assert operation["description"], operation["operationId"]
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name


def test_every_kind_of_error_is_in_it(document: Mapping[str, Any]) -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(playground.__path__, "playground.")
        if not found.name.endswith("__main__") and ".migrations." not in found.name
    ]
    kinds = set(get_args(setup.Kind)) | set(engine._KINDS.values())
    kinds |= {each.kind for each in _below(PlaygroundError)}
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"Failed": 0, "error_answer": 2}.get(node.func.id, len(node.args))
                kinds |= {
                    each.value
                    for each in node.args[place : place + 1]
                    if isinstance(each, ast.Constant)
                }
    documented = document["components"]["schemas"]["ErrorAnswer"]["properties"]["kind"]["enum"]
    assert kinds - NEVER_ANSWERED <= set(documented) == set(KINDS)


def _below(kind: type[PlaygroundError]) -> Iterator[type[PlaygroundError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


class Contract:
    """Holds every answer against the document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.seen: set[tuple[str, int]] = set()
        self.events: set[tuple[str, bool]] = set()

    def valid(self, schema: Mapping[str, Any], value: object) -> None:
        whole = {**schema, "components": self._document["components"]}
        errors = [error.message for error in Draft202012Validator(whole).iter_errors(value)]
        assert errors == [], value

    async def __call__(self, response: httpx.Response) -> None:
        method, path = response.request.method.lower(), response.request.url.path
        operation = next(
            methods[method]
            for template, methods in self._document["paths"].items()
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method in methods
        )
        self.seen.add((operation["operationId"], response.status_code))
        described = operation["responses"][str(response.status_code)]
        kind = response.headers.get("content-type", "").partition(";")[0]
        if kind == "text/event-stream":
            assert kind in described["content"]
            return  # `stream` looks at each event
        await response.aread()
        if response.status_code == 204:
            assert "content" not in described
            return
        self.valid(described["content"][kind]["schema"], response.json())

    async def stream(
        self, client: httpx.AsyncClient, path: str, body: object
    ) -> list[Mapping[str, Any]]:
        """The data of all events."""
        async with aconnect_sse(client, "POST", path, json=body) as source:
            found = [(each.event, each.json()) async for each in source.aiter_sse()]
        for name, data in found:
            self.event(name, data)
        return [data for _, data in found]

    def event(self, name: str, data: Mapping[str, Any]) -> None:
        events = self._document["components"]["schemas"]["StreamEvent"]["anyOf"]
        kinds = [
            each["properties"]["data"]["contentSchema"]
            for each in events
            if each["properties"]["event"]["const"] == name
        ]
        self.valid({"anyOf": kinds}, data)
        self.events.add((name, "sealed" in data))


async def scripted(peer: Peer) -> None:
    """As the prompt says: fails after a word, or writes three tokens."""
    prompt = peer.request.json()["inputs"]
    if peer.request.path == "/generate":
        await peer.answer(PROVING)
    elif "fail" in prompt:
        await peer.head()
        await peer.send(event("Some ") + error_event("CUDA", "generation"))
    elif "wait" in prompt:
        await peer.head()
        await peer.send(event("Some "))
        await peer.gone()
    else:
        await writing(["Hello", " *there*", "."])(peer)


async def test_what_is_answered_is_as_documented(document: Mapping[str, Any]) -> None:
    """Every route in front of an engine, with its answer and with refusals; every event."""
    contract = Contract(document)
    ask = {"messages": HI, "panes": [{"preset": "min-p"}]}
    fail = {"messages": [{"role": "user", "content": "fail"}], "panes": [{}, {"seed": 1}]}
    roomy = {**INFO, "max_input_tokens": 4000, "max_total_tokens": 8000}
    async with tgi(scripted, info=roomy) as server:
        with Application(server.url, max_streams=2) as site:
            async with httpx.AsyncClient(
                base_url=site.url, event_hooks={"response": [contract]}, trust_env=False, timeout=60
            ) as client:
                [receipt, *_] = await contract.stream(client, "/api/stream", ask)
                await contract.stream(client, "/api/stream", fail)
                blind = await contract.stream(client, "/api/stream", {**fail, "blind": True})
                sealed = [data["sealed"] for data in blind if "sealed" in data]
                await contract.stream(
                    client, "/api/stream", {**ask, "panes": [{}] * 2, "blind": True}
                )
                await client.post("/api/reveal", json={"sealed": sealed})
                await client.post("/api/reveal", json={"sealed": ["x"]})
                await asyncio.gather(
                    *(contract.stream(client, "/api/stream", ask) for _ in range(8))
                )
                await client.post("/api/stream", json={})
                await client.post("/api/stream", content=b"{", headers=TYPED)
                await client.post("/api/stream", content=b"{}")
                await client.post("/api/stream", content=b"1" * 10**6 + b"1", headers=TYPED)
                await client.delete("/api/stream/unknown/panes/0")
                wait = {"messages": [{"role": "user", "content": "wait"}], "panes": [{}]}
                async with aconnect_sse(client, "POST", "/api/stream", json=wait) as source:
                    number = source.response.headers["X-Stream-Id"]
                    await client.delete(f"/api/stream/{number}/panes/0")
                for path in ("presets", "engine", "engines", "card", "visitor", "shares", "demos"):
                    await client.get(f"/api/{path}")
                await client.get("/api/engine?engine=nobody")
                await client.get("/api/proof?engine=nobody")
                await client.get("/livez")
                await client.get("/readyz")
                code = {"prompt": receipt["prompt"], "sent": receipt["sent"]}
                await client.post("/api/code", json=code)
                for path, body in BODIES:
                    await client.post(path, json=body)
                    await client.post(path, json={"wrong": 1})
                token = (await client.post("/api/shares", json={"record": record()})).json()[
                    "token"
                ]
                for method in ("GET", "DELETE", "DELETE"):
                    await client.request(method, f"/api/shares/{token}")
                await client.get("/api/shares")
                token = (await client.post("/api/demos", json=TERMS)).json()["token"]
                demo = f"/api/demos/{token}"
                await client.get("/api/demos")
                await client.get(demo)
                await contract.stream(client, f"{demo}/stream", {"messages": HI})
                await client.post(f"{demo}/stream", json={})
                await client.post(f"{demo}/render", json={"text": "# Hi"})
                await client.patch(demo, json={"enabled": True})
                await client.patch(demo, json={})
                await client.delete(demo)
                await client.get(demo)
                await client.get("/api/engine", headers={"host": "elsewhere.example"})
    with Application() as away:
        async with httpx.AsyncClient(
            base_url=away.url, event_hooks={"response": [contract]}, trust_env=False
        ) as client:
            await client.get("/api/engine")
            await client.get("/api/proof")
            await client.get("/readyz")
            await client.post("/api/tokenize", json={"messages": HI})
            await client.post("/api/proof", json={})
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    well = {
        (each["operationId"], int(status)) for each in operations for status in each["responses"]
    }
    assert {name for name, status in contract.seen if status < 300} == {
        each["operationId"] for each in operations
    }
    assert {status for _, status in contract.seen} >= {400, 404, 413, 415, 421, 422, 503}
    assert contract.seen <= well
    name, data = named(Notice("It goes on without."))  # no script of an engine makes one
    contract.event(name, {"pane": 0, **data})
    sealed_kinds = {("receipt", True), ("done", True), ("error", True)}
    assert contract.events == {(name, False) for name, _ in EVENTS} | sealed_kinds


def test_examples_are_what_they_are_examples_of(document: Mapping[str, Any]) -> None:
    contract = Contract(document)
    for methods in document["paths"].values():
        for operation in methods.values():
            if body := operation.get("requestBody"):
                media = body["content"][JSON]
                contract.valid(media["schema"], media["example"])
            for status, response in operation["responses"].items():
                for kind, media in response.get("content", {}).items():
                    if status.startswith("2"):
                        assert media["example"]
                    if kind == JSON and "example" in media:
                        contract.valid(media["schema"], media["example"])


def test_both_are_behind_the_login_and_below_the_root_path(tmp_path: Path) -> None:
    with Application(auth="users", data_dir=tmp_path) as site:
        for path in ("/api/openapi.json", "/api/docs"):
            answer = httpx.get(site.url + path)
            assert (answer.status_code, answer.json()["kind"]) == (401, "login")
    with Application(root_path="/below") as site:
        document = httpx.get(f"{site.url}/api/openapi.json").json()
        page = httpx.get(f"{site.url}/api/docs").text
    assert document["servers"] == [{"url": "/below"}]
    assert "POST /below/api/stream" in page
    assert 'href="/below/api/openapi.json"' in page


def test_the_page_says_all_of_it_without_a_script(document: Mapping[str, Any]) -> None:
    with Application() as site:
        answer = httpx.get(f"{site.url}/api/docs")
        files = re.findall(r'(?:src|href)="(/[^"#]*)', answer.text)
        assert all(httpx.get(site.url + each).status_code == 200 for each in files if each != "/")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "http" not in "".join(re.findall(r'(?:src|href)="([^"]*)', answer.text))
    places = set(re.findall(r'id="([^"]+)"', answer.text))
    assert set(document["components"]["schemas"]) <= places
    assert {o["operationId"] for m in document["paths"].values() for o in m.values()} <= places
    assert set(re.findall(r'href="#([^"]+)"', answer.text)) <= places
    assert all(f"<code>{kind}</code>" in answer.text for kind in KINDS)


def test_what_is_no_route_is_refused_in_the_same_form(document: Mapping[str, Any]) -> None:
    with Application() as site:
        unknown = httpx.get(f"{site.url}/api/nothing/here")
        other = httpx.delete(f"{site.url}/api/shares")
    assert (unknown.status_code, unknown.json()["kind"]) == (404, "not_found")
    assert (other.status_code, other.json()["kind"]) == (405, "method")
    assert other.headers["allow"] == "GET, POST"
    for answer in (unknown, other):
        Contract(document).valid({"$ref": "#/components/schemas/ErrorAnswer"}, answer.json())
