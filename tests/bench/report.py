"""The figures as Markdown: what was promised and what came of it, then every table."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, Final

Result = dict[str, Any]

# Promised for two cores, one worker, and 50 tokens a second for each stream.
_NAMES: Final = {"direct": "engine alone", "ours": "playground", "naive": "naive ChatInterface"}


def markdown(results: Result) -> str:
    """The whole report."""
    machine = results["machine"]
    before, after = machine["load_before"][0], machine["load_after"][0]
    closed = results["page"]["closed_tab_ms"]
    parts = [
        "# Bench",
        f"{machine['when']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}, Python {machine['python']}, "
        f"Gradio {machine['gradio']}, Chromium {results['page']['browser']}. "
        f"Load average {before:.1f} before, {after:.1f} after; {results['seconds']:.0f} s in all. "
        f"{results['size']['tokens']} tokens at 50 tokens/s a stream; a stream starts 20 ms after "
        "the one before it, and the bursts all at once. Latency is from a token's emission to its "
        "arrival at the reader.",
        "## Promised",
        _table(("", "budget", "measured", "naive", ""), _budgets(results)),
        "## Streams",
        "Added: to the engine's own first token, of the same run. The naive app, which needs 0.4 s "
        f"of CPU for each stream, is asked for at most {max(results['size']['naive'])}.",
        _table(
            (
                "streams",
                "",
                "latency p50 / p95 / p99 (ms)",
                "first token p50 / p95 (ms)",
                "added (ms)",
                "CPU (µs/token)",
                "memory (MB)",
                "time / ideal",
                "complete / refused / failed",
                "p95 to naive",
                "CPU to naive",
            ),
            _streams(results["streams"]),
        ),
        "## All at once",
        _table(
            ("streams", "", "latency p50 / p95 / p99 (ms)", "first token p50 / p95 (ms)"),
            [
                (r["streams"], _NAMES[r["kind"]], _ms(r["latency"]), _ms(r["first"]))
                for r in results["bursts"]
            ],
        ),
        "## Comparison",
        _table(
            (
                "answers in one stream",
                "duration (s)",
                "latency p50 / p95 / p99 (ms)",
                "CPU (µs/token)",
            ),
            [
                (r["panes"], f"{r['duration'][0]:.3f}", _ms(r["latency"]), f"{r['cpu_us']:.0f}")
                for r in results["comparison"]
            ],
        ),
        "## Long conversations (10 readers)",
        _table(
            (
                "messages before",
                "",
                "first token p50 / p95 (ms)",
                "latency p50 / p95 / p99 (ms)",
                "CPU (µs/token)",
            ),
            [
                (
                    r["turns"],
                    _NAMES[r["kind"]],
                    _ms(r["first"]),
                    _ms(r["latency"]),
                    f"{r['cpu_us']:.0f}",
                )
                for r in results["conversations"]
            ],
        ),
        "## Stops",
        _table(
            ("engine", "answers", "closed after, median (ms)", "longest (ms)", "times"),
            [
                (
                    r["upstream"],
                    r["panes"],
                    f"{r['median_ms']:.1f}",
                    f"{r['max_ms']:.1f}",
                    r["times"],
                )
                for r in results["stops"]
            ]
            + [
                (
                    "silent, a closed tab in Chromium",
                    1,
                    f"{median(closed):.1f}",
                    f"{max(closed):.1f}",
                    len(closed),
                )
            ],
        ),
        "## The page in Chromium",
        _table(
            ("cold load", "usable (s)", "kB", "requests", "to other hosts"),
            [
                (
                    _NAMES[kind],
                    f"{results['page'][kind]['seconds']:.2f}",
                    f"{results['page'][kind]['kb']:.0f}",
                    f"{results['page'][kind]['requests']:.0f}",
                    results["page"][kind]["elsewhere"],
                )
                for kind in ("ours", "naive")
            ],
        ),
        _table(
            (
                "drawing an answer",
                "main thread (s)",
                "script",
                "layout",
                "style",
                "layouts",
                "heap (MB)",
            ),
            [
                (
                    r["what"],
                    f"{r['main_thread_s']:.2f}",
                    f"{r['script_s']:.2f}",
                    f"{r['layout_s']:.2f}",
                    f"{r['style_s']:.2f}",
                    r["layouts"],
                    f"{r['heap_mb']:.0f}",
                )
                for r in results["page"]["drawing"]
            ],
        ),
        "## Drops, starts, and the stand-in",
        _rest(results),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _ms(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" if value < 100 else f"{value:.0f}" for value in values)


def _row(rows: Sequence[Result], kind: str, streams: int) -> Result | None:
    return next((r for r in rows if (r["kind"], r["streams"]) == (kind, streams)), None)


def _added(rows: Sequence[Result], row: Result, at: int = 0) -> float | None:
    """Milliseconds to the first token that are not the engine's."""
    direct = _row(rows, "direct", row["streams"])
    return row["first"][at] - direct["first"][at] if direct else None


def _streams(rows: Sequence[Result]) -> list[Sequence[object]]:
    lines: list[Sequence[object]] = []
    for row in rows:
        naive = _row(rows, "naive", row["streams"]) if row["kind"] == "ours" else None
        added = _added(rows, row)
        lines.append(
            (
                row["streams"],
                _NAMES[row["kind"]],
                _ms(row["latency"]),
                _ms(row["first"]),
                "" if row["kind"] == "direct" or added is None else f"{added:.1f}",
                "" if row["kind"] == "direct" else f"{row['cpu_us']:.0f}",
                "" if row["kind"] == "direct" else f"{row['memory_mb']:.0f}",
                f"{row['of_ideal']:.3f}",
                f"{row['complete']} / {row['refused']} / {row['failed']}",
                f"1 : {naive['latency'][1] / row['latency'][1]:.1f}" if naive else "",
                f"1 : {naive['cpu_us'] / row['cpu_us']:.1f}" if naive else "",
            )
        )
    return lines


# By the number of streams, on two cores, with the load on the same machine.
_LATENCY_MS: Final = {1: 5.0, 10: 5.0, 50: 25.0, 100: 40.0, 200: 50.0, 400: 80.0}
_CPU_US: Final = {10: 150.0, 100: 70.0, 400: 55.0}


def _budgets(results: Result) -> list[Sequence[object]]:
    """Each promise that this run can judge, as (what, budget, measured, naive's, verdict)."""
    rows = results["streams"]
    lines: list[Sequence[object]] = []

    def judge(
        what: str, budget: float, measured: float, unit: str, naive: float | None = None
    ) -> None:
        digits = 0 if measured >= 100 else 1 if measured >= 10 else 2
        lines.append(
            (
                what,
                f"≤ {budget:g} {unit}".strip(),
                f"{measured:.{digits}f} {unit}".strip(),
                "" if naive is None else f"{naive:.{0 if naive >= 100 else 2}f} {unit}".strip(),
                "met" if measured <= budget else "**not met**",
            )
        )

    def naive(streams: int, figure: Callable[[Result], float | None]) -> float | None:
        row = _row(rows, "naive", streams)
        return figure(row) if row else None

    for streams, budget in _LATENCY_MS.items():
        if row := _row(rows, "ours", streams):
            judge(
                f"{streams} streams: p95 latency",
                budget,
                row["latency"][1],
                "ms",
                naive(streams, lambda r: float(r["latency"][1])),
            )
    for streams, budget in _CPU_US.items():
        if row := _row(rows, "ours", streams):
            judge(
                f"{streams} streams: server CPU a token",
                budget,
                row["cpu_us"],
                "µs",
                naive(streams, lambda r: float(r["cpu_us"])),
            )
    if row := _row(rows, "ours", 100):
        judge(
            "100 streams: added time to first token, p50",
            3,
            _added(rows, row) or 0.0,
            "ms",
            naive(100, lambda r: _added(rows, r)),
        )
        judge(
            "100 streams: memory",
            150,
            row["memory_mb"],
            "MB",
            naive(100, lambda r: float(r["memory_mb"])),
        )
    one, four = results["comparison"]
    judge("four answers against one, time", 1.1, four["duration"][0] / one["duration"][0], "×")
    judge("engine closed after a reader left, longest", 100, _longest_stop(results), "ms")
    page = results["page"]
    judge("page: cold to usable", 0.8, page["ours"]["seconds"], "s", page["naive"]["seconds"])
    judge(
        "page: requests to other hosts",
        0,
        page["ours"]["elsewhere"],
        "",
        page["naive"]["elsewhere"],
    )
    return lines


def _longest_stop(results: Result) -> float:
    longest: float = max(r["max_ms"] for r in results["stops"])
    tabs: list[float] = results["page"]["closed_tab_ms"]
    return max(longest, *tabs)


def _rest(results: Result) -> str:
    drops, starts = results["drops"], results["starts"]
    before, after = drops["before"], drops["after"]
    lines = [
        f"- {drops['times']} readers that vanish, in {drops['seconds']:.1f} s: "
        f"{before['descriptors']} file descriptors before, {after['descriptors']} after; "
        f"{before['memory_mb']:.1f} MB before, {after['memory_mb']:.1f} MB after; "
        f"{drops['closed_upstream']} streams closed at the engine.",
        f"- From the start of the process: app alive {starts['app_s']:.2f} s, page served "
        f"{starts['page_s']:.2f} s, stand-in ready {starts['stand_in_s']:.2f} s "
        f"(median of {starts['times']}).",
    ]
    lines.append(f"- Idle, the playground takes {results['idle_ms']:.0f} ms of CPU a second.")
    lines += [
        f"- Stand-in, {r['streams']} streams: {r['tokens_per_second']:,.0f} tokens/s, "
        f"{r['memory_mb']:.0f} MB."
        for r in results["stand_in"]
    ]
    return "\n".join(lines)
