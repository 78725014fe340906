"""Cost: memory and processor time of each process, start to READY, instructions an operation."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.catchup import answers
from bench.feed import payload_text
from bench.frame import Effort, Tick, load, one, section
from bench.latency import CONTESTANTS
from bench.loss import start_original
from bench.plots import Bars
from bench.processes import (
    PEERS,
    BenchError,
    Process,
    environment,
    folder,
    python,
    steembot,
)
from bench.report import Budget, budget, page, shown, table
from bench.sample import Sample, Section

NAME = "cost"
TITLE = "Cost"
PEERS_USED = ("steembot", "beem", "@hiveio/dhive", "steem-original", "node-ipc")
OURS = "steembot"
LIVE, READY, INSTRUCTIONS, RUN = "live", "start", "callgrind", "run"
ROLES = ("broadcaster", "bot")
LIVE_BLOCKS = 20
LEARNING_BLOCKS = 3
STARTS = 5
INSTRUCTION_BLOCKS = (20, 120)
FULL_MIB = {"broadcaster": 64, "bot": 32}
READY_S = {"broadcaster": 0.6, "bot": 0.2}


def live(blocks: int, tick: Tick) -> list[Sample]:
    """Let everyone follow one node, a block a second; weigh each process."""
    with ExitStack() as stack:
        head = stack.enter_context(Process(python("-m", "bench.head_node", "--interval", 1)))
        url = head.line(60.0)
        processes: dict[str, Process] = {}
        for name, start in CONTESTANTS.items():
            _, started = start(url, stack.enter_context(folder()), stack)
            if len(started) == len(ROLES):
                for role, process in zip(ROLES, started, strict=True):
                    processes[f"{name} {role}"] = process
            else:
                processes[name] = started[0]
        place = stack.enter_context(folder())
        for role in ROLES:
            process = stack.enter_context(start_original(role, url, place))
            processes[f"the article's {role}"] = process
        before: Mapping[str, float] = {}
        for count in range(LEARNING_BLOCKS + blocks):
            tick(f"live, block {count + 1}")
            time.sleep(1.0)
            if count == LEARNING_BLOCKS - 1:
                before = {name: each.cpu_s for name, each in processes.items()}
        return [
            Sample(
                name,
                LIVE,
                0,
                {"MiB": each.rss_mib, "CPU ms/block": 1000 * (each.cpu_s - before[name]) / blocks},
            )
            if each.runs
            else Sample(name, LIVE, 0, failed=each.complaint())
            for name, each in processes.items()
        ]


def start_to_ready(role: str, url: str) -> dict[str, float]:
    """Return how long a process takes until it tells systemd that it is ready."""
    with (
        folder() as place,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(str(place / "s"))
        listener.listen(64)
        listener.setblocking(False)
        notified.bind(str(place / "notify"))
        notified.settimeout(20.0)
        env = environment(
            STEEMBOT_NODES=url,
            STEEMBOT_SOCKET=place / "s",
            STEEMBOT_STATE_DIR=place,
            NOTIFY_SOCKET=place / "notify",
            **({"LISTEN_FDS": 1, "LISTEN_FDNAMES": "broadcaster"} if role == ROLES[0] else {}),
        )
        inherited = listener if role == ROLES[0] else None
        begun = time.monotonic()
        with Process(steembot(f"steembot-{role}"), env=env, cwd=place, listener=inherited):
            while True:
                try:
                    told = notified.recv(4096)
                except TimeoutError:
                    raise BenchError(f"{role} never told READY=1") from None
                if b"READY=1" in told.split(b"\n"):
                    return {"s": time.monotonic() - begun}


def instructions(blocks: int) -> tuple[int, int]:
    """Return how many instructions a process with so many blocks takes, and their operations."""
    with folder() as place:
        (place / "payload").write_text(payload_text())
        done = subprocess.run(
            [
                *("setpriv", "--pdeathsig", "KILL", "--", "valgrind", "--tool=callgrind"),
                *("--callgrind-out-file=/dev/null", os.path.realpath(sys.executable)),
                str(PEERS / "feed_instructions.py"),
                *(str(place / "s"), str(place / "payload"), str(blocks)),
            ],
            # The interpreter itself, not the virtual environment's link: callgrind follows none.
            env=environment(PYTHONHASHSEED=0, PYTHONPATH=_paths()),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise BenchError(f"callgrind: {(done.stderr.splitlines() or ['no word'])[-1]}")
    return int(found[1]), int(done.stdout)


def _paths() -> str:
    return os.pathsep.join([str(Path.cwd()), *(path for path in sys.path if "site-pack" in path)])


def per_operation(_case: str = "") -> dict[str, float]:
    """Return the instructions for one more operation: what start and end cost cancels out."""
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is not installed")
    (few, few_operations), (many, many_operations) = map(instructions, INSTRUCTION_BLOCKS)
    return {"instructions/operation": (many - few) / (many_operations - few_operations)}


def flat_out(operations: int, seconds: float, tick: Tick) -> Sample:
    """Catch up with so many operations, or for so long, and weigh both processes meanwhile."""
    with answers((0,), "--ops", 50) as urls, folder() as place, ExitStack() as stack:
        env = environment(
            STEEMBOT_NODES=urls["0"],
            STEEMBOT_NODE_RATE=10_000,
            STEEMBOT_START=1,
            STEEMBOT_SOCKET=place / "s",
            STEEMBOT_STATE_DIR=place,
            STEEMBOT_HANDLERS=PEERS / "catchup_bot.py",
            BENCH_SECONDS=1,
        )
        both = [
            stack.enter_context(Process(steembot(f"steembot-{role}"), env=env, cwd=place))
            for role in ROLES
        ]
        blocks = 0.0
        weights: list[tuple[float, ...]] = []
        deadline = time.monotonic() + seconds
        while blocks * 50 < operations and time.monotonic() < deadline:
            blocks += both[1].figures(60.0)["blocks"]
            weights.append(tuple(each.rss_mib for each in both))
            tick(f"{blocks * 50:,.0f} operations")
        figures = {"operations": blocks * 50}
        for place_of, role in enumerate(ROLES):
            own = [weight[place_of] for weight in weights]
            figures[f"{role} MiB in the first tenth"] = max(own[: max(1, len(own) // 10)])
            figures[f"{role} MiB in the last tenth"] = max(own[-max(1, len(own) // 10) :])
            figures[f"{role} MiB at most"] = both[place_of].peak_mib
        return Sample(OURS, RUN, 0, figures)


def steps(effort: Effort) -> int:
    """Return how often :func:`measure` ticks."""
    return LEARNING_BLOCKS + LIVE_BLOCKS + STARTS * len(ROLES) + 1 + _run_s(effort)


def _run_s(effort: Effort) -> int:
    return 4 * effort.rounds


def measure(effort: Effort, tick: Tick) -> Section:
    """Measure all of it."""
    before = load()
    samples = live(LIVE_BLOCKS, tick)
    with answers((0,), "--kinds", 20) as urls:
        for number in range(STARTS):
            for role in ROLES:
                tick(f"start to READY, {role}")
                samples.append(
                    one(role, READY, number, lambda _, role=role: start_to_ready(role, urls["0"]))  # type: ignore[misc]
                )
    tick("instructions, by callgrind")
    samples.append(one(OURS, INSTRUCTIONS, 0, per_operation))
    samples.append(flat_out(effort.soak_operations, float(_run_s(effort)), tick))
    return section(NAME, samples, before, PEERS_USED, live_blocks=LIVE_BLOCKS)


def run_table(found: Section) -> str:
    """Write what the processes weigh while they run at full speed."""
    figures = next(found.of(OURS, RUN)).figures
    columns = ("in the first tenth", "in the last tenth", "at most")
    return table(
        ["MiB", *columns],
        [
            [f"steembot {role}", *(f"{figures[f'{role} MiB {column}']:.1f}" for column in columns)]
            for role in ROLES
        ],
    )


def report(found: Section) -> str:
    """Return what is to be read about it."""
    rows = []
    for sample in found.of(case=LIVE):
        cells = [shown(found.spread(sample.contestant, LIVE, each)) for each in _LIVE_FIGURES]
        failed = [f"failed: {sample.failed}", *cells[1:]] if sample.failed else cells
        rows.append([sample.contestant, *failed])
    counted = found.spread(OURS, INSTRUCTIONS, "instructions/operation")
    why = "".join(f" ({each})" for each in found.failures(OURS, INSTRUCTIONS))
    operations = next(found.of(OURS, RUN)).figures["operations"]
    return page(
        f"Live, all at one node that makes a block of 50 operations a second, for "
        f"{found.settings['live_blocks']:g} blocks: resident memory at the end, and processor time "
        "of each process.",
        table(["process", *_LIVE_FIGURES], rows),
        "From start to `READY=1`, as systemd sees it:",
        table(
            ["process", "s"],
            [[f"steembot {role}", shown(found.spread(role, READY, "s"))] for role in ROLES],
        ),
        f"Instructions for one operation from the feed's server into a parsed `Operation`, both "
        f"ends in one process, by callgrind: {shown(counted)}{why}.",
        f"At full speed through {operations:,.0f} operations, resident memory:",
        run_table(found),
    )


_LIVE_FIGURES = ("MiB", "CPU ms/block")


def budgets(found: Section) -> list[Budget]:
    """Return what was to be reached, and what was."""
    return [
        *(
            budget(
                f"{role}'s memory, live",
                found.spread(f"{OURS} {role}", LIVE, "MiB"),
                at_most=FULL_MIB[role],
                unit=" MiB",
            )
            for role in ROLES
        ),
        *run_budgets(found),
        *(
            budget(
                f"{role}, start to READY",
                found.spread(role, READY, "s"),
                at_most=READY_S[role],
                unit=" s",
            )
            for role in ROLES
        ),
    ]


def run_budgets(found: Section) -> list[Budget]:
    """Return the budgets of memory at full speed."""
    operations = next(found.of(OURS, RUN)).figures["operations"]
    return [
        budget(
            f"{role}'s memory through {operations:,.0f} operations",
            found.spread(OURS, RUN, f"{role} MiB at most"),
            at_most=FULL_MIB[role],
            unit=" MiB",
        )
        for role in ROLES
    ]


def plots(found: Section) -> list[Bars]:
    """Return the pictures."""
    names = [sample.contestant for sample in found.of(case=LIVE)]
    return [
        Bars(
            name="cost",
            title="What each process costs at the head, a block a second",
            panels=list(_LIVE_FIGURES),
            rows=names,
            values=[[found.spread(name, LIVE, each) for name in names] for each in _LIVE_FIGURES],
            highlight=OURS,
        )
    ]
