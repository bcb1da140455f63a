"""The page in stock Firefox and in WebKit, beside the Chromium that all other tests drive.

    python -m tests.browsers [firefox|webkit]

Each browser is driven over its own WebDriver: Firefox listens to Marionette, and WebKitGTK has
WebKitWebDriver, which needs a display: that of Xvfb, where there is none. Debian has all of it:
``apt-get install firefox-esr webkit2gtk-driver xvfb``. Without one of them the run fails.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from tests.bench.processes import upstream
from tests.pages import serve

_WAIT_S: Final = 30.0
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
_PAGE_UP, _ENTER, _ESCAPE = "\ue00e", "\ue007", "\ue00c"
# What Firefox asks of others by itself, and blocked site data.
_QUIET: Final = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
    "network.captive-portal-service.enabled": False,
}
_DENIED: Final = {"network.cookie.cookieBehavior": 2}


class Driver(Protocol):
    """A WebDriver session: a command by its name in Marionette, with its parameters."""

    def __call__(self, command: str, **parameters: Any) -> Any: ...


_IS_FREE: Final = """(selector) => {
    const node = document.querySelector(selector);
    const { x, y, width, height } = node.getBoundingClientRect();
    return node.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}"""


class Tab:
    """A page in a browser, by the few things that a journey needs."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def go(self, url: str) -> None:
        self._driver("Navigate", url=url)
        self.until("document.documentElement.dataset.playground === 'ready'")

    def run(self, expression: str) -> Any:
        return self._driver("ExecuteScript", script=f"return {expression}", args=[])

    def until(self, expression: str) -> None:
        """Wait until an expression of the page is true."""
        ends = time.monotonic() + _WAIT_S
        while not self.run(expression):
            if time.monotonic() > ends:
                raise AssertionError(f"never true: {expression}")
            time.sleep(0.05)

    def _element(self, selector: str) -> str:
        self.until(f"document.querySelector({json.dumps(selector)})?.checkVisibility() ?? false")
        found = self._driver("FindElement", using="css selector", value=selector)
        element: str = found[_ELEMENT]
        return element

    def click(self, selector: str) -> None:
        """A click on what is in sight, as soon as nothing lies over it."""
        element = self._element(selector)
        self.until(f"({_IS_FREE})({json.dumps(selector)})")
        self._driver("ElementClick", id=element)

    def type(self, selector: str, text: str) -> None:
        self._driver("ElementSendKeys", id=self._element(selector), text=text)

    def press(self, key: str) -> None:
        """A key, wherever the focus is."""
        keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        self._driver("PerformActions", actions=actions)


@contextmanager
def firefox(preferences: dict[str, Any]) -> Iterator[Tab]:
    """Firefox without a window, in a profile of its own."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        raise FileNotFoundError("Firefox is not installed: apt-get install firefox-esr")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as profile:
        lines = {**_QUIET, **preferences, "marionette.port": port}.items()
        text = "".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in lines)
        (Path(profile) / "user.js").write_text(text)
        command = [program, "--marionette", "--headless", "--profile", profile]
        with _process(command, {"MOZ_HEADLESS_WIDTH": "1000", "MOZ_HEADLESS_HEIGHT": "620"}):
            connection = _retried(lambda: socket.create_connection(("127.0.0.1", port)))
            with connection:
                connection.settimeout(_WAIT_S)
                driver = _Marionette(connection)
                driver("NewSession")
                yield Tab(driver)


class _Marionette:
    """Its messages are JSON behind their length: ``9:[0,1,…]``."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._number = 0
        self._read()

    def _read(self) -> Any:
        length = b""
        while (byte := self._connection.recv(1)) != b":":
            assert byte, "Firefox has left"
            length += byte
        body = b""
        while len(body) < int(length):
            body += self._connection.recv(int(length) - len(body))
        return json.loads(body)

    def __call__(self, command: str, **parameters: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, f"WebDriver:{command}", parameters]).encode()
        self._connection.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result["value"] if isinstance(result, dict) and "value" in result else result


_PATHS: Final = {
    "Navigate": "/url",
    "ExecuteScript": "/execute/sync",
    "FindElement": "/element",
    "ElementClick": "/element/{id}/click",
    "ElementSendKeys": "/element/{id}/value",
    "PerformActions": "/actions",
}


@contextmanager
def webkit() -> Iterator[Tab]:
    """WebKitGTK's own small browser."""
    program = shutil.which("WebKitWebDriver")
    browsers = sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"))
    if program is None or not browsers:
        raise FileNotFoundError("WebKit is not installed: apt-get install webkit2gtk-driver")
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        environment = {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}  # root has none
        if "DISPLAY" not in os.environ:
            environment["DISPLAY"] = stack.enter_context(_display())
        stack.enter_context(_process([program, "-p", str(port)], environment))
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=_WAIT_S)
        )
        _retried(lambda: client.get("/status"))
        options = {"binary": str(browsers[-1]), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        made = client.post("/session", json={"capabilities": wanted}).json()["value"]
        session = f"/session/{made['sessionId']}"

        def driver(command: str, **parameters: Any) -> Any:
            path = session + _PATHS[command].format(**parameters)
            answer = client.post(path, json=parameters).json()["value"]
            if isinstance(answer, dict) and "error" in answer:
                raise RuntimeError(f"{command}: {answer['message']}")
            return answer

        client.post(f"{session}/window/rect", json={"width": 1000, "height": 620})
        yield Tab(driver)
        client.delete(session)


@contextmanager
def _display() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        raise FileNotFoundError("There is no display, and no Xvfb: apt-get install xvfb")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with _process(command, {}, (writer,)):
        os.close(writer)
        yield f":{os.read(reader, 20).decode().strip()}"
        os.close(reader)


@contextmanager
def _process(
    command: Sequence[str], environment: dict[str, str], inherited: Sequence[int] = ()
) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=tuple(inherited),
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _retried(attempt: Callable[[], Any]) -> Any:
    ends = time.monotonic() + _WAIT_S
    while True:
        try:
            return attempt()
        except (OSError, httpx.HTTPError):
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


_LAST: Final = "[...document.querySelectorAll('[data-role=assistant]')].at(-1)"
_END: Final = "document.documentElement"
_AWAY: Final = f"{_END}.scrollHeight - {_END}.scrollTop - {_END}.clientHeight"


def journey(tab: Tab, url: str) -> None:
    """Load, send, stream, stop, scroll up, reload, share, go back, compare."""
    tab.go(url)
    tab.until("document.querySelector('#engine-state').dataset.state === 'ready'")
    tab.type("#chat-prompt", f"Hello!{_ENTER}")
    for height in (100, 700):  # and is still, where much has come between two events
        tab.until(f"{_END}.scrollTop > {height}")
        assert tab.run(_AWAY) <= 1, "the end is not followed"
    tab.run("document.activeElement.blur()")
    tab.press(_PAGE_UP)
    tab.until(f"{_AWAY} > 60")
    place = tab.run(f"window.place = {_END}.scrollTop")
    height = tab.run(f"{_END}.scrollHeight")
    tab.until(f"{_END}.scrollHeight > {height} + 100")
    assert tab.run(f"{_END}.scrollTop") <= place, "the reader is brought back to the end"
    tab.click("#chat-stop")
    tab.until(f"{_LAST}.dataset.state === 'stopped'")
    text = tab.run(f"{_LAST}.querySelector('.body').textContent")
    tab.go(url)
    tab.until(f"{_LAST}?.querySelector('.body').textContent.trim() === {json.dumps(text.strip())}")
    tab.click("#share")
    tab.until("document.querySelector('dialog.share')?.open ?? false")
    tab.run("history.back()")
    tab.until("!document.querySelector('dialog') && !history.state.layers")
    tab.click("#share")
    tab.until("history.state.layers === 1")
    tab.press(_ESCAPE)
    tab.until("!document.querySelector('dialog') && !history.state.layers")
    place = tab.run(f"{_END}.scrollTop")
    tab.click("#view-about-button")
    tab.until(f"{_END}.scrollTop === 0")
    tab.run("history.back()")
    tab.until(f"{_END}.scrollTop === {place} && {place} > 0")
    tab.run("location.hash = 'nowhere'")
    tab.until("document.querySelector('#page-notice').checkVisibility()")
    tab.until("history.state?.playground?.startsWith('chat') && !history.state.layers")
    tab.click("#view-compare-button")
    tab.until("document.querySelectorAll('section.column').length === 3")
    tab.type("#compare-prompt", f"Hello!{_ENTER}")
    tab.until("document.querySelector('.comparison .board').scrollTop > 400")
    tab.click("#compare-stop")
    tab.until("!document.querySelector('#comparison [data-state=streaming]')")


def denied(tab: Tab, url: str) -> None:
    """Site data are blocked: the page works, and says that it keeps nothing."""
    tab.go(url)
    tab.type("#chat-prompt", f"Hello!{_ENTER}")
    tab.until(f"{_LAST}?.querySelector('.body').textContent.length > 40")
    tab.until("document.querySelector('#notice').textContent.includes('does not let the page')")


def main(names: Sequence[str]) -> int:
    """Run the journeys. 1 when one has failed."""
    journeys = {
        "firefox": [(lambda: firefox({}), journey), (lambda: firefox(_DENIED), denied)],
        "webkit": [(webkit, journey)],
    }
    failed = False
    with upstream() as engine, serve(engine.url, rate_limit=1000) as site:
        for name in names or journeys:
            for browser, walk in journeys[name]:
                begun = time.monotonic()
                try:
                    with browser() as tab:
                        walk(tab, site.url + "/")
                    said = f"fine, in {time.monotonic() - begun:.0f} s"
                except Exception as error:
                    failed, said = True, f"FAILED: {error}"
                print(f"{name}, {walk.__name__}: {said}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
