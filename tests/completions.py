"""Servers of OpenAI's completions made of the fault server, and what a real vLLM answered."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tests.faults import FaultServer, Peer, Script, serving

DONE: Final = b"data: [DONE]\n\n"
CARD: Final[Mapping[str, Any]] = {
    "id": "some/model",
    "object": "model",
    "created": 1795862269,
    "owned_by": "vllm",
    "root": "some/model",
    "parent": None,
    "max_model_len": 80,
}


@dataclass(frozen=True)
class Transcript:
    """One request to vLLM, and its answer."""

    method: str
    path: str
    request: bytes
    status: int
    content_type: str
    body: bytes

    async def play(self, peer: Peer) -> None:
        """Answer as vLLM did."""
        await peer.answer(self.body, self.status, self.content_type)


def transcripts() -> dict[str, Transcript]:
    """Those of tests/data/vllm.txt by their names."""
    text = (Path(__file__).parent / "data" / "vllm.txt").read_text(encoding="utf-8")
    found = {}
    for part in text.split("######## ")[1:]:
        name, asked, rest = part.split("\n", 2)
        request, _, answer = rest.partition("\n==== ")
        head, _, body = answer.partition("\n")
        status, _, content_type = head.partition(" ")
        method, _, path = asked.partition(" ")
        ending = b"\n\n" if "event-stream" in content_type else b""
        found[name] = Transcript(
            method,
            path,
            request.encode(),
            int(status),
            content_type,
            body.strip().encode() + ending,
        )
    return found


def event(text: str, finish: str | None = None, **more: object) -> bytes:
    """One event of a stream as vLLM writes it, of one token; `more` are fields of its choice."""
    choice = {
        "index": 0,
        "text": text,
        "logprobs": None,
        "finish_reason": finish,
        "stop_reason": None,
        "token_ids": [7],
        **more,
    }
    return _event({"choices": [choice]})


def usage(prompt: int, completion: int) -> bytes:
    """The event that tells how many tokens there were."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return _event({"choices": [], "usage": {**counts, "total_tokens": prompt + completion}})


def broken(error: object, **more: object) -> bytes:
    """An event that is an error."""
    return b"data: " + orjson.dumps({"error": error, **more}) + b"\n\n"


def _event(fields: Mapping[str, object]) -> bytes:
    more = {"id": "cmpl-1", "object": "text_completion", "created": 1795862269, "model": "m"}
    return b"data: " + orjson.dumps({**more, **fields}) + b"\n\n"


def writing(*texts: str, finish: str = "stop", **more: object) -> Script:
    """A generation of these texts, a token each."""

    async def script(peer: Peer) -> None:
        *first, last = texts
        events = [*(event(text) for text in first), event(last, finish, **more)]
        await peer.head()
        await peer.send(b"".join([*events, usage(11, len(texts)), DONE]))

    return script


def sending(data: bytes) -> Script:
    """A stream of these bytes."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(data)

    return script


def refusing(status: int, body: bytes = b"", content_type: str = "application/json") -> Script:
    """An answer with this status."""

    async def script(peer: Peer) -> None:
        await peer.answer(body, status, content_type)

    return script


def completions(
    *generations: Script,
    routes: Mapping[str, object] | None = None,
    port: int = 0,
) -> AbstractAsyncContextManager[FaultServer]:
    """A vLLM whose n-th generation runs the n-th script, the last one for all that follow.

    A token is a word, and there is a BOS.

    Args:
        routes: What it answers elsewhere as JSON, or a script that does; ``None`` takes a route
            away.
    """
    known: Mapping[str, object] = {
        "/v1/models": {"object": "list", "data": [CARD]},
        "/version": {"version": "0.32.0"},
        "/tokenize": tokenize,
        **(routes or {}),
    }
    begun = 0

    async def answer(peer: Peer) -> None:
        nonlocal begun
        path = peer.request.path
        if path == "/v1/completions" and generations:
            begun += 1
            await generations[min(begun, len(generations)) - 1](peer)
            return
        said = known.get(path)
        if callable(said):
            await said(peer)
        elif said is None:
            await peer.answer(b'{"detail":"Not Found"}', 404)
        else:
            await peer.answer(orjson.dumps(said))

    return serving(answer, port=port)


async def tokenize(peer: Peer) -> None:
    """As vLLM does, where a token is a word in SentencePiece's spelling."""
    asked = peer.request.json()
    words = [f"▁{word}" for word in asked["prompt"].split()]
    spelled = ["<s>", *words] if asked.get("add_special_tokens", True) else words
    ids = list(range(len(spelled)))
    answer = {"count": len(ids), "max_model_len": 80, "tokens": ids, "token_strs": spelled}
    await peer.answer(orjson.dumps(answer))
