"""What our server and its workers take from the inside of uvicorn, which promises none of it."""

import asyncio
import inspect
import socket

import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors import multiprocess

from tests.stock import until

PARTS = {
    HttpToolsProtocol: (
        "connection_made(self, transport)",
        "connection_lost(self, exc)",
        "data_received(self, data)",
        "on_message_begin(self)",
        "on_header(self, name, value)",
        "on_headers_complete(self)",
        "on_body(self, body)",
        "on_message_complete(self)",
        "on_response_complete(self)",
        "_unset_keepalive_if_required(self)",
        "_start_asgi_task(self, cycle, app)",
    ),
    uvicorn.Server: (
        "handle_exit(self, sig, frame)",
        "on_tick(self, counter)",
        "shutdown(self, sockets)",
        "startup(self, sockets)",
    ),
    multiprocess.Process: (
        "__init__(self, config, sockets)",
        "target(self, sockets)",
        "always_pong(self)",
        "pong(self)",
        "start(self)",
        "kill(self)",
    ),
    multiprocess.Multiprocess: (
        "__init__(self, config, sockets)",
        "handle_hup(self)",
        "join_all(self)",
        "run(self)",
    ),
}
ATTRIBUTES = {
    "connection": ("transport", "cycle", "parser", "flow", "pipeline", "client", "server"),
    "server": ("should_exit", "force_exit", "servers", "config"),
    "config": ("timeout_graceful_shutdown",),
}
WHERE = f"uvicorn {uvicorn.__version__}: playground/cli builds on"


@pytest.mark.parametrize(
    ("owner", "signature"),
    [(owner, signature) for owner, signatures in PARTS.items() for signature in signatures],
)
def test_what_is_overridden_or_called_is_there(owner: type, signature: str) -> None:
    name, _, parameters = signature.rstrip(")").partition("(")
    method = getattr(owner, name, None)
    assert method is not None, f"{WHERE} {owner.__name__}.{name}"
    given = ", ".join(inspect.signature(method).parameters)
    assert given in (parameters, "args, kwargs"), f"{WHERE} {owner.__name__}.{signature}"


async def test_what_is_read_and_set_is_there() -> None:
    config = uvicorn.Config(FastAPI(), log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        async def started() -> bool:
            return server.started

        await until(started)
        connection = HttpToolsProtocol(config, server.server_state, {}, asyncio.get_running_loop())
        for what, owner in (("connection", connection), ("server", server), ("config", config)):
            for name in ATTRIBUTES[what]:
                assert hasattr(owner, name), f"{WHERE} the {what}'s {name}"
        assert server.servers, f"{WHERE} the sockets that a server listens on"
        server.should_exit = True
        await serving
    assert hasattr(connection.parser, "should_upgrade"), f"{WHERE} the parser's should_upgrade"
    parameters = inspect.signature(RequestResponseCycle).parameters
    for name in ("keep_alive", "message_event"):
        assert name in parameters, f"{WHERE} the cycle's {name}"


def test_a_supervisor_makes_its_workers_of_the_class_that_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    class Worker(multiprocess.Process):
        def start(self) -> None:
            made.append(self)

    monkeypatch.setattr(multiprocess, "Process", Worker)
    monkeypatch.setattr(multiprocess, "SIGNALS", {})
    config = uvicorn.Config(FastAPI(), log_config=None, workers=2)
    supervisor = multiprocess.Multiprocess(config, [])
    supervisor.init_processes()
    assert supervisor.processes == made, f"{WHERE} the class that its supervisor makes workers of"
    assert supervisor.signal_queue == []
    assert not supervisor.should_exit.is_set()
    for each in made:
        each.parent_conn.close()
        each.child_conn.close()
