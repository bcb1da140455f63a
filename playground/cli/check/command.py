"""`playground check`: what the engine says of itself, what was found, and the fixes."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from playground.cli.check.engine import examine_engine, host_is_here
from playground.cli.check.findings import Finding
from playground.cli.check.machine import examine_machine
from playground.cli.check.settings import examine_hub, examine_settings
from playground.engines.base import Engine, EngineAddress, EngineInfo, EngineState
from playground.engines.conformance import Proof, Prover, at_once, contradictions
from playground.engines.factory import engine_addresses, make_engine
from playground.generation.bridge.plan import EmulationPolicy
from playground.generation.bridge.provable import with_emulation
from playground.settings import Settings

# Of these the GPU, the image and the room for the weights can be looked at where they run.
_ON_A_GPU_OF_OURS: Final = ("auto", "tgi")
_REPEAT: Final = {
    "always": "they repeat",
    "alone": "they repeat alone",
    "never": "they do not repeat",
}
_VERDICTS: Final = {
    "proven": "proven",
    "weaker": "weaker than OpenAI's",
    "none": "without effect",
    "unclear": "not clear",
}
# After so many answers of a proof a line says how far it is, where no terminal reads it.
_TOLD_EVERY: Final = 20
_UNKNOWN: Final = {
    "ignored": "is accepted and ignored: that a field is accepted proves nothing",
    "refused": "is refused",
    "changes the answer": "changes the answer, which it should not",
}


@dataclass(frozen=True, slots=True)
class _Report:
    """One engine, as it was found."""

    address: EngineAddress
    state: EngineState
    proof: Proof | None
    contradictions: list[str]
    findings: list[Finding]

    @property
    def wrong(self) -> bool:
        return self.state.info is None or bool(self.contradictions) or _faulty(self.findings)

    def document(self) -> dict[str, object]:
        return {
            "id": self.address.id,
            "url": self.address.url,
            **asdict(self.state),
            "proof": self.proof and asdict(self.proof),
            "contradictions": self.contradictions,
        }


async def check(settings: Settings, *, samplers: bool, as_json: bool) -> int:
    """Look, and say it.

    Args:
        samplers: Let the engine's answers say which parameters take effect, too.

    Returns:
        0, or 1 when something is wrong.
    """
    reports = [
        await _examined(address, settings, samplers=samplers, quiet=as_json)
        for address in engine_addresses(settings)
    ]
    own = [each async for each in examine_settings(settings)]
    first, *others = reports
    if as_json:
        document = {
            **first.document(),
            "findings": [asdict(each) for each in (*first.findings, *own)],
            "others": [
                {**each.document(), "findings": [asdict(found) for found in each.findings]}
                for each in others
            ],
        }
        print(json.dumps(document, indent=2, default=sorted))  # a set as a list
    else:
        for report in reports:
            _print_report(report, own if report is reports[-1] else [])
    return 1 if any(report.wrong for report in reports) or _faulty(own) else 0


async def _examined(
    address: EngineAddress, settings: Settings, *, samplers: bool, quiet: bool
) -> _Report:
    """Everything that is looked at of one engine, and of the machine where it is or should be."""
    # Whoever asks once cannot wait and see whether a closed port is one that opens later.
    engine = make_engine(address, patient=False)
    policy = EmulationPolicy.from_settings(settings)
    try:
        state = await engine.state()
        if state.info is not None:
            state = replace(state, info=policy.treats(state.info))
        proof, false = None, list[str]()
        if samplers and state.info is not None:
            proof = await _proof(engine, state.info, policy, quiet=quiet)
            false = contradictions(proof, state.info.applied)
        findings = [each async for each in examine_engine(address, engine, state, settings)]
    finally:
        await engine.aclose()
    kind = state.info.kind if state.info else address.kind
    if kind in _ON_A_GPU_OF_OURS:
        findings += await _machine(address, state, settings)
    return _Report(address, state, proof, false, findings)


async def _proof(
    engine: Engine, info: EngineInfo, policy: EmulationPolicy, *, quiet: bool
) -> Proof:
    places = at_once(info)
    if not quiet:
        how = "one at a time" if places == 1 else f"{places} at a time"
        print(
            f"Asking {info.name} for some 260 short answers, {how}: about a minute on a GPU, up to "
            "ten on a CPU …",
            file=sys.stderr,
            flush=True,
        )
    # A proof is not given up half-way, however often the engine is asked anew.
    prover = Prover(with_emulation(engine, replace(policy, restarts=math.inf)))
    if quiet:
        return await prover.proof(info, places)
    try:
        return await prover.proof(info, places, told=_tell)
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # below the line that was written over


def _tell(answers: int) -> None:
    """How far a proof is."""
    if sys.stderr.isatty():
        print(f"\r  {answers} of some 260", end="", file=sys.stderr, flush=True)
    elif answers % _TOLD_EVERY == 0:
        print(f"  {answers} of some 260", file=sys.stderr, flush=True)


async def _machine(address: EngineAddress, state: EngineState, settings: Settings) -> list[Finding]:
    if state.info is None:
        return [
            await examine_hub(settings.model_id),
            *[each async for each in examine_machine()],
        ]
    if not host_is_here(address.url) or state.info.name.startswith("TGI stand-in"):
        return []
    # It runs: what is odd about its machine is worth a word and no fault.
    return [each async for each in examine_machine() if each.verdict in ("ok", "note")]


def _faulty(findings: Sequence[Finding]) -> bool:
    return any(each.verdict == "fault" for each in findings)


def _print_report(report: _Report, own: Sequence[Finding]) -> None:
    print(f"{report.address.url}: {report.state.state}. {report.state.reason}".rstrip())
    info = report.state.info
    if info is not None:
        _print_engine(info)
        if report.proof is not None:
            _print_proof(report.proof, info)
    for name in report.contradictions:
        print(f"  {name} is said to be applied, and it changes nothing.")
    _print_findings([*report.findings, *own])


def _print_engine(info: EngineInfo) -> None:
    tells = {
        "none": "it tells none",
        "raw": "it tells the model's own",
        "final": "it tells those that it draws from",
    }
    print(f"  engine   {info.name} ({info.kind})")
    model = (info.model_id, info.model_sha or "", info.quantisation)
    print(f"  model    {' '.join(each for each in model if each)}")
    print(f"  prompts  {info.prompt_format.label}")
    print(f"  context  {info.max_total_tokens} tokens, prompt at most {info.max_input_tokens}")
    print(f"  seeds    {_REPEAT[info.seeds.repeat]}. {info.seeds.condition}".rstrip())
    print(f"  chances  {tells[info.probabilities.kind]}")
    print("  samplers")
    for name, applied in info.applied.items():
        print(f"    {name:<19} {applied.how:<12} {applied.reason}".rstrip())


def _print_proof(proof: Proof, info: EngineInfo) -> None:
    print("  proof")
    for found in proof.findings:
        words = _VERDICTS[found.verdict]
        if info.applied[found.parameter].how == "emulated":
            words = f"{words}, emulated"
        print(f"    {found.parameter:<19} {words:<20} {found.evidence}")
        if info.applied[found.parameter].reason:
            print(f"    {'':<19} {'':<20} {info.applied[found.parameter].reason}")
    alone = " if nothing else is being generated" if info.seeds.repeat == "alone" else ""
    repeat = f"repeats its answer{alone}" if proof.seeds_repeat else "does NOT repeat its answer"
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
