"""Fifty times kill -9 under a real systemd, while a long chain of real blocks flows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.machine import Entry, Machine
from tests.system.swarm import (
    BOT,
    BOTS_OWN,
    BROADCASTER,
    RECORDED,
    Steembot,
    blocks_of,
    is_link,
    links_of,
)

pytestmark = pytest.mark.system

SEED = 1
KILLS = 50
ROUNDS = 10
INTERVAL_S = 0.2
CHAIN = "/srv/chain.jsonl"


def long_chain(path: Path) -> list[dict[str, Any]]:
    """Return the recorded blocks several times over, joined to one chain.

    The first round is as recorded. In the others each post has a permlink of its own, since the
    same one again would be an edit.
    """
    once = path.read_text()
    blocks: list[dict[str, Any]] = []
    for turn in range(ROUNDS):
        for line in once.splitlines():
            block = json.loads(line)["block"]
            if turn:
                num = int(blocks[-1]["block_id"][:8], 16) + 1
                digest = hashlib.sha256(f"{turn} {block['block_id']}".encode()).hexdigest()
                block |= {"previous": blocks[-1]["block_id"], "block_id": f"{num:08x}{digest[:32]}"}
                for operation in _operations(block):
                    if operation["type"] == "comment_operation":
                        operation["value"]["permlink"] += f"-{turn + 1}"
            blocks.append(block)
    assert blocks[: len(blocks) // ROUNDS] == blocks_of(path)
    return blocks


def _operations(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for transaction in block["transactions"]:
        yield from transaction["operations"]


class Links:
    """The links in the bot's journal, as they come."""

    def __init__(self, steembot: Steembot, entries: Iterator[Entry]):
        self._entries = filter(steembot.new(is_link), entries)

    def wait_for(self, more: int) -> None:
        """Wait until so many more were printed."""
        for _ in range(more):
            next(self._entries)


def test_fifty_kills_lose_nothing(steembot: Steembot, chaindata: Path) -> None:
    """Each link is there, in order, once; or twice, if it was in flight when its bot was killed."""
    blocks = long_chain(chaindata / RECORDED)
    expected = links_of(blocks)
    assert len(expected) > 500
    machine = steembot.machine
    machine.write(CHAIN, "".join(json.dumps({"block": block}) + "\n" for block in blocks))
    steembot.serve(INTERVAL_S, CHAIN)
    steembot.start()
    random_ = random.Random(SEED)
    kills = {BROADCASTER: 0, BOT: 0}
    killed = {BROADCASTER: 0, BOT: 0}
    with contextlib.closing(machine.follow(BOTS_OWN, timeout_s=580)) as entries:
        links = Links(steembot, entries)
        while sum(kills.values()) < KILLS:
            victims = random_.choice([[BOT], [BROADCASTER], *3 * [[BOT, BROADCASTER]]])
            random_.shuffle(victims)
            _wait_for_processes(machine, victims, killed)
            if random_.random() < 0.85:  # else: while they are still starting
                links.wait_for(random_.randrange(1, 25))
            for unit in victims:
                killed[unit] = machine.pid_of(unit)
                machine.kill(unit)
                kills[unit] += 1
    _wait_for_processes(machine, [BROADCASTER, BOT], killed)
    steembot.wait_for_distinct_links(len(expected))
    entries = [e for e in machine.journal(BOTS_OWN) if steembot.new(is_link)(e)]
    got = [entry["MESSAGE"] for entry in entries]
    doubled = [i for i, link in enumerate(got) if i and link == got[i - 1]]
    print(  # noqa: T201
        f"seed {SEED}: killed {kills[BROADCASTER]} broadcasters and {kills[BOT]} bots; "
        f"{len(expected)} links expected, {len(set(got) & set(expected))} printed, "
        f"{len(set(expected) - set(got))} missing, {len(doubled)} twice"
    )
    assert list(dict.fromkeys(got)) == expected
    assert len(got) - len(doubled) == len(expected), "a link that was doubled, but not in flight"
    for index in doubled:
        assert entries[index]["_PID"] != entries[index - 1]["_PID"], "doubled without a kill"
    assert len(doubled) <= kills[BOT]
    restarts = int(machine.show(BOT, "NRestarts")["NRestarts"])
    assert restarts == kills[BOT], "it died of something else too"


def _wait_for_processes(machine: Machine, units: list[str], killed: dict[str, int]) -> None:
    """Wait until each has a process that was not killed yet."""
    for unit in units:
        machine.wait_until(
            lambda unit=unit: machine.pid_of(unit) not in (0, killed[unit]), timeout_s=60
        )
