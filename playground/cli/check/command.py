"""`playground check`: what the engine says of itself, what was found, and the fixes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from playground.cli.check.engine import examine_engine, host_is_here
from playground.cli.check.findings import Finding
from playground.cli.check.machine import examine_machine
from playground.cli.check.settings import examine_hub, examine_settings
from playground.engines.base import Engine, EngineInfo, EngineState
from playground.engines.conformance import Proof, Prover, at_once, contradictions
from playground.engines.factory import engine_addresses, make_engine
from playground.settings import Settings

_VERDICTS: Final = {
    "proven": "proven",
    "weaker": "weaker than OpenAI's",
    "none": "without effect",
    "unclear": "not clear",
}
_UNKNOWN: Final = {
    "ignored": "is accepted and ignored: that a field is accepted proves nothing",
    "refused": "is refused",
    "changes the answer": "changes the answer, which it should not",
}


async def check(settings: Settings, *, samplers: bool, as_json: bool) -> int:
    """Look, and say it.

    Args:
        samplers: Let the engine's answers say which parameters take effect, too.

    Returns:
        0, or 1 when something is wrong.
    """
    # Whoever asks once cannot wait and see whether a closed port is one that opens later.
    engine = make_engine(engine_addresses(settings)[0], patient=False)
    try:
        state = await engine.state()
        proof, false = None, list[str]()
        if samplers and state.info is not None:
            proof = await _proof(engine, state.info, quiet=as_json)
            false = contradictions(proof, state.info.applied)
    finally:
        await engine.aclose()
    findings = await _findings(settings, state)
    if as_json:
        document = {
            "url": settings.engine_url,
            **asdict(state),
            "proof": proof and asdict(proof),
            "contradictions": false,
            "findings": [asdict(each) for each in findings],
        }
        print(json.dumps(document, indent=2, default=sorted))  # a set as a list
    else:
        print(f"{settings.engine_url}: {state.state}. {state.reason}".rstrip())
        if state.info is not None:
            _print_engine(state.info)
        if proof is not None:
            _print_proof(proof)
        for name in false:
            print(f"  {name} is said to be applied, and it changes nothing.")
        _print_findings(findings)
    wrong = state.info is None or any(each.verdict == "fault" for each in findings)
    return 1 if false or wrong else 0


async def _proof(engine: Engine, info: EngineInfo, *, quiet: bool) -> Proof:
    places = at_once(info)
    if not quiet:
        how = "one at a time" if places == 1 else f"{places} at a time"
        print(f"Asking the engine for some 260 short answers, {how} …", file=sys.stderr, flush=True)
    return await Prover(engine).proof(info, places)


async def _findings(settings: Settings, state: EngineState) -> list[Finding]:
    """Everything that is looked at. The machine is where the engine is, or where it should be."""
    findings = [each async for each in examine_engine(settings, state)]
    if state.info is None:
        findings.append(await examine_hub(settings.model_id))
        findings += [each async for each in examine_machine()]
    elif host_is_here(settings.engine_url) and not state.info.name.startswith("TGI stand-in"):
        # It runs: what is odd about its machine is worth a word and no fault.
        findings += [each async for each in examine_machine() if each.verdict in ("ok", "note")]
    findings += [each async for each in examine_settings(settings)]
    return findings


def _print_engine(info: EngineInfo) -> None:
    print(f"  engine   {info.name}")
    print(f"  model    {info.model_id} {info.model_sha or ''}".rstrip())
    print(f"  context  {info.max_total_tokens} tokens, prompt at most {info.max_input_tokens}")
    print("  samplers")
    for name, applied in info.applied.items():
        print(f"    {name:<19} {applied.how:<12} {applied.reason}".rstrip())


def _print_proof(proof: Proof) -> None:
    print("  proof")
    for found in proof.findings:
        words = _VERDICTS[found.verdict]
        print(f"    {found.parameter:<19} {words:<20} {found.evidence}")
    repeat = "repeats its answer" if proof.seeds_repeat else "does NOT repeat its answer"
    print(f"    {'seed':<19} {repeat}")
    print(f"    {'an unknown field':<19} {_UNKNOWN[proof.unknown_field]}")
    print(
        f"    {sum(each.verdict == 'proven' for each in proof.findings)} of "
        f"{len(proof.findings)} proven, by {proof.generations} answers with "
        f"{proof.tokens:,} tokens in {proof.seconds:.0f} s"
    )


def _print_findings(findings: Sequence[Finding]) -> None:
    print("  checks")
    for each in findings:
        print(f"    {each.name:<10} {each.verdict:<8} {each.says}")
        if each.fix:
            print(f"    {'':<10} {'→':<8} {each.fix}")
