"""The whole report: what ``make bench`` writes to bench/README.md. Pure but for writing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from bench import catchup, cost, feed, latency, loss, scale, soak
from bench.plots import draw, picture
from bench.report import budget_table, table
from bench.sample import Section, load

FILE = Path(__file__).parent / "README.md"

SECTIONS: dict[str, ModuleType] = {
    module.NAME: module for module in (catchup, feed, latency, loss, cost, scale, soak)
}
"""What can be measured, in the order in which it is."""

ON_REQUEST = ("soak",)
"""What takes too long to be measured unless it is named."""

INTRODUCTION = """\
# steembot side by side with its peers

This page is written by `make bench`, from the figures in [results](results). It measures again, in
less than 15 minutes, and writes the page and its pictures anew; `make bench ONLY=feed` (or several
names: `ONLY="feed latency"`) replaces one part. It installs the peers by itself: packages from npm
and PyPI in the versions of [package-lock.json](package-lock.json) and
[requirements.lock](requirements.lock), into folders that git ignores, and with apt, as root, the
servers and tools that a Debian lacks. Debian starts a redis-server and a nats-server of its own
after that; the benchmark uses neither.

## Method

- **Real code, unchanged.** Each contestant runs as its package has it. What drives it stands in
  [peers](peers), in the way that its own documentation shows; `steembot` is its console scripts.
- **Ratios, not times.** Contestants take turns, and every round is begun by another one. A ratio is
  taken between two figures of the same round, seconds apart; tables have the median of those
  ratios, and in brackets the smallest and the largest. What else the machine does weighs on both.
- **One machine for all.** Node, contestant and measuring share its cores. A contestant that needs
  two processes, as steembot does, has to share them with itself.
- **What a figure leaves out** stands beside it. One that fails has its reason in the table.
- Where a budget is missed, the table of budgets says so, and its section why.
"""


def names(only: str) -> list[str]:
    """Return which sections are meant. Raises ``ValueError`` for one that there is not."""
    wanted = only.replace(",", " ").split()
    for each in wanted:
        if each not in SECTIONS:
            raise ValueError(f"there is no {each!r} to measure; there is: {', '.join(SECTIONS)}")
    return [each for each in SECTIONS if each in wanted or (not wanted and each not in ON_REQUEST)]


def text(sections: Mapping[str, Section]) -> str:
    """Return the page about these sections."""
    parts = [INTRODUCTION]
    budgets = [
        each for name, section in sections.items() for each in SECTIONS[name].budgets(section)
    ]
    if budgets:
        parts += ["## Budgets", "", budget_table(budgets), ""]
    for name, section in sections.items():
        module = SECTIONS[name]
        parts += [f"## {module.TITLE}", ""]
        parts += [line for bars in module.plots(section) for line in (picture(bars), "")]
        parts += [module.report(section), "", _where(section), ""]
    return "\n".join(parts).rstrip() + "\n"


def write(file: Path = FILE) -> None:
    """Write page and pictures from all that was ever measured."""
    sections = load(list(SECTIONS))
    for name, section in sections.items():
        for bars in SECTIONS[name].plots(section):
            draw(bars)
    new = file.with_suffix(".new")
    new.write_text(text(sections))
    new.replace(file)


def _where(section: Section) -> str:
    machine = section.machine
    words = (
        f"Taken {section.taken} on {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib:g} GiB, {machine.system}; "
        f"load before: {machine.load_before:g}."
    )
    versions = table(
        ["", "version"], [[name, version] for name, version in section.versions.items()]
    )
    return f"<details><summary>{words}</summary>\n\n{versions}\n\n</details>"
