"""Catch-up: blocks a second from the node into a handler, at three distances from the node.

Everyone begins at block 1 of the same chain, on the same ready-made answers, and is measured from
its first operation on for some seconds. Each handler gets the operations of type ``comment``.
steembot is measured end to end: both processes, from an empty folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bench.frame import Effort, Measure, Tick, load, run, section
from bench.plots import Bars
from bench.processes import (
    PEERS,
    Process,
    environment,
    folder,
    node,
    python,
    steembot,
)
from bench.report import Budget, budget, page, ratios, spreads
from bench.sample import Section

NAME = "catchup"
TITLE = "Catch-up"
LATENCIES_MS = (0, 50, 200)
PEERS_USED = ("steembot", "beem", "@hiveio/dhive", "dsteem", "hive-stream")
OURS = "steembot"
CEILING = "plain HTTP, 4 connections"
PATIENCE_S = 60.0
OPERATIONS = 50

BEEM = {
    "beem batch 50": {"max_batch_size": 50},
    "beem 8 threads": {"threading": True, "thread_num": 8},
    "beem": {},
}


@contextmanager
def answers(latencies_ms: Sequence[float], *options: object) -> Iterator[Mapping[str, str]]:
    """Serve answers made beforehand; yields the URL of each latency."""
    with Process(python("-m", "bench.answers", *latencies_ms, *options)) as process:
        yield json.loads(process.line(120.0))


def measure_steembot(url: str, seconds: float, *, warm: bool = False) -> dict[str, float]:
    """Measure both processes from an empty folder on; ``warm``: after a window that counts not."""
    with folder() as place, ExitStack() as stack:
        env = environment(
            STEEMBOT_NODES=url,
            STEEMBOT_NODE_RATE=10_000,  # it is our own node
            STEEMBOT_START=1,
            STEEMBOT_SOCKET=place / "s",
            STEEMBOT_STATE_DIR=place,
            STEEMBOT_HANDLERS=PEERS / "catchup_bot.py",
            BENCH_SECONDS=seconds,
        )
        both = [
            stack.enter_context(Process(steembot(name), env=env, cwd=place))
            for name in ("steembot-broadcaster", "steembot-bot")
        ]
        if warm:
            both[1].figures(seconds + PATIENCE_S)
        before = [process.cpu_s for process in both]
        told = both[1].figures(seconds + PATIENCE_S)
        figures = {"blocks/s": told["blocks"] / told["seconds"]}
        for name, process, spent in zip(("broadcaster", "bot"), both, before, strict=True):
            figures[f"{name} MiB"] = process.peak_mib
            figures[f"{name} CPU us/block"] = 1e6 * (process.cpu_s - spent) / told["blocks"]
        return figures


def measure_peer(command: Sequence[str], seconds: float) -> dict[str, float]:
    """Measure a program that tells its own figures."""
    with folder() as place, Process(command, cwd=place) as process:
        told = process.figures(seconds + PATIENCE_S)
        return {"blocks/s": told["blocks"] / told["seconds"]}


def contestants(urls: Mapping[str, str], seconds: float) -> dict[str, Measure]:
    """Return everyone, by name; a case is the latency in words."""

    def url(case: str) -> str:
        return urls[case.partition(" ")[0]]

    def peer(*command: object) -> Measure:
        def measure(case: str) -> dict[str, float]:
            filled = [url(case) if part == "URL" else str(part) for part in command]
            return measure_peer(filled, seconds)

        return measure

    found: dict[str, Measure] = {OURS: lambda case: measure_steembot(url(case), seconds)}
    for connections in (4, 8):
        found[f"plain HTTP, {connections} connections"] = peer(
            *python(PEERS / "catchup_plain.py", "URL", seconds, connections)
        )
    for name, options in BEEM.items():
        found[name] = peer(*python(PEERS / "catchup_beem.py", "URL", seconds, json.dumps(options)))
    for name, package in (("dhive", "@hiveio/dhive"), ("dsteem", "dsteem")):
        found[name] = peer(*node(PEERS / "catchup_dhive.js", "URL", seconds, package))
    found["hive-stream"] = peer(*node(PEERS / "catchup_hive_stream.js", "URL", seconds))
    return found


def steps(effort: Effort) -> int:
    """Return how often :func:`measure` ticks."""
    return len(LATENCIES_MS) * effort.rounds * len(contestants({}, 0))


def measure(effort: Effort, tick: Tick) -> Section:
    """Measure everyone at every latency."""
    before = load()
    with answers(LATENCIES_MS, "--ops", OPERATIONS) as urls:
        everyone = contestants(urls, effort.window_s)
        cases = [f"{latency} ms" for latency in LATENCIES_MS]
        samples = run(everyone, cases, effort.rounds, tick)
    return section(
        NAME, samples, before, PEERS_USED, window_s=effort.window_s, operations=OPERATIONS
    )


def fastest(found: Section, prefix: str, case: str) -> str:
    """Return the contestant with the highest median whose name begins so."""
    medians = {
        name: spread.median
        for name in found.contestants
        if name.startswith(prefix) and (spread := found.spread(name, case, "blocks/s"))
    }
    return max(medians, key=lambda name: medians[name], default="")


def report(found: Section) -> str:
    """Return what is to be read about it."""
    return page(
        "Blocks a second from the node into a handler for `comment`, begun at block 1, "
        f"measured from the first operation on for {found.settings['window_s']:g} s. "
        f"Blocks of {found.settings['operations']:g} operations and 30 KB on average. "
        "The columns are what the node waits before it answers a request.",
        spreads(found, "blocks/s"),
        "steembot is so many times as fast, pair by pair:",
        ratios(found, OURS, "blocks/s"),
        "Plain HTTP asks for batches of 50 blocks and decodes nothing: it is what this node "
        "bears on this machine with whoever asks beside it. It leaves steembot's work undone: "
        "parsing, joining, storing, passing on, committing. On a machine with few cores that "
        "work takes the processor from the node: what it takes is in the section on scale, as "
        "processor time for each operation. With a long way to the node another bound is "
        "reached before: the broadcaster keeps some 10 MiB of answers ahead of the last joined "
        "block, so that its memory keeps within 64 MiB, and asks for no more. Near the node, where "
        "an answer takes no time, nearly all of the time is that work, which beem does less of.",
    )


def budgets(found: Section) -> list[Budget]:
    """Return what was to be reached, and what was."""
    held = []
    for case in found.cases:
        beem, plain = fastest(found, "beem", case), fastest(found, "plain", case)
        held.append(
            budget(
                f"catch-up at {case}, as a multiple of {beem}",
                found.ratio(OURS, beem, case, "blocks/s"),
                at_least=6.0,
            )
        )
        held.append(
            budget(
                f"catch-up at {case}, as a part of {plain}",
                found.ratio(OURS, plain, case, "blocks/s"),
                at_least=0.9,
            )
        )
    return held


def plots(found: Section) -> list[Bars]:
    """Return the pictures."""
    return [
        Bars(
            name="catchup",
            title="Catch-up: blocks/s into a handler",
            panels=[f"node answers after {case}" for case in found.cases],
            rows=found.contestants,
            values=found.spreads("blocks/s"),
            highlight=OURS,
            log=True,
        )
    ]
