"""The proof of the samplers, on the real engine and on one that follows stock TGI."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from playground.domain.prompt_formats import CHATML
from playground.domain.samplers import BY_NAME
from playground.engines import answers
from playground.engines.conformance import Prover, at_once, contradictions
from playground.engines.llamacpp import LlamaCppEngine
from tests import commands, proofs
from tests.servers import Server, stand_in
from tests.stock import playground

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def stock_url() -> Iterator[str]:
    with stand_in("--max-top-n-tokens", "20") as server:
        yield server.url


def check(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.playground("check", "--samplers", "--tgi-url", url, *arguments)


def test_seven_of_seven_on_the_stand_in(stand_in_url: str) -> None:
    done = check(stand_in_url, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    proof = document["proof"]
    assert {each["parameter"]: each["verdict"] for each in proof["findings"]} == dict.fromkeys(
        BY_NAME, "proven"
    )
    assert (proof["seeds_repeat"], proof["unknown_field"]) == (True, "ignored")
    by_name = {each["parameter"]: each for each in proof["findings"]}
    for name in ("frequency_penalty", "presence_penalty", "repetition_penalty"):
        assert by_name[name]["p"] < 0.05, by_name[name]["evidence"]
        assert by_name[name]["counts"]["pairs"] >= 40
    for name in ("frequency_penalty", "presence_penalty"):
        assert by_name[name]["strength"] == pytest.approx(1, abs=0.01)
    assert document["contradictions"] == []


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    proofs.shorten(monkeypatch)


def words_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Of each parameter the line of the proof."""
    lines = done.stdout.partition("  proof\n")[2].splitlines()
    words = {line.split()[0]: line for line in lines if line.split()[0] in BY_NAME}
    assert set(words) == set(BY_NAME)
    return words


@pytest.mark.usefixtures("few")
def test_seven_of_seven_on_stock_tgi_three_of_them_emulated(stock_url: str) -> None:
    done = check(stock_url)
    assert done.returncode == 0, done.stderr
    words = words_of(done)
    assert "7 of 7 proven" in done.stdout
    assert {name for name, line in words.items() if " proven, emulated " in line} == {
        *("frequency_penalty", "presence_penalty", "min_p")
    }
    for name in ("frequency_penalty", "presence_penalty"):
        assert "Its strength is 100% of OpenAI's." in words[name]
    assert "repeats its answer if nothing else is being generated" in done.stdout
    asked, *told = done.stderr.splitlines()
    assert asked.startswith("Asking TGI stand-in")
    assert told == [f"  {count} of some 260" for count in range(20, 20 * len(told) + 1, 20)] != []


@pytest.mark.usefixtures("few")
def test_without_emulation_stock_tgi_lacks_exactly_two_and_one_is_weaker(
    stock_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_EMULATION", "false")
    done = check(stock_url)
    assert done.returncode == 0, done.stderr
    words = words_of(done)
    without = {name for name, line in words.items() if "without effect" in line}
    assert without == {"presence_penalty", "min_p"}
    assert {n for n, line in words.items() if "weaker than OpenAI's" in line} == {
        "frequency_penalty"
    }
    assert sum(" proven " in line for line in words.values()) == 4
    assert "4 of 7 proven" in done.stdout


@pytest.mark.timeout(900)
async def test_seven_of_seven_on_llamacpp(
    llamacpp: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer and shorter answers than `playground check --samplers` has: it takes minutes."""
    monkeypatch.setattr(answers, "QUESTIONS", answers.QUESTIONS[:4])
    monkeypatch.setattr(answers, "_EXACT_SEEDS", (1,))
    monkeypatch.setattr(answers, "_EXACT_TOKENS", 12)
    monkeypatch.setattr(answers, "_PAIR_SEEDS", (1, 2, 3))
    monkeypatch.setattr(answers, "PAIR_TOKENS", 24)
    # Without the model's own system message a prompt is read in a third of the time.
    engine = LlamaCppEngine(llamacpp.url, prompt_format=CHATML)
    try:
        info = (await engine.state()).info
        assert info is not None
        assert at_once(info) == 1, "its seeds repeat only alone"
        proof = await Prover(engine).proof(info, 1)
    finally:
        await engine.aclose()
    found = {each.parameter: each for each in proof.findings}
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(BY_NAME, "proven")
    assert (proof.seeds_repeat, proof.unknown_field) == (True, "ignored")
    assert contradictions(proof, info.applied) == []
    for name in ("temperature", "top_k", "top_p", "min_p"):
        counts = found[name].counts
        assert 3 in (counts.get("greedy"), counts.get("greedy_when_cold"))
    for name in ("frequency_penalty", "presence_penalty"):
        assert found[name].strength == pytest.approx(1, abs=0.001)
        assert "with the prompt's tokens counted, too" in found[name].evidence
        assert "Counts the prompt's tokens, too." in info.applied[name].reason


@pytest.mark.usefixtures("few")
async def test_the_page_can_ask_for_the_proof_and_it_is_kept(stand_in_url: str) -> None:
    async with (
        playground(stand_in_url) as url,
        httpx.AsyncClient(base_url=url, timeout=200) as client,
    ):
        first = (await client.post("/api/proof", json={})).json()
        second = (await client.post("/api/proof", json={})).json()
        refused = await client.post("/api/proof", json={"anew": True})
    assert [each["parameter"] for each in first["findings"]] == list(BY_NAME)
    assert second == first, "the second is the first one, its seconds included"
    assert refused.status_code == 422


async def test_an_engine_that_is_away_cannot_be_proven() -> None:
    async with (
        playground("http://127.0.0.1:9") as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        answer = await client.post("/api/proof", json={})
    assert (answer.status_code, answer.json()["kind"]) == (503, "offline")
