"""POST /api/stream: answers as they are written, and what belongs to them."""

from collections.abc import AsyncGenerator, Callable
from typing import Final

import anyio
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from playground import wire
from playground.api.http import answering, body_of, json_answer
from playground.api.services import Services
from playground.coalesce import closing
from playground.compare import Stop, compare
from playground.messages import Event
from playground.seal import Seal, room, sealed, shuffled
from playground.streams import Streams

KEEP_ALIVE_S: Final = 15.0


class EventStream(Response):
    """Batches of events as text/event-stream, ended as soon as the reader leaves.

    The reader's leaving is listened for beside the stream, so that it is noticed while there is
    nothing to send. An empty batch becomes a comment, which keeps proxies from closing.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        batches: AsyncGenerator[list[tuple[int, Event]], None],
        number: str,
        done: Callable[[], None],
    ) -> None:
        super().__init__(
            headers={
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "X-Stream-Id": number,
            }
        )
        del self.headers["content-length"]
        self._batches = batches
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as group:

                async def leave_with_the_reader() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    group.cancel_scope.cancel()

                group.start_soon(leave_with_the_reader)
                await self._send(send)
                group.cancel_scope.cancel()
        finally:
            self._done()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with closing(self._batches) as batches:
            async for batch in batches:
                body = wire.encode(batch) if batch else wire.KEEP_ALIVE
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def streaming_routes(services: Services) -> APIRouter:
    """The stream, the stop of one of its panes, and the opening of a blind comparison's seals."""
    engine, presets, settings = services.engine, services.presets, services.settings
    router = APIRouter()
    streams = Streams(settings.max_streams)
    seal = Seal(settings.sealing_secret())

    @router.post("/api/stream")
    @answering
    async def stream(request: Request) -> Response:
        asked = wire.parse_stream(await body_of(request), presets)
        order = shuffled(len(asked.panes)) if asked.blind else range(len(asked.panes))
        stops = [Stop() for _ in order]
        number = streams.begin(stops)
        batches = compare(
            engine,
            [asked.panes[place] for place in order],
            context_tokens=settings.context_tokens,
            idle=KEEP_ALIVE_S,
            stops=stops,
        )
        if asked.blind:
            batches = sealed(batches, order, seal, room(asked.panes))
        return EventStream(batches, number, lambda: streams.end(number))

    @router.delete("/api/stream/{number}/panes/{pane}")
    @answering
    async def stop(request: Request) -> Response:
        """Stops one pane of a stream; the id is the header X-Stream-Id of its answer."""
        pane = request.path_params["pane"]
        known = pane.isdecimal() and len(pane) <= 3
        streams.stop(request.path_params["number"], int(pane) if known else -1)
        return Response(status_code=204)

    @router.post("/api/reveal")
    @answering
    async def reveal(request: Request) -> Response:
        """What the seals of a blind comparison hold, in their order."""
        seals = wire.parse_reveal(await body_of(request))
        return json_answer(
            {"opened": [seal.open(each, f"sealed[{i}]") for i, each in enumerate(seals)]}
        )

    return router
