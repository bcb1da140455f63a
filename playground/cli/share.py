"""`playground share`: demo links and snapshots for whoever runs the playground.

It works on the database itself, so a server need not run, and where one does, it follows at once.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from playground.domain.errors import InvalidRequest
from playground.domain.presets import load_presets
from playground.domain.validation import check
from playground.engines.factory import engine_addresses
from playground.settings import Settings
from playground.sharing.demo import TermsBody, shown_panes
from playground.store.demos import DemoLink
from playground.store.shares import Share
from playground.store.store import Store

# Whom demos belong to that are made here; no visitor can have this name.
OPERATOR: Final = "operator"
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def share(options: argparse.Namespace, settings: Settings) -> int:
    """Do what the command line asks for.

    Returns:
        The exit status.

    Raises:
        PlaygroundError: It cannot be done; the text says why.
    """

    async def run() -> int:
        async with aclosing(Store.from_settings(settings)) as store:
            return await _DOES[options.does](options, settings, store)

    return asyncio.run(run())


async def _demo(options: argparse.Namespace, settings: Settings, store: Store) -> int:
    system = options.system
    if options.system_file is not None:
        try:
            system = options.system_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(
                f"{options.system_file} cannot be read: {error}.", field="system"
            ) from error
    body: dict[str, Any] = {
        "title": options.title,
        "panes": [{"preset": preset, "seed": options.seed} for preset in options.preset],
        "system": system,
        "budget_tokens": options.budget,
        "max_new_tokens": options.max_new_tokens,
        "expires_in_s": None if options.expires is None else _seconds(options.expires),
    }
    try:
        terms = check(TermsBody, body).terms(
            load_presets(settings.presets_file),
            [address.id for address in engine_addresses(settings)],
        )
    except InvalidRequest as error:
        raise _in_options(error) from error
    link = await store.demos.create(OPERATOR, terms)
    root, guessed = _address(settings)
    address = f"{root}/d/{link.token}"
    print(address)
    for pane in shown_panes(link.demo):
        values = ", ".join(f"{name} {value:g}" for name, value in pane["sampler"].items())
        print(
            f"{pane['name']}: {values}; at most {pane['max_new_tokens']:,} tokens an answer",
            file=sys.stderr,
        )
    print(f"{_facts(link)}. `playground share off {address}` closes it.", file=sys.stderr)
    _say_guessed(guessed)
    return 0


def _in_options(error: InvalidRequest) -> InvalidRequest:
    """What is wrong with a demo in the words of the command line."""
    words = str(error).replace(", or null.", ".")
    for name, option in (("budget_tokens", "--budget"), ("max_new_tokens", "--max-new-tokens")):
        words = words.replace(name, option)
    return InvalidRequest(words.replace("expires_in_s", "--expires"), field=error.field)


async def _list(_: argparse.Namespace, settings: Settings, store: Store) -> int:
    address, guessed = _address(settings)
    demos, shares = await store.demos.all(), await store.shares.of()
    print("Demo links" if demos else "There are no demo links.")
    for link in demos:
        _row(link.demo.title, link.owner, _facts(link), f"{address}/d/{link.token}")
    print("Snapshots" if shares else "There are no snapshots.")
    for each in shares:
        _row(each.title, each.owner, _seen(each), f"{address}/s/{each.token}")
    if demos or shares:
        _say_guessed(guessed)
    return 0


async def _off(options: argparse.Namespace, _: Settings, store: Store) -> int:
    link = await store.demos.enable(_token(options.link), False)
    print(f"{link.demo.title!r} is off; running answers end within seconds.")
    return 0


async def _on(options: argparse.Namespace, _: Settings, store: Store) -> int:
    link = await store.demos.enable(_token(options.link), True)
    print(f"{link.demo.title!r} is on: {_facts(link)}.")
    return 0


async def _delete(options: argparse.Namespace, _: Settings, store: Store) -> int:
    await store.demos.delete(_token(options.link))
    print("The demo link is deleted; running answers end within seconds.")
    return 0


async def _revoke(options: argparse.Namespace, _: Settings, store: Store) -> int:
    await store.shares.delete(_token(options.link))
    print("The snapshot is withdrawn.")
    return 0


_DOES: Final[dict[str, Callable[[argparse.Namespace, Settings, Store], Awaitable[int]]]] = {
    "demo": _demo,
    "list": _list,
    "off": _off,
    "on": _on,
    "delete": _delete,
    "revoke": _revoke,
}


def _seconds(text: str) -> int:
    """A time such as 7d. Raises InvalidRequest."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if found is None:
        raise InvalidRequest(
            f"--expires {text} is no time; write 30m, 12h, 7d or 2w.", field="expires_in_s"
        )
    return int(found[1]) * _UNITS[found[2]]


def _token(link: str) -> str:
    """The token of a link, or the token itself."""
    return link.rstrip("/").rpartition("/")[2]


def _address(settings: Settings) -> tuple[str, bool]:
    """Where the page is, and whether that is only a guess."""
    seen = settings.seen_host()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(seen, seen)
    host = f"[{host}]" if ":" in host else host
    port = (settings.published_port or str(settings.port)).partition("-")[0]
    base = settings.public_url or f"http://{host}:{port}"
    return base.removesuffix(settings.root_path) + settings.root_path, not settings.public_url


def _say_guessed(guessed: bool) -> None:
    if guessed:
        print(
            "The address is a guess from PLAYGROUND_HOST and PLAYGROUND_PORT (in compose BIND and "
            "PORT): set PLAYGROUND_PUBLIC_URL to the one that others have. The end of the link is "
            "right.",
            file=sys.stderr,
        )


def _row(title: str, owner: str, facts: str, address: str) -> None:
    # Others chose the title; what is no character of a text would act upon the terminal.
    title = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in title)
    print(f"  {title}\n    {address}\n    {_whose(owner)}; {facts}")


def _whose(owner: str) -> str:
    """An owner in words: a browser is known by a cookie alone, and has no name."""
    kind, _, name = owner.partition(":")
    if owner == OPERATOR:
        return "made on the command line"
    return f"made by {name}" if kind == "user" else "made by a browser that nobody logged in with"


def _facts(link: DemoLink) -> str:
    state = "on" if link.enabled else "off"
    if link.expired:
        state = "over"
    facts = [state, f"{link.spent:,} of {link.budget:,} tokens spent"]
    if link.held:
        facts.append(f"{link.held:,} held by running answers")
    return "; ".join([*facts, _until(link.expires)])


def _seen(share: Share) -> str:
    over = share.expires is not None and share.expires <= time.time()
    views = "once" if share.views == 1 else f"{share.views:,} times"
    state = "over" if over else "on"
    return "; ".join([state, f"a {share.kind}", f"opened {views}", _until(share.expires)])


def _until(expires: int | None) -> str:
    if expires is None:
        return "without an end"
    return f"until {time.strftime('%Y-%m-%d %H:%M', time.gmtime(expires))} UTC"
