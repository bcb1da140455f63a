"""Seals by themselves: who opens them, what their length tells, and what stays in the open."""

import base64
import itertools
import time
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import orjson
import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from playground.domain.errors import InvalidRequest
from playground.domain.messages import (
    Block,
    Delta,
    Done,
    Emulation,
    Event,
    Failed,
    Message,
    Notice,
    PaneRequest,
    Receipt,
    Sealed,
    Waiting,
)
from playground.domain.prompt_formats import TULU2
from playground.domain.samplers import Sampler
from playground.generation.blind import LIFETIME_S, Seal, room, sealed, shuffled
from playground.generation.events import named

SECRET = "a secret that two replicas share"
DONE = Done("length", 3, 5, 7, 1.0, 2.0, None)


def pane(*texts: str) -> PaneRequest:
    return PaneRequest(tuple(Message("user", text) for text in texts), Sampler())


def receipt(text: str) -> Receipt:
    """One that holds a text wherever one can stand."""
    return Receipt(
        *("TGI", "tgi", "some/model", None, None, {}, {}, 4, 0, {}, {}, text, text),
        *(len(text), TULU2),
        note=text,
    )


def test_whoever_has_the_secret_opens_and_nobody_else() -> None:
    token = Seal(SECRET).close({"pane": 1, "done": {"seed": None}}, 64)
    assert Seal(SECRET).open(token, "sealed[0]") == {"pane": 1, "done": {"seed": None}}
    for other in (Seal(SECRET + "!"), Seal(None)):
        with pytest.raises(InvalidRequest) as caught:
            other.open(token, "sealed[3]")
        assert str(caught.value) == (
            "This seal cannot be opened: it is older than a day, was changed, or was made by a "
            "server with another PLAYGROUND_SECRET."
        )
        assert caught.value.field == "sealed[3]"


def test_the_key_is_of_seals_alone() -> None:
    """What else may be derived from the same secret opens none."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=None).derive(SECRET.encode())
    with pytest.raises(InvalidToken):
        Fernet(base64.urlsafe_b64encode(key)).decrypt(Seal(SECRET).close({}, 0))


def test_without_a_secret_each_server_has_its_own() -> None:
    one = Seal(None)
    token = one.close({}, 0)
    assert one.open(token, "sealed") == {}
    with pytest.raises(InvalidRequest):
        Seal(None).open(token, "sealed")


def test_a_seal_opens_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Seal(SECRET)
    token = seal.close({}, 0)
    assert LIFETIME_S == 24 * 3600
    now = time.time()
    monkeypatch.setattr("cryptography.fernet.time", SimpleNamespace(time=lambda: now))
    now += LIFETIME_S - 2
    assert seal.open(token, "sealed") == {}
    now += 4
    with pytest.raises(InvalidRequest, match="older than a day"):
        seal.open(token, "sealed")


def test_a_seals_length_tells_nothing_of_what_fits_the_room() -> None:
    seal = Seal(SECRET)
    lengths = {len(seal.close({"a": "x" * n}, 1000)) for n in (0, 1, 500, 900)}
    assert len(lengths) == 1
    long = {"a": "x" * 2000}
    assert seal.open(seal.close(long, 1000), "sealed") == long, "what does not fit is kept whole"
    assert "xxxx" not in base64.urlsafe_b64decode(seal.close(long, 0)).decode("latin-1")


@pytest.mark.parametrize("text", ["", "word " * 2000, '"\n\x01' * 2000, "🏠" * 2000])
def test_the_room_takes_the_largest_receipt_whatever_is_said_in_it(text: str) -> None:
    panes = [pane("Hi", text), pane("Hi")]
    size = room(panes)
    largest = orjson.dumps({"pane": 3, "receipt": named(receipt(text))[1]})
    assert len(largest) < size
    assert size == 8192 + 3 * len(orjson.dumps(["Hi", text])), "and is not much larger"
    assert room(panes[::-1]) == room([pane("Hi", text)]) == size


def test_an_order_is_any_of_all() -> None:
    """In 400 draws of 6 orders one is missing with a chance of 6 times (5/6) to the 400."""
    drawn = {tuple(shuffled(3)) for _ in range(400)}
    assert drawn == set(itertools.permutations(range(3)))
    assert shuffled(1) == [0]


async def through(*events: tuple[int, Event], order: list[int]) -> list[tuple[int, Event]]:
    """Events on their way to a reader who must not tell the panes apart."""

    async def batches() -> AsyncGenerator[list[tuple[int, Event]], None]:
        yield list(events[:2])
        yield list(events[2:])

    found = [batch async for batch in sealed(batches(), order, Seal(SECRET), 600)]
    assert [len(batch) for batch in found] == [len(events[:2]), len(events[2:])]
    return [each for batch in found for each in batch]


async def test_texts_stay_and_figures_are_sealed_with_the_panes_place() -> None:
    plain: list[tuple[int, Event]] = [
        (0, Waiting(2)),
        (1, Delta("Hi")),
        (1, Block(0, "<p>Hi</p>\n")),
        (0, Sealed("done", "token", {})),
    ]
    found = await through(*plain, (0, DONE), (1, receipt("Hi")), order=[2, 5])
    assert found[:4] == plain
    for (pane, event), (place, name) in zip(found[4:], ((2, "done"), (5, "receipt")), strict=True):
        assert isinstance(event, Sealed)
        assert (event.name, event.shown) == (name, {})
        opened = Seal(SECRET).open(event.token, "sealed")
        data = named(DONE if name == "done" else receipt("Hi"))[1]
        assert opened == {"pane": place, name: orjson.loads(orjson.dumps(data))}
        assert pane == (0 if name == "done" else 1)
    assert len({len(event.token) for _, event in found[4:] if isinstance(event, Sealed)}) == 1


@pytest.mark.parametrize(
    ("kind", "shown"), [("stopped", "stopped"), ("offline", "sealed"), ("internal", "sealed")]
)
@pytest.mark.parametrize("retryable", [True, False])
async def test_that_an_answer_failed_is_seen_and_why_is_not(
    kind: str, shown: str, retryable: bool
) -> None:
    took = Emulation(("min_p",), 1, 9, 8, 0.0, 0, 2.5) if retryable else None
    failed = Failed(kind, "top_k and the moon", retryable, took)
    [(_, event)] = await through((0, failed), order=[1])
    assert isinstance(event, Sealed)
    assert event.name == "error"
    assert event.shown == {
        "kind": shown,
        "message": "This answer failed. The reveal says why.",
        "retryable": retryable,
    }
    opened = Seal(SECRET).open(event.token, "sealed")
    assert orjson.dumps(opened) == orjson.dumps({"pane": 1, "error": named(failed)[1]})
    assert ("emulation" in opened["error"]) == retryable


async def test_a_notice_comes_with_the_ending_below_its_seal() -> None:
    """In the open it would tell which of the answers is the emulated one."""

    async def batches() -> AsyncGenerator[list[tuple[int, Event]], None]:
        yield [(0, receipt("Hi")), (1, Notice("It goes on without.")), (1, receipt("Hi"))]
        yield [(1, Delta("Hi")), (0, DONE), (1, DONE)]

    first, last = [batch async for batch in sealed(batches(), [1, 0], Seal(SECRET), 9000)]
    assert [type(event) for _, event in first + last] == [Sealed, Sealed, Delta, Sealed, Sealed]
    _, (_, plain), (_, told) = last
    assert isinstance(plain, Sealed)
    assert isinstance(told, Sealed)
    assert "notices" not in Seal(SECRET).open(plain.token, "sealed")
    opened = Seal(SECRET).open(told.token, "sealed")
    assert (opened["pane"], opened["notices"]) == (0, ["It goes on without."])
    assert len(plain.token) == len(told.token)


async def test_a_notice_alone_is_no_silence() -> None:
    async def batches() -> AsyncGenerator[list[tuple[int, Event]], None]:
        yield [(0, Notice("It goes on without."))]
        yield []

    assert [batch async for batch in sealed(batches(), [0], Seal(SECRET), 600)] == [[]]
