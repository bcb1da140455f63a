"""The engine: its state and what it makes of a text; the model's card; the probes of health."""

import time
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from playground.api.http import answering, body_of
from playground.api.model_card import ModelCards
from playground.api.proof import Proofs
from playground.api.services import Services
from playground.auth.responses import json_answer
from playground.domain.digest import digest
from playground.domain.errors import EngineError
from playground.engines.snippets import snippets
from playground.generation import events, requests
from playground.generation.answer import plan


def engine_routes(services: Services) -> APIRouter:
    """What can be asked beside an answer."""
    engine, settings = services.engine, services.settings
    router = APIRouter()
    cards = ModelCards(settings.model_id)
    proofs = Proofs(services)

    @router.post("/api/pieces")
    @answering
    async def pieces(request: Request) -> Response:
        """Texts, each cut into the engine's tokens."""
        texts = requests.parse_pieces(await body_of(request))
        return json_answer(
            {"pieces": [await engine.pieces(text) if text else [] for text in texts]}
        )

    @router.get("/api/engine")
    @answering
    async def state(request: Request) -> Response:
        now = await engine.state()
        info = now.info
        return json_answer(
            {
                "state": now.state,
                "since": now.since,
                "elapsed_s": round(max(0.0, time.time() - now.since), 1),
                "reason": now.reason,
                "engine": info
                and {
                    "name": info.name,
                    "model_id": info.model_id,
                    "model_sha": info.model_sha,
                    "max_input_tokens": info.max_input_tokens,
                    "max_total_tokens": min(info.max_total_tokens, settings.context_tokens),
                    "max_stop_sequences": info.max_stop_sequences,
                },
                "applied": events.applied_json(info.applied) if info else {},
                "raw": info and info.raw,
            }
        )

    @router.post("/api/code")
    @answering
    async def code(request: Request) -> Response:
        """An answer's request as programs, from the prompt and the parameters of its receipt."""
        prompt, sent = requests.parse_code(await body_of(request))
        keyed = settings.api_key() is not None
        programs = snippets(settings.tgi_url, prompt, sent, keyed=keyed)
        return json_answer({"snippets": [asdict(each) for each in programs]})

    @router.post("/api/proof")
    @answering
    async def proof(request: Request) -> Response:
        """Whether the engine really applies the parameters; takes some seconds the first time."""
        requests.parse_nothing(await body_of(request))
        info = (await engine.state()).info
        if info is None:
            raise EngineError("The engine is not ready.", kind="offline", retryable=True)
        return await proofs.answer(request, info)

    @router.post("/api/tokenize")
    @answering
    async def tokenize(request: Request) -> Response:
        asked = requests.parse_tokenize(await body_of(request))
        budget = await plan(engine, asked.messages, asked.max_new_tokens, settings.context_tokens)
        return json_answer(
            {
                "prompt_tokens": budget.fit.tokens,
                "max_total_tokens": budget.total,
                "dropped_turns": budget.fit.dropped_turns,
                "prompt": budget.fit.prompt.text,
                "prompt_sha256": digest(budget.fit.prompt.text),
            }
        )

    @router.post("/api/render")
    @answering
    async def render_markdown(request: Request) -> Response:
        text = requests.parse_render(await body_of(request))
        return json_answer({"blocks": await services.rendering.blocks(text)})

    @router.get("/api/card")
    @answering
    async def card(request: Request) -> Response:
        return json_answer(asdict(await cards.card()))

    @router.api_route("/livez", methods=["GET", "HEAD"])
    async def live() -> Response:
        return json_answer({"state": "live"})

    @router.api_route("/readyz", methods=["GET", "HEAD"])
    async def ready() -> Response:
        """Open to everybody, so it does not give the reason, which names the engine's address."""
        state = "stopping" if services.admission.closing else (await engine.state()).state
        return json_answer({"state": state}, 200 if state == "ready" else 503)

    return router
