"""The engines: their states, and what they make of a text; the model's card; health."""

import asyncio
import time
from dataclasses import asdict
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response

from playground.api import schemas
from playground.api.document import answering
from playground.api.http import json_router, own_address
from playground.api.model_card import ModelCards
from playground.api.proof import Proofs
from playground.api.services import Services
from playground.api.turns import in_turn
from playground.auth.responses import json_answer
from playground.domain import models
from playground.domain.digest import digest
from playground.domain.errors import EngineError
from playground.engines.base import EngineInfo
from playground.engines.snippets import EngineKey, playground_snippet, snippets
from playground.generation import events
from playground.generation.budget import plan
from playground.generation.requests import (
    CodeBody,
    PiecesBody,
    ProofBody,
    RenderBody,
    TokenizeBody,
)
from playground.settings import Settings
from playground.telemetry.metrics import STATES


def engine_routes(services: Services) -> APIRouter:
    """What can be asked beside an answer."""
    engines, settings = services.engines, services.settings
    router = json_router("Engine", services.bodies)
    cards = ModelCards(settings.model_id)
    proofs = Proofs(services)

    @router.post("/api/pieces", **answering(schemas.PiecesAnswer, 429, 502, 503))
    async def cut_texts(request: Request, body: PiecesBody) -> Response:
        """Texts, each cut into the engine's tokens."""
        engine = engines.get(body.engine)
        async with in_turn(request, services.counting[engines.address(body.engine).id]):
            pieces = [await engine.pieces(text) if text else [] for text in body.texts]
        return json_answer({"pieces": pieces})

    @router.get("/api/engine", **answering(schemas.EngineAnswer))
    async def show_engine(engine: str | None = None) -> Response:
        """What an engine is, and how it is: the one of this id, or the default."""
        now = await engines.get(engine).state()
        info = now.info and services.emulation.treats(now.info)
        return json_answer(
            {
                "state": now.state,
                "since": now.since,
                "elapsed_s": round(max(0.0, time.time() - now.since), 1),
                "reason": now.reason,
                "progress": now.progress and asdict(now.progress),
                "engine": info and engine_facts(info, settings),
                "applied": events.applied_json(info.applied) if info else {},
                "raw": (info.raw or None) if info else None,
            }
        )

    @router.get("/api/engines", **answering(schemas.EnginesAnswer))
    async def list_engines() -> Response:
        """All engines, the default first, without their addresses."""
        states = await asyncio.gather(*[engine.state() for engine in engines.engines])
        infos = [now.info and services.emulation.treats(now.info) for now in states]
        return json_answer(
            {
                "engines": [
                    {
                        "id": address.id,
                        "name": address.name or (info.name if info else address.id),
                        "kind": info.kind if info else address.kind,
                        "model": info.model_id if info else address.model,
                        "state": now.state,
                        "unsupported": _treated(info, "unsupported"),
                        "emulated": _treated(info, "emulated"),
                        "seeds_repeat": info and info.seeds.repeat,
                    }
                    for address, now, info in zip(engines.addresses, states, infos, strict=True)
                ]
            }
        )

    @router.post("/api/code", **answering(schemas.CodeAnswer, 429))
    async def write_code(request: Request, body: CodeBody) -> Response:
        """An answer's request as programs, from the prompt and the parameters of its receipt."""
        address = engines.address(body.engine)
        info = (await engines.get(body.engine).state()).info
        key: EngineKey = "none"
        if address.api_key is not None:
            key = "drawn" if address.key_drawn else "given"

        def write() -> Response:
            programs = snippets(
                address.url,
                body.prompt,
                body.sent,
                key=key,
                model=address.model or (info.model_id if info else ""),
            )
            if body.again is not None:
                again = body.again.body(body.engine)
                here = own_address(request, settings)
                own = playground_snippet(here, again, auth=settings.auth)
                # First, what runs as it stands.
                programs = (*programs, own) if key == "none" else (own, *programs)
            return json_answer({"snippets": [asdict(each) for each in programs]})

        async with in_turn(request, services.computing):
            return await anyio.to_thread.run_sync(write)

    @router.post("/api/proof", **answering(schemas.ProofAnswer, 429, 502, 503))
    async def prove_engine(request: Request, body: ProofBody) -> Response:
        """Whether the engine really applies the parameters; takes seconds to minutes if new."""
        info = (await engines.get(body.engine).state()).info
        if info is None:
            raise EngineError("The engine is not ready.", kind="offline", retryable=True)
        address = engines.address(body.engine)
        return await proofs.answer(request, info, address, again=body.again)

    @router.get("/api/proof", **answering(schemas.ProofProgress))
    async def follow_proof(engine: str | None = None) -> Response:
        """How far the proof of an engine is, of this id or the default's, in this process."""
        return proofs.progress(engines.address(engine))

    @router.post("/api/tokenize", **answering(schemas.TokenizeAnswer, 429, 502, 503))
    async def measure_conversation(request: Request, body: TokenizeBody) -> Response:
        """A conversation as it would be sent, and its length in tokens."""
        engine, most = engines.get(body.engine), body.max_new_tokens
        async with in_turn(request, services.counting[engines.address(body.engine).id]):
            budget = await plan(engine, body.messages, most, settings.context_tokens)
        return json_answer(
            {
                "prompt_tokens": budget.fit.tokens,
                "max_total_tokens": budget.total,
                "dropped_turns": budget.fit.dropped_turns,
                "prompt": budget.fit.prompt.text,
                "prompt_sha256": digest(budget.fit.prompt.text),
            }
        )

    @router.post("/api/render", **answering(schemas.BlocksAnswer, 429))
    async def render_markdown(request: Request, body: RenderBody) -> Response:
        """Markdown as blocks of safe HTML."""
        async with in_turn(request, services.computing):
            blocks = await services.rendering.blocks(body.text)
        return json_answer({"blocks": blocks})

    @router.get("/api/card", **answering(schemas.CardAnswer))
    async def show_card() -> Response:
        """The model's card as HTML."""
        return json_answer(asdict(await cards.card()))

    return router


def _treated(info: EngineInfo | None, how: str) -> list[str]:
    """The parameters that an engine treats so, as far as it is known."""
    return [name for name, each in (info.applied if info else {}).items() if each.how == how]


def engine_facts(info: EngineInfo, settings: Settings) -> dict[str, Any]:
    """What a ready engine says of itself, and what its model is called."""
    return {
        "kind": info.kind,
        "name": info.name,
        "label": asdict(model_label(info)),
        "model_id": info.model_id,
        "model_sha": info.model_sha,
        "quantisation": info.quantisation,
        "prompt_format": info.prompt_format.label,
        "system_role": info.prompt_format.system is not None,
        "default_system": info.prompt_format.default_system,
        "seeds": asdict(info.seeds),
        "slots": info.slots,
        "max_input_tokens": info.max_input_tokens,
        "max_total_tokens": min(info.max_total_tokens, settings.context_tokens),
        "max_stop_sequences": info.max_stop_sequences,
    }


def model_label(info: EngineInfo) -> models.ModelLabel:
    """How the page shows the model of an engine."""
    return models.label(info.model_id, info.name, info.quantisation)


def health_routes(services: Services) -> APIRouter:
    """What probes ask for. Open to everybody."""
    router = json_router("Health")

    @router.head("/livez", include_in_schema=False)
    @router.get("/livez", **answering(schemas.StateAnswer))
    async def show_life() -> Response:
        """Whether this process answers."""
        return json_answer({"state": "live"})

    ready = answering(schemas.StateAnswer)
    ready["responses"][503] = {**ready["responses"][200], "description": "It cannot, not yet."}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", **ready)
    async def show_readiness() -> Response:
        """Whether answers can be written, by one engine at least.

        One that is away leaves those of the others alone. Open to everybody, so it does not give
        the reason, which names the engine's address.
        """
        states = (await services.engines.states()).values()
        best = next(each for each in STATES if each in states)
        state = "stopping" if services.admission.closing else best
        return json_answer({"state": state}, 200 if state == "ready" else 503)

    return router
