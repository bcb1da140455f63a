"""Counters, gauges and histograms under TGI's names, in Prometheus's text format.

Written from the event loop and the inference thread: a lock protects each write.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable

# TGI's buckets for every duration, in seconds: 35 steps, each 1.5 times the one before.
DURATIONS = tuple(0.0001 * 1.5**step for step in range(1, 36))

HELP = {
    "tgi_request_count": "Total number of requests",
    "tgi_request_success": "Number of successful requests",
    "tgi_request_failure": "Number of failed requests, by kind of error",
    "tgi_request_duration": "Request duration",
    "tgi_request_validation_duration": "Request validation duration",
    "tgi_request_queue_duration": "Request queue duration",
    "tgi_request_inference_duration": "Request inference duration",
    "tgi_request_mean_time_per_token_duration": "Mean time per token per request",
    "tgi_request_input_length": "Input token length per request",
    "tgi_request_max_new_tokens": "Maximum new tokens per request",
    "tgi_request_generated_tokens": "Generated tokens per request",
    "tgi_queue_size": "Current queue size",
    "tgi_batch_current_size": "Current batch size",
    "tgi_batch_inference_count": "Inference calls per method (prefill or decode)",
    "tgi_batch_inference_success": "Successful inference calls per method (prefill or decode)",
    "tgi_batch_inference_failure": "Failed inference calls per method (prefill or decode)",
    "tgi_batch_inference_duration": "Batch inference duration per method (prefill or decode)",
}


class Metrics:
    """TGI's metrics of this server.

    Args:
        max_total_tokens: The upper end of the buckets that count tokens.
    """

    def __init__(self, max_total_tokens: int) -> None:
        self._lock = threading.Lock()
        self._tokens = tuple(max_total_tokens / 100 * step for step in range(1, 101))
        self._values: dict[tuple[str, str], float] = {
            ("tgi_request_count", ""): 0,
            ("tgi_request_success", ""): 0,
            ("tgi_queue_size", ""): 0,
            ("tgi_batch_current_size", ""): 0,
        }
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter."""
        key = (name, _labels(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + 1

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._values[name, ""] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value (seconds, or tokens) into a histogram."""
        key = (name, _labels(labels.items()))
        bounds = self._bounds(name)
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(bounds) + 1))
            counts[bisect_left(bounds, value)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + value

    def _bounds(self, name: str) -> tuple[float, ...]:
        return DURATIONS if name.endswith("duration") else self._tokens

    def render(self) -> str:
        """All of it as text."""
        lines: list[str] = []
        with self._lock:
            values = sorted(self._values.items())
            histograms = sorted((key, list(counts)) for key, counts in self._counts.items())
            sums = dict(self._sums)
        last = ""
        for (name, labels), value in values:
            if name != last:
                kind = "gauge" if name.endswith("size") else "counter"
                lines += _head(name, kind)
                last = name
            lines.append(f"{name}{_braces(labels)} {value:g}")
        for (name, labels), counts in histograms:
            if name != last:
                lines += _head(name, "histogram")
                last = name
            total = 0
            ends = [*(f"{bound:.10g}" for bound in self._bounds(name)), "+Inf"]
            for end, number in zip(ends, counts, strict=True):
                total += number
                inside = _braces(labels, _labels([("le", end)]))
                lines.append(f"{name}_bucket{inside} {total}")
            lines.append(f"{name}_sum{_braces(labels)} {sums[name, labels]:.10g}")
            lines.append(f"{name}_count{_braces(labels)} {total}")
        return "\n".join(lines) + "\n"


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in pairs)


def _braces(*labels: str) -> str:
    inside = ",".join(label for label in labels if label)
    return f"{{{inside}}}" if inside else ""


def _head(name: str, kind: str) -> list[str]:
    return [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {kind}"]
