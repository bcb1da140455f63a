"""What is asked of which servers, and by how many processes."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import Any, Final

import uvloop

from playground.domain.samplers import Sampler
from tests.emulation.answers import opened, write
from tests.emulation.cases import CASES, STORY, Case
from tests.emulation.choices import Choice, Tally, compare, draw
from tests.emulation.exact import Model
from tests.emulation.long_answers import Look, look
from tests.emulation.pace import Felt, Pace, beside, pace
from tests.emulation.report import Report
from tests.servers import Server

PARTS: Final = ("choices", "controls", "long", "pace", "beside")
# Answers that one task asks for, half of them behind each prompt.
_ROUND: Final = 1000
_CONTROL: Final = 10_000  # answers with a seed that is used again
_STEPS: Final = 48
_LONG: Final = 1500
_PENALTY: Final = Sampler(temperature=1.0, presence_penalty=1.0)
_WEAKER: Final = Sampler(temperature=1.0, presence_penalty=0.9)
_RATE: Final = "40"  # tokens a second, as of a model of seven billion parameters


def engine(*options: str, remember: bool = True) -> Server:
    """A stand-in."""
    module = "tests.emulation.engine" if remember else "tests.stand_in"
    many = ("--max-concurrent-requests", "400", "--max-batch-size", "64", "--grace", "0.1")
    return Server(["-m", module, "--port", "0", *many, *options])


def in_a_process(work: Callable[..., Coroutine[Any, Any, Any]], *arguments: object) -> Any:
    """What a coroutine gives; runs in a process of the pool."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(*arguments))


class Run:
    """All that is measured, with a pool of processes and the servers that are asked."""

    def __init__(self, samples: int, view: int, report: Report, stack: ExitStack) -> None:
        context = multiprocessing.get_context("spawn")
        workers = max(2, os.cpu_count() or 1)
        self._pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context))
        self._samples, self._report, self._stack = samples, report, stack
        self._likely = ("--max-top-n-tokens", str(view))
        self._model = Model()

    def start(self, *options: str, remember: bool = True) -> str:
        """The address of a server that lasts as long as this."""
        return self._stack.enter_context(engine(*options, remember=remember)).url

    def _all(self, work: Callable[..., Any], tasks: Sequence[tuple[object, ...]]) -> list[Any]:
        futures = [self._pool.submit(in_a_process, work, *task) for task in tasks]
        return [future.result() for future in futures]

    def choices(self) -> None:
        """First tokens and continuations, a round of all cases after the other."""
        stock, native = self.start(*self._likely), self.start("--all-samplers")
        ours, theirs = ([Tally() for _ in CASES] for _ in range(2))
        for first in range(0, self._samples, _ROUND):
            each = min(_ROUND, self._samples - first) // 2
            tasks = [
                (url, case, first, each, way)
                for case in CASES
                for url, way in ((stock, "emulated"), (native, "native"))
            ]
            found = self._all(draw, tasks)
            for place in range(len(CASES)):
                ours[place].join(found[2 * place])
                theirs[place].join(found[2 * place + 1])
            self._report.choices(self._compared(ours, theirs), last=first + _ROUND >= self._samples)

    def _compared(
        self, ours: Sequence[Tally], theirs: Sequence[Tally]
    ) -> list[tuple[Case, Tally, list[Choice]]]:
        return [
            (case, mine, compare(self._model, case, mine, native))
            for case, mine, native in zip(CASES, ours, theirs, strict=True)
        ]

    def controls(self) -> None:
        """The same without emulation, and with a seed that is used again."""
        stock = self.start(*self._likely)
        few = min(self._samples, _CONTROL)
        ways = (("without", self._samples // 2), ("seed", few // 2))
        found = self._all(
            draw, [(stock, case, 0, each, way) for case in CASES for way, each in ways]
        )
        rows = []
        for case, without, seed in zip(CASES, found[::2], found[1::2], strict=True):
            looks = [compare(self._model, case, each, each)[-1] for each in (without, seed)]
            rows.append((case, looks[0], looks[1]))
        self._report.controls(rows, self._samples, few)

    def long(self) -> None:
        """Answers of 48 tokens, and of 1,500."""
        stock = self.start(*self._likely, remember=False)
        endless = self.start(*self._likely, "--endless", remember=False)
        share = min(1.0, self._samples / 20_000)
        answers, strong, whole = (max(1, round(share * each)) for each in (150, 400, 6))
        tasks: list[tuple[object, ...]] = [
            (
                stock,
                case.sampler,
                case.sampler,
                _STEPS,
                strong if case.sampler == _PENALTY else answers,
            )
            for case in CASES
        ]
        tasks.append((stock, _WEAKER, _PENALTY, _STEPS, strong))
        tasks.append((endless, _PENALTY, _PENALTY, _LONG, whole))
        found = self._all(looked_at, tasks)
        names = [case.name for case in CASES]
        self._report.long([*zip(names, found, strict=False)], found[-2], found[-1])

    def pace(self) -> None:
        """Restarts, time and CPU of each case, one after the other."""
        stock = self.start(*self._likely, "--tokens-per-second", _RATE, remember=False)
        native = self.start("--all-samplers", "--tokens-per-second", _RATE, remember=False)
        found: list[Pace] = [in_a_process(pace, case, stock, native) for case in CASES]
        self._report.pace([*zip(CASES, found, strict=True)])

    def beside(self) -> None:
        """What a plain reader feels of others."""
        stock = self.start(*self._likely, "--tokens-per-second", _RATE, remember=False)
        seconds = 20.0 * min(1.0, self._samples / 5000)
        rows: list[tuple[str, Felt]] = []
        plain = Sampler(temperature=1.0)
        for name, sampler, emulated in (
            ("nobody", None, False),
            ("8 plain answers", plain, False),
            ("8 answers of min_p 0.1, T 1", CASES[4].sampler, True),
            ("8 answers of presence 1, T 1", _PENALTY, True),
        ):
            work = in_a_process(_beside, stock, sampler, seconds, emulated)
            rows.append((name, work))
        self._report.beside(rows)


async def _beside(url: str, sampler: Sampler | None, seconds: float, emulated: bool) -> Felt:
    return await beside(url, sampler, seconds, emulated=emulated)


async def looked_at(
    url: str, asked: Sampler, wanted: Sampler, length: int, answers: int
) -> list[Look]:
    """Answers by one sampler, looked at as if by another; then as if the first were forgotten."""
    async with opened(url) as writer:
        written = await write(writer.emulated, STORY, asked, length, range(answers), 16)
    model = Model(endless=length > _STEPS)
    if length <= _STEPS:
        return [look(model, STORY, wanted, written)]
    return [
        look(model, STORY, wanted, written),
        look(model, STORY, wanted, written, behind=1024),
        look(model, STORY, wanted, written, behind=1024, forgetting=True),
    ]
