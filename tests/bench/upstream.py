"""A TGI that writes at a given pace and says in each token when that was.

    python -m tests.bench.upstream

Listens on a free port of 127.0.0.1 and prints its address. A token is the Unix time of its
emission, ``1700000000.1234``, and now and then the end of a paragraph. The prompt says what it is
to do: ``[silent 4]`` writes nothing behind the fourth token, ``[fast]`` leaves the pace out,
``[tokens 300]`` ends the answer by itself there, or at max_new_tokens before. A word counts as a
token. GET /closed lists when streams were closed by their reader, GET /seen counts requests by
path.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from typing import Final

import orjson
import uvloop

RATE: Final = 50.0  # tokens a second
PARAGRAPH: Final = 40  # tokens

_INFO: Final = {
    "model_id": "bench/paced",
    "model_sha": None,
    "max_concurrent_requests": 1024,
    "max_best_of": 1,
    "max_stop_sequences": 4,
    "max_input_tokens": 8000,
    "max_total_tokens": 16384,
    "max_client_batch_size": 1,
    "router": "text-generation-router",
    "version": "3.3.7",
    "sha": None,
    "docker_label": None,
}
_TOKENS: Final = re.compile(r"\[tokens (\d+)\]")
_SILENT: Final = re.compile(r"\[silent (\d+)\]")

_closed: list[float] = []
_seen: Counter[str] = Counter()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            path = head.split(" ", 2)[1]
            length = re.search(r"content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            _seen[path] += 1
            if path in ("/generate_stream", "/"):  # "/" is where huggingface_hub posts to
                await _generate(reader, writer, orjson.loads(body))
            else:
                _answer(writer, _plain(path, body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _plain(path: str, body: bytes) -> object:
    match path:
        case "/info":
            return _INFO
        case "/tokenize":
            words = orjson.loads(body)["inputs"].split()
            return [{"id": 1, "text": word, "start": 0, "stop": 0} for word in ("<s>", *words)]
        case "/closed":
            return _closed
        case "/seen":
            return _seen
        case _:
            return ""


def _answer(writer: asyncio.StreamWriter, content: object) -> None:
    body = orjson.dumps(content)
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )


async def _generate(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: dict[str, object]
) -> None:
    inputs, parameters = str(request["inputs"]), request["parameters"]
    assert isinstance(parameters, dict)
    found = _TOKENS.search(inputs)
    limit = int(parameters["max_new_tokens"])
    most = min(int(found[1]), limit) if found else limit
    reason = "eos_token" if found and most < limit else "length"
    silent = int(found[1]) if (found := _SILENT.search(inputs)) else -1
    paced = "[fast]" not in inputs
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    leaving = asyncio.create_task(reader.read(1))
    leaving.add_done_callback(_left)
    begun = time.perf_counter()
    for i in range(most):
        if i == silent:
            await asyncio.wait([leaving])
        if leaving.done():
            raise ConnectionResetError
        text = "\\n\\n" if i % PARAGRAPH == PARAGRAPH - 1 else f"{time.time():.4f} "
        _event(writer, i, most, text, reason)
        if i == most - 1:
            break
        if paced:
            await asyncio.sleep(begun + (i + 1) / RATE - time.perf_counter())
        elif i % 10 == 9:
            await writer.drain()
    # Over before the next request is read: else that fails, and the connection with it.
    leaving.cancel()
    await asyncio.wait([leaving])
    writer.write(b"0\r\n\r\n")


def _left(leaving: asyncio.Task[bytes]) -> None:
    """The reader of a stream has closed its connection before the end."""
    if not leaving.cancelled():
        leaving.exception()
        _closed.append(time.time())


def _event(writer: asyncio.StreamWriter, i: int, most: int, text: str, reason: str) -> None:
    """One event as TGI's router writes it."""
    end = '"generated_text":null,"details":null'
    if i == most - 1:
        end = (
            f'"generated_text":"…","details":{{"finish_reason":"{reason}","generated_tokens":{most},'
            '"input_length":9,"seed":7}'
        )
    event = (
        f'data:{{"index":{i + 1},"token":{{"id":{i + 100},"text":"{text}",'
        f'"logprob":-0.12451172,"special":false}},{end}}}\n\n'
    ).encode()
    writer.write(b"%x\r\n%b\r\n" % (len(event), event))


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(_main())
    except KeyboardInterrupt:
        sys.exit(0)
