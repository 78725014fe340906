"""``make bench``: measure steembot side by side with its peers, and write bench/README.md.

    python -m bench [--quick] [NAME...]

Measures the named sections, or all but the soak; each is kept and reported when it is done, so an
end by Ctrl-C costs the one that runs. ``--quick`` takes one short round of everything, to see that
it runs; its figures are kept nowhere. No process is left behind, however this one ends.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import readme
from bench.frame import QUICK, Effort
from bench.report import budget_table
from bench.sample import save


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(readme.SECTIONS))
    parser.add_argument("--quick", action="store_true", help="one short round, kept nowhere")
    parser.add_argument("--write", action="store_true", help="only write the report once more")
    given = parser.parse_args()
    try:
        names = readme.names(" ".join(given.names))
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console()
    if given.write:
        readme.write()
        return
    effort = QUICK if given.quick else Effort()
    begun = time.monotonic()
    failed = 0
    columns = (
        TextColumn("{task.fields[section]:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        total = sum(readme.SECTIONS[name].steps(effort) for name in names)
        task = progress.add_task("", total=total, section="")
        for name in names:
            module = readme.SECTIONS[name]
            progress.update(task, section=name)
            done = progress.tasks[0].completed
            started = False

            def tick(words: str) -> None:
                nonlocal started
                progress.update(task, description=words, advance=1 if started else 0)
                started = True

            section = module.measure(effort, tick)
            progress.update(task, completed=done + module.steps(effort), description="")
            for sample in section.samples:
                if sample.failed:
                    failed += 1
                    progress.console.print(
                        f"{name}: {sample.contestant}, {sample.case}: {sample.failed}",
                        style="red",
                        highlight=False,
                    )
            if given.quick:
                progress.console.print(module.report(section), markup=False, highlight=False)
                progress.console.print(
                    budget_table(module.budgets(section)), markup=False, highlight=False
                )
            else:
                save(section)
                readme.write()
                progress.console.print(
                    budget_table(module.budgets(section)), markup=False, highlight=False
                )
    minutes = (time.monotonic() - begun) / 60
    told = "Nothing was kept" if given.quick else f"Written: {readme.FILE}"
    console.print(f"{told}. It took {minutes:.1f} minutes.", highlight=False)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Ended. What was done before is kept.")
