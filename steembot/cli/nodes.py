"""``steembot nodes``: measure the configured nodes from here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import click
import msgspec

from steembot.chain.node import Head, Node
from steembot.cli import installation
from steembot.cli.console import Console, Progress, Table, say_json
from steembot.errors import NodeError

ROUNDS = 5
TIMEOUT_S = 10.0


class Measured(msgspec.Struct, frozen=True):
    """One node. ``latency_ms`` is the median of its good answers, ``age_s`` its head's age."""

    url: str
    latency_ms: float | None
    head: int | None
    behind: int | None
    age_s: int | None
    answers: int
    asked: int
    trouble: str


@click.command("nodes")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(*, as_json: bool) -> None:
    """Ask each configured node for its head a few times: latency, lag, errors.

    Ends with status 1 if no node answers.
    """
    given = installation.find().settings
    profile = given.profile
    measured = _measure([Node(url, timeout_s=TIMEOUT_S, profile=profile) for url in given.nodes])
    if as_json:
        say_json(measured)
    else:
        Console().print(_table(measured))
    if not any(node.answers for node in measured):
        raise SystemExit(1)


def _measure(nodes: list[Node]) -> list[Measured]:
    bar = Progress(console=Console(err=True), transient=True)
    with ThreadPoolExecutor(len(nodes)) as pool, bar:
        rounds = [
            list(pool.map(_ask, nodes)) for _ in bar.track(range(ROUNDS), description="asking")
        ]
    best = max((head.num for answers in rounds for head, _, _ in answers if head), default=0)
    return [_sum_up(node, [answers[i] for answers in rounds], best) for i, node in enumerate(nodes)]


def _ask(node: Node) -> tuple[Head | None, float, str]:
    begun = time.monotonic()
    try:
        return node.head(), time.monotonic() - begun, ""
    except NodeError as error:
        return None, time.monotonic() - begun, error.detail


def _sum_up(node: Node, answers: list[tuple[Head | None, float, str]], best: int) -> Measured:
    good = [(head, seconds) for head, seconds, _ in answers if head is not None]
    newest = max((head for head, _ in good), key=lambda head: head.num, default=None)
    troubles = [words for _, _, words in answers if words]
    return Measured(
        url=node.url,
        latency_ms=round(median(seconds for _, seconds in good) * 1000, 1) if good else None,
        head=newest.num if newest else None,
        behind=best - newest.num if newest else None,
        age_s=max(0, int(time.time()) - newest.timestamp) if newest else None,
        answers=len(good),
        asked=len(answers),
        trouble=troubles[-1] if troubles else "",
    )


def _table(measured: list[Measured]) -> Table:
    table = Table("node", "answers", "latency", "head", "behind", "age", "trouble")
    for node in measured:
        table.add_row(
            node.url,
            f"{node.answers}/{node.asked}",
            "" if node.latency_ms is None else f"{node.latency_ms:.0f} ms",
            "" if node.head is None else f"{node.head:,}",
            "" if node.behind is None else f"{node.behind:,}",
            "" if node.age_s is None else f"{node.age_s:,} s",
            node.trouble,
        )
    return table
