"""The browser that the page's tests drive: the one that is there, else one that is installed now.

``python -m tests.browser`` (part of ``make test``) says which one it is. Without any, the tests of
the page are skipped and say so, unless PLAYGROUND_TESTS_REQUIRE_BROWSER is set.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

_INSTALLED: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_APPLICATION: Final = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")

# Of the browser's own window, which nobody sees, its address line alone loads two pages for what it
# suggests: more work than the page under test, for each new window. Chromium takes the last such
# list alone, so what Playwright switches off is said again.
_FEATURES_OFF: Final = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
# A test browser needs no network of its own; root in a container has no sandbox. Pages of a site
# in one profile share a process: to start one takes longer than to load the page.
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",
    f"--disable-features={','.join(_FEATURES_OFF)}",
)


def required() -> bool:
    """Whether tests without a browser are a failure."""
    return bool(os.environ.get("PLAYGROUND_TESTS_REQUIRE_BROWSER"))


def executable() -> str | None:
    """The path of a browser of the Chromium family, or None."""
    for name in _INSTALLED:
        if path := shutil.which(name):
            return path
    if _APPLICATION.exists():
        return str(_APPLICATION)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def _install() -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(
                ["apt-get", *step], check=False, env=environment, stdout=subprocess.DEVNULL
            )
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def main() -> int:
    """Install a browser when there is none. 1 when there is still none and one is required."""
    if executable() is None:
        print("No browser is installed; installing Chromium for the tests of the page.")
        _install()
    path = executable()
    if path is not None:
        print(f"The tests of the page use {path}.")
        return 0
    print("No browser could be installed: the tests of the page are SKIPPED.")
    return 1 if required() else 0


if __name__ == "__main__":
    sys.exit(main())
