"""The answer of /generate_stream: server-sent events, one a token."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.stand_in.answers import Event, Failed, Finished, Job, Written
from tests.stand_in.requests import Generate
from tests.stand_in.service import Json, Refused, Service, seed, token_json, whole

KEEP_ALIVE = 15.0  # seconds of silence before a comment is sent, as in TGI
TICK = 0.01  # seconds; a loop's timers may come this much early


class EventStream(Response):
    """The answer of /generate_stream: 200 at once, and errors as events."""

    def __init__(self, service: Service, body: Json) -> None:
        """body: a request whose types have been checked."""
        super().__init__(
            media_type="text/event-stream",
            headers={
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
                "x-compute-type": "cpu",
                "x-compute-characters": str(len(body["inputs"])),
            },
        )
        del self.headers["content-length"]
        self._service = service
        self._body = body
        self._arrived = time.monotonic()
        self._index = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the answer, token by token."""
        service = self._service
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}

        async def write(data: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        try:
            with service.place():
                asked, job = await service.job(self._body, stream=True)
                await send(start)
                service.engine.submit(job)
                watcher = asyncio.create_task(watch(service, [job], receive))
                try:
                    await self._relay(asked, job, write)
                finally:
                    watcher.cancel()
                    service.engine.cancel(job)
        except Refused as error:
            await send(start)
            await write(_event(error.body), more=False)

    async def _relay(self, asked: Generate, job: Job, write: Any) -> None:
        loop = asyncio.get_running_loop()
        quiet = loop.time()
        timer = loop.call_at(quiet + KEEP_ALIVE, job.arrived.set)
        try:
            while not job.cancelled:
                events = await job.take()
                if events:
                    ended = not isinstance(events[-1], Written)
                    await write(b"".join(self._lines(asked, job, events)), more=not ended)
                    quiet = loop.time()
                    if ended:
                        return
                else:  # the timer, or the reader has left
                    if loop.time() - quiet > KEEP_ALIVE - TICK:
                        await write(b":\n\n")
                        quiet = loop.time()
                    timer.cancel()
                    timer = loop.call_at(quiet + KEEP_ALIVE, job.arrived.set)
        finally:
            timer.cancel()

    def _lines(self, asked: Generate, job: Job, events: list[Event]) -> list[bytes]:
        lines = []
        for place, event in enumerate(events):
            if isinstance(event, Failed):
                lines.append(_event(self._service.failure(event).body))
            elif isinstance(event, Written):
                self._index += 1
                following = events[place + 1] if place + 1 < len(events) else None
                end = following if isinstance(following, Finished) else None
                written = self._token_event(asked, job, event, end)
                lines.append(_event(written, space=bool(self._index % 2)))
        return lines

    def _token_event(self, asked: Generate, job: Job, event: Written, end: Finished | None) -> Json:
        body: Json = {"index": self._index, "token": token_json(event.token)}
        if event.top:
            body["top_tokens"] = [token_json(token) for token in event.top]
        body |= {"generated_text": None, "details": None}
        if end:
            self._service.success(job, end.tokens, self._arrived)
            body["generated_text"] = whole(asked, end.text)
            if asked.details:
                body["details"] = {
                    "finish_reason": end.reason,
                    "generated_tokens": end.tokens,
                    "seed": seed(job),
                    "input_length": len(job.prompt),
                }
        return body


async def watch(service: Service, jobs: Sequence[Job], receive: Receive) -> None:
    """Drop the jobs as soon as their reader is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    for job in jobs:
        if not job.ended:
            service.metrics.count("tgi_request_failure", err="dropped")
        service.engine.cancel(job)
        job.arrived.set()


def _event(body: Json, *, space: bool = True) -> bytes:
    """Whether a space stands behind the colon is all the same to a reader of SSE."""
    return (b"data: " if space else b"data:") + orjson.dumps(body) + b"\n\n"
