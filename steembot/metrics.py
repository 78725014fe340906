"""Metrics for Prometheus, where STEEMBOT_METRICS asks for them: its text format, and the way out.

Written here and not with prometheus-client, whose import costs a bot 9 MiB of its 32. Names and
units follow prometheus.io, "Metric and label naming"; the format is version 0.0.4 of
prometheus.io, "Exposition formats".

Standard library only. A process imports this module only if metrics are wanted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

from steembot import events
from steembot.metrics_file import File
from steembot.repeats import Repeats
from steembot.text import lines, one_line

if TYPE_CHECKING:
    from steembot.metrics_server import Server

log = logging.getLogger(__name__)

WRITE_EVERY_S = 5.0
"""How often the text file is written anew; Prometheus asks every 15 to 60 s."""

LABEL_CHARACTERS = 100
"""How much of a text that a node or a client chose becomes a label."""

MAX_TYPES = 200
"""Types of operations that are told apart: a lying node cannot make metrics without end."""

BUCKETS_S = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)

Labels = Mapping[str, str]
Address = tuple[str, int]


class Sample(NamedTuple):
    """One value. ``suffix`` is what a histogram's parts add to the name."""

    value: float
    labels: Labels = MappingProxyType({})
    suffix: str = ""


class Metric(NamedTuple):
    """One metric with all its values; ``kind`` is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


def render(metrics: Iterable[Metric]) -> str:
    """Write metrics as Prometheus reads them. One without a sample is left out."""
    lines = []
    for metric in metrics:
        if metric.samples:
            lines += [
                f"# HELP {metric.name} {_escaped(metric.help)}",
                f"# TYPE {metric.name} {metric.kind}",
            ]
        for sample in metric.samples:
            labels = ",".join(
                f'{name}="{_escaped(value, quotes=True)}"' for name, value in sample.labels.items()
            )
            place = f"{{{labels}}}" if labels else ""
            lines.append(f"{metric.name}{sample.suffix}{place} {sample.value!r}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = lines(text)
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


class Counts:
    """A counter with one label. One thread adds, any may read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, key: str, by: int = 1) -> None:
        """Count; what is one too many is counted as ``other``."""
        if key not in self._counts:
            key = one_line(key, LABEL_CHARACTERS)
        if key not in self._counts and len(self._counts) >= MAX_TYPES:
            key = "other"
        self._counts[key] = self._counts.get(key, 0) + by

    def samples(self, label: str, **others: str) -> list[Sample]:
        """Return a value for each key."""
        return [Sample(n, {**others, label: key}) for key, n in self._counts.copy().items()]


class Histogram:
    """Durations in seconds, by one label. One thread observes, any may read."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[list[int], list[float]]] = {}

    def observe(self, key: str, seconds: float) -> None:
        """Count a duration."""
        if key not in self._seen:
            key = one_line(key, LABEL_CHARACTERS)
        if key not in self._seen and len(self._seen) >= MAX_TYPES:
            key = "other"
        counts, total = self._seen.setdefault(key, ([0] * (len(BUCKETS_S) + 1), [0.0]))
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        total[0] += seconds

    def samples(self, label: str, **others: str) -> list[Sample]:
        """Return the buckets, the sum and the count for each key."""
        samples = []
        for key, (seen, total) in self._seen.copy().items():
            labels, counts, below = {**others, label: key}, list(seen), 0
            for bound, count in zip((*map(repr, BUCKETS_S), "+Inf"), counts, strict=True):
                below += count
                samples.append(Sample(below, {**labels, "le": bound}, "_bucket"))
            samples += [Sample(total[0], labels, "_sum"), Sample(below, labels, "_count")]
        return samples


def of_process(labels: Labels, begun: float, dropped: int) -> list[Metric]:
    """Metrics that every process has, ``labels`` its name. ``begun`` is in seconds since 1970."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    about = {**labels, "version": version("steembot")}
    return [
        Metric(
            "steembot_build_info", "gauge", "The running version; always 1.", [Sample(1, about)]
        ),
        Metric(
            "steembot_start_time_seconds",
            "gauge",
            "When the process started, since 1970: changes() of it counts restarts.",
            [Sample(begun, labels)],
        ),
        Metric(
            "steembot_resident_memory_bytes",
            "gauge",
            "Memory of the process (RSS).",
            [Sample(pages * os.sysconf("SC_PAGESIZE"), labels)],
        ),
        Metric(
            "steembot_log_entries_dropped_total",
            "counter",
            "Log entries that a stalled journal cost.",
            [Sample(dropped, labels)],
        ),
    ]


class Publisher:
    """Publishes what ``collect`` gives, from threads of its own. Use as a context manager.

    ``target`` is a folder, below which ``steembot-NAME.prom`` is kept new while the process runs,
    for node_exporter's textfile collector; or an address, where ``/metrics`` is served. ``collect``
    is called from any thread. Raises :class:`~steembot.errors.StartError` for an address that
    cannot be had; a file that cannot be written is said in the log, once a minute.
    """

    def __init__(
        self, target: Path | Address, name: str, collect: Callable[[], Iterable[Metric]]
    ) -> None:
        self._collect = collect
        self._stopping = threading.Event()
        self._file: File | None = None
        self._server: Server | None = None
        if isinstance(target, Path):
            self._file = File(target, name)
        else:
            from steembot.metrics_server import serve  # noqa: PLC0415 (a bot has no use for HTTP)

            self._server = serve(target, lambda: render(collect()))

    @property
    def address(self) -> Address:
        """Where it is served: with port 0 asked for, the one that was free."""
        assert self._server is not None  # noqa: S101 (asked of one that serves)
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def __enter__(self) -> Self:
        run = self._server.serve_forever if self._server is not None else self._write_on
        self._thread = threading.Thread(target=run, name="metrics", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._thread.join(1.0)
        if self._file is not None:
            self._file.remove()

    def _write_on(self) -> None:
        assert self._file is not None  # noqa: S101 (this thread runs for files only)
        repeats = Repeats()
        while not self._stopping.is_set():
            try:
                self._file.write(render(self._collect()))
            except OSError as error:
                if repeats.is_due("lost", time.monotonic()):
                    log.warning(
                        "metrics cannot be written to %s: %s",
                        self._file.path,
                        error.strerror,
                        extra=events.METRICS_LOST(),
                    )
            self._stopping.wait(WRITE_EVERY_S)
