"""What keeps the engine running; real processes stand in its place that have only to die."""

import re
import sys
import threading
from pathlib import Path

import pytest

from playground.cli.demo.model import LocalModel
from playground.cli.demo.supervisor import Supervisor

READY = "print('llama.cpp listening on http://127.0.0.1:1', flush=True)"


class Beside:
    """A supervisor of a program in Python, and what it said."""

    def __init__(self, program: str, *pauses: float) -> None:
        self.said: list[str] = []
        self.states: list[str] = []
        self._changed = threading.Condition()
        self.ended = threading.Event()
        model = LocalModel("The model", Path("/model.gguf"))

        def command(path: Path) -> list[str]:
            return [sys.executable, "-c", program]

        self.supervisor = Supervisor(model, command, self._say, pauses=pauses)

    def _say(self, words: str) -> None:
        now = self.supervisor.state()
        with self._changed:
            self.said.append(words)
            self.states.append(now.reason if now else "runs")
            self._changed.notify_all()

    def wait_for(self, words: str, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(words in each for each in self.said) >= times, 20
            ), self.said


def test_one_that_dies_is_started_again_and_that_is_said() -> None:
    beside = Beside(f"{READY}; import os; os.kill(os.getpid(), 9)", 0.0, 0.0)
    with beside.supervisor as supervisor:
        supervisor.start(beside.ended.set)
        assert beside.ended.wait(20)
        assert supervisor.failed
        state = supervisor.state()
    assert state is not None
    assert state.state == "offline"
    assert (
        "The engine ended (status -9), 3 times in a row, and is not started again." in state.reason
    )
    again = "The engine ended (status -9); it is being started again."
    assert [each for each in beside.said if each == again] == [again, again]
    assert beside.states[beside.said.index(again)] == again
    assert sum("listening" in each for each in beside.said) == 3
    assert "runs" in beside.states


@pytest.mark.parametrize("behind", ["", "print('exiting due to model loading error');"])
def test_one_that_cannot_start_is_not_started_again(behind: str) -> None:
    """Whatever its log writes behind the reason, from another thread."""
    says = "print('playground demo: There is no such model.');"
    beside = Beside(f"import sys; {says} {behind} sys.exit(2)", 0)
    with beside.supervisor as supervisor:
        supervisor.start(beside.ended.set)
        assert beside.ended.wait(20)
        state = supervisor.state()
    assert state is not None
    assert state.reason == "The engine cannot run. There is no such model."
    assert sum("process" in each for each in beside.said) == 1


def test_what_it_writes_is_told_and_kept_as_the_reason() -> None:
    beside = Beside("print('GGML_ASSERT failed'); import os; os.abort()")
    with beside.supervisor as supervisor:
        supervisor.start(beside.ended.set)
        assert beside.ended.wait(20)
        state = supervisor.state()
    assert "GGML_ASSERT failed" in beside.said
    assert state is not None
    assert "not started again. GGML_ASSERT failed" in state.reason


def test_what_a_terminal_would_obey_is_not_told() -> None:
    beside = Beside(r"print('\x1b]0;title\x07\x9b31mred'); import sys; sys.exit(2)")
    with beside.supervisor as supervisor:
        supervisor.start(beside.ended.set)
        assert beside.ended.wait(20)
        state = supervisor.state()
    assert state is not None
    for said in (*beside.said, state.reason):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", said)
    assert "]0;title\ufffd\ufffd31mred" in state.reason


@pytest.mark.parametrize("when", ["ready", "loading", "pausing"])
def test_it_ends_with_the_page(when: str) -> None:
    program = {
        "ready": f"{READY}; import time; time.sleep(600)",
        "loading": "print('loads', flush=True); import time; time.sleep(600)",
        "pausing": "import sys; sys.exit(1)",
    }[when]
    words = {"ready": "listening", "loading": "loads", "pausing": "started again"}[when]
    beside = Beside(program, 600.0)
    with beside.supervisor as supervisor:
        supervisor.start(beside.ended.set)
        beside.wait_for(words)
    assert not beside.ended.is_set()
    assert not supervisor.failed
