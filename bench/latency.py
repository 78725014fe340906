"""Latency at the head: from a block's appearance on the node to the handler, and what it costs.

Waiting for a hundred blocks of 3 seconds takes five minutes, so all contestants wait at the same
time, each at a node of its own. The nodes show their blocks at different moments of the slot, so
that no two contestants are busy with the same one at once; between those moments all are idle.
That this does not distort is measured too: steembot is there once more, for the first third of the
time, alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.frame import Effort, Tick, load, section
from bench.plots import Bars
from bench.processes import (
    PEERS,
    BenchError,
    Process,
    environment,
    folder,
    node,
    python,
    steembot,
)
from bench.report import Budget, budget, page, shown, table
from bench.sample import Sample, Section
from bench.stats import percentile

NAME = "latency"
TITLE = "Latency at the head"
PEERS_USED = ("steembot", "beem", "@hiveio/dhive", "steem")
OURS = "steembot"
ALONE = "steembot, alone"
LEARNING = 3
"""The first blocks are not counted: some of them were there before, and a stream settles."""

PERCENTILES = {"p50 ms": 0.5, "p95 ms": 0.95, "p99 ms": 0.99}


@dataclass
class Watch:
    """One contestant at its own node."""

    late_s: float
    node: Process
    speaker: Process
    processes: Sequence[Process]
    requests: int = 0
    first: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def listen(self) -> None:
        """Take note of the blocks that came."""
        for line in self.speaker.heard():
            told = _decode(line)
            if told is not None:
                self.seen.setdefault(told[0], told[1] - self.late_s)
        if not self.speaker.runs:
            raise BenchError(f"it ended: {self.speaker.complaint()}")

    def mark(self) -> None:
        """Begin to count: what was before is forgotten."""
        self.listen()
        self.seen.clear()
        self.requests = self._ask("requests")
        self.first = self._ask("head")

    def figures(self) -> dict[str, float]:
        """Return what came out since :meth:`mark`."""
        self.listen()
        blocks = self._ask("head") - self.first
        requests = self._ask("requests") - self.requests
        late = [1000 * seconds for num, seconds in self.seen.items() if num > self.first]
        if not late:
            raise BenchError("no block came")
        figures = {name: percentile(late, share) for name, share in PERCENTILES.items()}
        figures |= {"blocks": len(late), "requests/block": requests / max(1, blocks)}
        figures["MiB"] = sum(process.rss_mib for process in self.processes)
        return figures

    def _ask(self, question: str) -> int:
        self.node.say(question)
        return int(self.node.line(10.0))


def _decode(line: str) -> tuple[int, float] | None:
    try:
        told = json.loads(line)
        return int(told["block"]), float(told["late"])
    except (ValueError, TypeError, KeyError):
        return None  # what a library prints of its own


Start = Callable[[str, Path, ExitStack], tuple[Process, Sequence[Process]]]


def start_steembot(url: str, place: Path, stack: ExitStack) -> tuple[Process, Sequence[Process]]:
    """Start both processes; the bot speaks."""
    env = environment(
        STEEMBOT_NODES=url,
        STEEMBOT_SOCKET=place / "s",
        STEEMBOT_STATE_DIR=place,
        STEEMBOT_HANDLERS=PEERS / "head_bot.py",
    )
    both = [
        stack.enter_context(Process(steembot(name), env=env, cwd=place))
        for name in ("steembot-broadcaster", "steembot-bot")
    ]
    return both[1], both


def starts(command: Sequence[str]) -> Start:
    """Return what starts a program that gets the URL as its argument."""

    def start(url: str, place: Path, stack: ExitStack) -> tuple[Process, Sequence[Process]]:
        process = stack.enter_context(Process([*command, url], cwd=place))
        return process, [process]

    return start


CONTESTANTS: dict[str, Start] = {
    OURS: start_steembot,
    "beem stream": starts(python(PEERS / "head_beem.py")),
    "dhive": starts(node(PEERS / "head_dhive.js")),
    "steem-js": starts(node(PEERS / "head_steem.js")),
}


def watch(names: Sequence[str], blocks: int, tick: Tick) -> list[Sample]:
    """Let contestants follow a head each for so many blocks, all at once."""
    with ExitStack() as stack:
        watches: dict[str, Watch] = {}
        for place, name in enumerate(names):
            late_s = 3.0 * place / len(names)
            head = stack.enter_context(Process(python("-m", "bench.head_node", "--late", late_s)))
            url = head.line(60.0)
            lent = stack.enter_context(folder())
            speaker, processes = CONTESTANTS[name](url, lent, stack)
            watches[name] = Watch(late_s, head, speaker, processes)
        for count in range(LEARNING + blocks):
            if count == LEARNING:
                for each in watches.values():
                    each.mark()
            tick(f"{len(names)} at once, block {count + 1} of {LEARNING + blocks}")
            time.sleep(3.0)
        samples = []
        for name, each in watches.items():
            try:
                samples.append(Sample(name, "", 0, each.figures()))
            except BenchError as error:
                samples.append(Sample(name, "", 0, failed=str(error)[:200]))
    return samples


def steps(effort: Effort) -> int:
    """Return how often :func:`measure` ticks."""
    return effort.head_blocks + effort.head_blocks // 3 + 2 * LEARNING


def measure(effort: Effort, tick: Tick) -> Section:
    """Let all follow at once, then steembot alone."""
    before = load()
    samples = watch(list(CONTESTANTS), effort.head_blocks, tick)
    (alone,) = watch([OURS], effort.head_blocks // 3, tick)
    samples.append(Sample(ALONE, "", 0, alone.figures, alone.failed))
    return section(NAME, samples, before, PEERS_USED, blocks=effort.head_blocks)


def report(found: Section) -> str:
    """Return what is to be read about it."""
    head = ["", *PERCENTILES, "requests/block", "MiB", "blocks"]
    rows = []
    for name in found.contestants:
        failures = found.failures(name, "")
        cells = [shown(found.spread(name, "", figure)) for figure in head[1:]]
        rows.append([name, *([f"failed: {failures[0]}", *cells[1:]] if failures else cells)])
    return page(
        "Milliseconds from a block's appearance on the node, every 3 s, to the handler's first "
        "operation of it. A devnode makes the blocks, of 50 operations.",
        table(head, rows),
        f"With {found.settings['blocks']:g} blocks the p99 is the slowest one. All follow at the "
        "same time, each at a node of its own; the nodes show their blocks at different moments of "
        "the slot, so that no two contestants have a block at once, and between those moments all "
        "are idle. `steembot, alone` is the check that this does not distort. dhive and steem-js "
        "pass a block on only when the next one is there. A stream that looks every 3 s, as beem's "
        "and dhive's do, keeps the moment at which it happened to begin: between two runs its "
        "figure differs by up to 3 s. A request may be a batch of calls. MiB "
        "is resident memory, of steembot both processes together.",
    )


def budgets(found: Section) -> list[Budget]:
    """Return what was to be reached, and what was."""
    return [
        budget(
            "latency at the head, p50", found.spread(OURS, "", "p50 ms"), at_most=300, unit=" ms"
        ),
        budget("requests a block", found.spread(OURS, "", "requests/block"), at_most=3),
    ]


def plots(found: Section) -> list[Bars]:
    """Return the pictures."""
    return [
        Bars(
            name="latency",
            title="Latency at the head: ms from the node to the handler",
            panels=list(PERCENTILES),
            rows=found.contestants,
            values=[spreads for figure in PERCENTILES for spreads in found.spreads(figure)],
            highlight=OURS,
            log=True,
        )
    ]
