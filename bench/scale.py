"""Scale: full blocks, ten times and a hundred times as full."""

from __future__ import annotations

import json
from contextlib import ExitStack

from bench.catchup import answers, measure_peer, measure_steembot
from bench.frame import Effort, Measure, Tick, load, run, section
from bench.plots import Bars
from bench.processes import PEERS, node, python
from bench.report import Budget, page, shown, spreads, table
from bench.sample import Section
from bench.stats import Spread

NAME = "scale"
TITLE = "Scale"
PEERS_USED = ("steembot", "beem", "@hiveio/dhive")
OURS = "steembot"
FULL = 50
TIMES = {"1x": (1, 100), "10x": (10, 20), "100x": (100, 6)}
"""How many times as many operations are in a block, and how many different blocks are made."""
LATENCY_MS = 50
SLOT_S = 3.0
RATE = "operations/s"
COSTS = ("broadcaster MiB", "bot MiB", "broadcaster CPU us/op", "bot CPU us/op")


def contestants(urls: dict[str, str], seconds: float) -> dict[str, Measure]:
    """Return everyone, by name; a case is how full the blocks are."""

    def by_operations(figures: dict[str, float], case: str) -> dict[str, float]:
        operations = FULL * TIMES[case][0]
        found = {RATE: figures["blocks/s"] * operations}
        for name, value in figures.items():
            if name.endswith("us/block"):
                found[name.replace("us/block", "us/op")] = value / operations
            elif name.endswith("MiB"):
                found[name] = value
        return found

    def ours(case: str) -> dict[str, float]:
        return by_operations(measure_steembot(urls[case], seconds, warm=True), case)

    def peer(*command: str) -> Measure:
        def measure_it(case: str) -> dict[str, float]:
            filled = [urls[case] if part == "URL" else part for part in command]
            return by_operations(measure_peer(filled, seconds), case)

        return measure_it

    batch = json.dumps({"max_batch_size": 50})
    return {
        OURS: ours,
        "plain HTTP": peer(*python(PEERS / "catchup_plain.py", "URL", seconds, 4)),
        "beem batch 50": peer(*python(PEERS / "catchup_beem.py", "URL", seconds, batch)),
        "dhive": peer(*node(PEERS / "catchup_dhive.js", "URL", seconds, "@hiveio/dhive")),
    }


def steps(_effort: Effort) -> int:
    """Return how often :func:`measure` ticks."""
    return len(TIMES) * len(contestants({}, 0))


def measure(effort: Effort, tick: Tick) -> Section:
    """Measure everyone with blocks of each size."""
    before = load()
    with ExitStack() as stack:
        urls = {
            case: stack.enter_context(
                answers((LATENCY_MS,), "--ops", FULL * times, "--kinds", kinds)
            )[str(LATENCY_MS)]
            for case, (times, kinds) in TIMES.items()
        }
        samples = run(contestants(urls, effort.window_s), list(TIMES), 1, tick)
    return section(NAME, samples, before, PEERS_USED, window_s=effort.window_s)


def report(found: Section) -> str:
    """Return what is to be read about it."""
    costs = [
        [cost, *(shown(found.spread(OURS, case, cost)) for case in found.cases)] for cost in COSTS
    ]
    bears = []
    for name in found.contestants:
        cells = []
        for case in found.cases:
            rate = found.spread(name, case, RATE)
            most = None if rate is None else rate.median * SLOT_S / FULL
            cells.append(shown(None if most is None else Spread(most, most, most, 1)))
        bears.append([name, *cells])
    return page(
        f"The same as catch-up, at a node {LATENCY_MS} ms away, with blocks of {FULL} operations "
        f"(1x; 45 busy ones recorded on Steem from 2017 to 2020 have 35 on average), "
        f"of {10 * FULL} and of {100 * FULL}. One round. "
        f"Operations of the chain a second, of which the handler is given the comments:",
        spreads(found, RATE),
        "What that is in multiples of a load of 50 operations every 3 seconds: "
        "where the limit is of what this machine keeps up with.",
        table(["times that load", *found.cases], bears),
        "What steembot costs: the most resident memory, and processor time for each operation of "
        "the chain.",
        table(["", *found.cases], costs),
    )


def budgets(_found: Section) -> list[Budget]:
    """Nothing was promised."""
    return []


def plots(found: Section) -> list[Bars]:
    """Return the pictures."""
    return [
        Bars(
            name="scale",
            title="Catch-up in operations/s, with fuller blocks",
            panels=[f"{FULL * TIMES[case][0]} operations a block" for case in found.cases],
            rows=found.contestants,
            values=found.spreads(RATE),
            highlight=OURS,
            log=True,
        )
    ]
