"""What each measurement shares: who is measured when, what a failure is, what is kept."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError
from bench.sample import Machine, Sample, Section
from bench.stats import turns
from bench.versions import versions

Measure = Callable[[str], dict[str, float]]
"""Measures one contestant in a case; returns its figures by name."""

Tick = Callable[[str], None]
"""Called when something is done, with words for what comes next."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time is spent. ``window_s`` is what one measurement of a rate lasts."""

    rounds: int = 3
    window_s: float = 2.5
    head_blocks: int = 36
    node_down_s: float = 60.0
    soak_operations: int = 10_000_000


QUICK = Effort(rounds=1, window_s=1.0, head_blocks=6, node_down_s=10.0, soak_operations=500_000)
"""Just enough to see that everything runs."""


def run(
    contestants: Mapping[str, Measure], cases: Sequence[str], rounds: int, tick: Tick
) -> list[Sample]:
    """Measure each contestant in each case as often as there are rounds, taking turns.

    A contestant that fails has a sample that says why, and the others go on.
    """
    samples = []
    for case in cases:
        for number, name in turns(list(contestants), rounds):
            tick(f"{name}, {case}" if case else name)
            samples.append(one(name, case, number, contestants[name]))
    return samples


def one(name: str, case: str, number: int, measure: Measure) -> Sample:
    """Measure one contestant once."""
    try:
        return Sample(name, case, number, measure(case))
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        return Sample(name, case, number, failed=" ".join(str(error).split())[:200])


def section(
    name: str,
    samples: list[Sample],
    load_before: float,
    peers: Sequence[str],
    **settings: float | str,
) -> Section:
    """Put samples together with where, when and with which versions they were taken."""
    return Section(
        name=name,
        taken=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(load_before),
        versions=versions(peers),
        settings=settings,
        samples=samples,
    )


def machine(load_before: float) -> Machine:
    """Describe the machine that this runs on."""
    info: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    release = platform.freedesktop_os_release()
    return Machine(
        processor=info.get("model name", platform.machine()),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages * size / 2**30, 1),
        system=f"{release.get('PRETTY_NAME', 'Linux')}, Linux {platform.release()}",
        load_before=round(load_before, 2),
    )


def load() -> float:
    """How many processes wanted the processor in the last minute, on average."""
    return os.getloadavg()[0]
