"""What a reader is told of an answer before it is written."""

from collections.abc import Collection, Mapping

from playground.domain.messages import Applied, PaneRequest, Receipt
from playground.domain.samplers import Sampler
from playground.generation.bridge.plan import Plan
from playground.generation.budget import Budget


def receipt(
    request: PaneRequest,
    made: Plan,
    sent: Mapping[str, object],
    budget: Budget,
    applied: Mapping[str, Applied],
    *,
    emulate: bool,
) -> Receipt:
    """What is sent, what becomes of each parameter, and what was asked for.

    Args:
        made: The first of what the engine is asked.
        sent: As the engine names it.
        applied: What becomes of each parameter here.
        emulate: Whether parameters that the engine lacks may be emulated.
    """
    info, form = budget.info, budget.info.prompt_format
    return Receipt(
        engine=info.name,
        engine_id=request.engine,
        model_id=info.model_id,
        model_sha=info.model_sha,
        quantisation=info.quantisation,
        preset=request.preset,
        sent=sent,
        applied=applied,
        prompt_tokens=budget.fit.tokens,
        dropped_turns=budget.fit.dropped_turns,
        edits=request.edits,
        left_out=left_out(request.sampler, sent, applied, made.emulated),
        note=" ".join(filter(None, (_note(request.sampler, sent), _pieces(made), form.note))),
        prompt=made.request.prompt,
        prompt_format=form,
        system=request.messages[0].content if request.messages[0].role == "system" else "",
        continued=len(budget.fit.prompt.continued),
        emulate=emulate,
        emulated=made.emulated,
        asked=request.sampler.set_values(),
        max_new_tokens=made.max_new_tokens,
    )


def left_out(
    sampler: Sampler,
    sent: Mapping[str, object],
    applied: Mapping[str, Applied],
    emulated: Collection[str] = (),
) -> dict[str, str]:
    """Of each parameter that is set, was not sent and is not emulated, the reason."""
    reasons = {}
    greedy = sampler.temperature is not None and sent.get("do_sample") is False
    for parameter, value in sampler:
        name = parameter.name
        said = name in sent or not sent.keys().isdisjoint(parameter.names.values())
        if value is None or said or name in emulated:
            continue
        if applied[name].how == "emulated" and not greedy:
            continue
        if applied[name].how == "unsupported":
            reasons[name] = applied[name].reason
        elif greedy:
            reasons[name] = "Greedy decoding takes the likeliest token; do_sample false says it."
        elif name == "top_p" and value != parameter.neutral:
            reasons[name] = f"{value!r} is 1 in the engine's 32 bits."
        elif name == "temperature":
            reasons[name] = "1 is the engine's own temperature; do_sample true says to sample."
        else:
            reasons[name] = f"{value:g} has no effect."
    return reasons


def _note(sampler: Sampler, sent: Mapping[str, object]) -> str:
    """What follows from all that is sent, and from no single parameter."""
    if sent.get("do_sample") is False and sampler.temperature is None:
        return (
            "Greedy: there is no temperature, and nothing among what is sent for the engine to "
            "sample within, so it takes the likeliest token each time and the seed has no effect."
        )
    return ""


def _pieces(made: Plan) -> str:
    """That one answer takes several requests, where it does."""
    longest, whole = made.request.max_new_tokens, made.max_new_tokens
    if whole == longest:
        return ""
    return (
        f"The engine holds to max_new_tokens up to {longest:,} only, so an answer of up to "
        f"{whole:,} is asked for in several requests, each behind what is there."
    )
