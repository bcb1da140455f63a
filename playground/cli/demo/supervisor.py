"""Keeps an engine running beside the page: fetches its model, starts it, and starts it again."""

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from playground.cli.demo.errors import DownloadBroken, ModelError
from playground.cli.demo.llamacpp import PREFIX, READY, UNUSABLE
from playground.cli.demo.model import Model
from playground.cli.demo.progress import Teller
from playground.cli.terminal import printable
from playground.engines.base import EngineState, Progress

# Seconds before each start after a death; when they are used up, the engine is given up.
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
# One that ran for so long may die as often again.
_STABLE_S: Final = 60.0
_LINES_KEPT: Final = 20
# A download that hears nothing from the Hub notices its end only later.
_PATIENCE_S: Final = 5.0


class Supervisor:
    """An engine in a process of its own, from its model's download to the end of the page.

    Args:
        command: Starts the engine on the model's file.
        say: Tells whoever started the demo.
        pauses: Seconds before each start after a death in a row.
        environment: Of the engine; ``None`` gives it this process's own.
    """

    def __init__(
        self,
        model: Model,
        command: Callable[[Path], Sequence[str]],
        say: Callable[[str], None],
        *,
        pauses: Sequence[float] = _PAUSES_S,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._model = model
        self._command = command
        self._say = say
        self._pauses = pauses
        self._environment = environment
        self._tell = Teller(say)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._state: EngineState | None = EngineState(
            "loading", time.time(), f"The engine starts with {model.name}."
        )
        self._thread: threading.Thread | None = None
        self.failed = False

    def state(self) -> EngineState | None:
        """Why the engine does not run; ``None`` while it does, and can be asked itself."""
        return self._state

    def start(self, end: Callable[[], None]) -> None:
        """Begin, in a thread.

        Args:
            end: Is called when the engine cannot start at all.
        """
        self._thread = threading.Thread(target=self._run, args=(end,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the engine, or the download, and wait until that has ended."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.terminate()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, end: Callable[[], None]) -> None:
        try:
            path = self._model.fetch(self._report, self._stopped)
            self._keep_running(self._command(path))
        except DownloadBroken:
            return  # it was stopped
        except ModelError as error:
            self.failed = True
            self._set("offline", f"The engine cannot run. {error}")
            self._say(str(error))
            end()

    def _report(self, reason: str, progress: Progress | None) -> None:
        self._tell(reason, progress)
        words = reason or f"{self._model.name} is being fetched from the Hub."
        self._set("loading", words, progress)

    def _set(
        self, state: Literal["loading", "offline"], reason: str, progress: Progress | None = None
    ) -> None:
        since = time.time()
        if self._state is not None and self._state.state == state:
            since = self._state.since
        self._state = EngineState(state, since, reason, progress=progress)

    def _keep_running(self, command: Sequence[str]) -> None:
        """Start the engine as often as it dies.

        Raises:
            ModelError: It cannot start, or dies again and again.
        """
        self._set("loading", f"The engine loads {self._model.name}.")
        deaths = 0
        while True:
            status, ran_s = self._run_once(command)
            if self._stopped.is_set():
                return
            if status == UNUSABLE:
                raise ModelError(self._last_words())
            deaths = 1 if ran_s >= _STABLE_S else deaths + 1
            why = f"The engine ended (status {status})"
            if deaths > len(self._pauses):
                raise ModelError(
                    f"{why}, {deaths} times in a row, and is not started again. "
                    f"{self._last_words()} Start `playground demo` anew, or try a smaller model."
                )
            self._set("loading", f"{why}; it is being started again.")
            self._say(f"{why}; it is being started again.")
            if self._stopped.wait(self._pauses[deaths - 1]):
                return

    def _run_once(self, command: Sequence[str]) -> tuple[int, float]:
        """Its exit status, and for how many seconds it was ready."""
        with self._lock:
            if self._stopped.is_set():
                return 0, 0.0
            # In a group of its own: Ctrl-C in a terminal is for the page, whose answers need it
            # still. Its standard input ends with this process, however that ends.
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                process_group=0,
            )
        process, ready = self._process, None
        self._say(f"llama.cpp: process {process.pid}")
        self._lines.clear()
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                line = printable(line.rstrip())
                if line.startswith(READY):
                    ready = time.monotonic()
                    self._state = None
                    self._say(line)
                elif line:
                    self._lines.append(line)
                    if not line.startswith(PREFIX):  # that one is told with what becomes of it
                        self._say(line)
        return process.returncode, time.monotonic() - ready if ready is not None else 0.0

    def _last_words(self) -> str:
        # llama.cpp logs from a thread of its own: a line of it may come behind the reason.
        reasons = [line for line in self._lines if line.startswith(PREFIX)]
        return (reasons or [*self._lines] or [""])[-1].removeprefix(PREFIX)
