"""The curves as one PNG: drawn as SVG here, and made into pixels by the browser of the tests."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from tests import browser as browsers

Result = dict[str, Any]
Series = tuple[str, str, Sequence[tuple[float, float]]]  # name, colour, points

_WIDTH, _HEIGHT = 380, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 40, 44
_COLOURS: Final = {"direct": "#7a8290", "ours": "#1d5fd1", "naive": "#c2410c"}
_NAMES: Final = {"direct": "engine alone", "ours": "playground", "naive": "naive ChatInterface"}


def draw(results: Result, path: Path) -> None:
    """Latency and CPU over the number of streams, and CPU over the conversation's length."""
    rows = results["streams"]
    kinds = [k for k in _COLOURS if any(r["kind"] == k for r in rows)]

    def series(key: str, at: int | None, chosen: Sequence[str]) -> list[Series]:
        return [
            (
                _NAMES[kind],
                _COLOURS[kind],
                [
                    (r["streams"], r[key] if at is None else r[key][at])
                    for r in rows
                    if r["kind"] == kind
                ],
            )
            for kind in chosen
        ]

    ours = [kind for kind in kinds if kind != "direct"]
    long = [(r["turns"], r["cpu_us"]) for r in results["conversations"] if r["kind"] == "ours"]
    panels = [
        _panel("p95 latency (ms)", "streams", series("latency", 1, kinds), logarithmic=True),
        _panel("server CPU (µs/token)", "streams", series("cpu_us", None, ours), logarithmic=True),
        _panel(
            "server CPU (µs/token), 10 streams",
            "messages before the question",
            [(_NAMES["ours"], _COLOURS["ours"], long)],
            logarithmic=False,
        ),
    ]
    width = _WIDTH * len(panels)
    body = "".join(
        f'<g transform="translate({i * _WIDTH},0)">{p}</g>' for i, p in enumerate(panels)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12"><rect width="100%" height="100%" '
        f'fill="#fff"/>{body}</svg>'
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browsers.executable(), args=list(browsers.FLAGS)
        )
        tab = browser.new_page(
            viewport={"width": width, "height": _HEIGHT}, device_scale_factor=1.5
        )
        tab.set_content(f"<style>body{{margin:0}}</style>{svg}")
        tab.screenshot(path=path)
        browser.close()


def _panel(title: str, below: str, lines: Sequence[Series], *, logarithmic: bool) -> str:
    points = [point for _, _, each in lines for point in each]
    right = max(x for x, _ in points)
    highest = max(y for _, y in points)
    if logarithmic:
        low = math.floor(math.log10(max(0.01, min(y for _, y in points))))
        top = math.ceil(math.log10(highest))
        ticks = [10.0**power for power in range(low, top + 1)]
    else:
        step = 10 ** math.floor(math.log10(highest))
        ticks = [step * i for i in range(math.ceil(highest / step) + 1)]

    def x_of(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right

    def y_of(y: float) -> float:
        first, last = ticks[0], ticks[-1]
        share = (y - first) / (last - first)
        if logarithmic:
            share = math.log10(max(y, first) / first) / math.log10(last / first)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [f'<text x="{_LEFT}" y="18" font-weight="600">{escape(title)}</text>']
    parts += [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y_of(tick):.1f}" '
        f'y2="{y_of(tick):.1f}" stroke="#e3e6eb"/>'
        f'<text x="{_LEFT - 6}" y="{y_of(tick) + 4:.1f}" text-anchor="end" '
        f'fill="#555">{tick:g}</text>'
        for tick in ticks
    ]
    shown = -math.inf
    for x in sorted({x for x, _ in points}):
        if x_of(x) - shown >= 24:
            shown = x_of(x)
            parts.append(
                f'<text x="{shown:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle" '
                f'fill="#555">{x:g}</text>'
            )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle" '
        f'fill="#555">{escape(below)}</text>'
    )
    for i, (name, colour, each) in enumerate(lines):
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in each)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in each
        ]
        parts.append(
            f'<text x="{_LEFT + i * 108}" y="33" font-size="11" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return "".join(parts)
