"""steembot as installed in a machine: its units, its settings, its journal."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.system.machine import (
    UNIT_PROCESS_EXIT,
    UNIT_STARTED,
    UNIT_STARTING,
    Entry,
    Machine,
)

BROADCASTER = "steembot-broadcaster.service"
BOT = "steembot-bot.service"
SOCKET = "steembot-broadcaster.socket"
BOTS_OWN = "--identifier=steembot-bot"
"""Selects what the bot's processes said, even just before they were killed."""
UNITS = (SOCKET, BROADCASTER, BOT)
RECORDED = "blocks/steem_2017_2020.chain.jsonl"
FIRST_BLOCK = 30000000
NODE = "test-devnode.service"
SECOND_NODE = "test-second-devnode.service"
NODE_URL = re.compile(r"http://127\.0\.0\.1:[0-9]+")

HELD = 15
"""Of the recorded chain's 45 blocks, how many a node that is held has."""

CHAINDATA = "/srv/chaindata"
"""Where a machine sees the recorded chain, if there is one."""


def links_of(blocks: Iterable[dict[str, Any]]) -> list[str]:
    """Return the links of the new posts in these blocks, in chain order.

    Told apart here by rules of the chain, and not by the program's own code: a post has no
    parent author; the same permlink again, or a body that is a patch, is an edit.
    """
    seen: dict[str, bool] = {}
    for block in blocks:
        for transaction in block["transactions"]:
            for operation in transaction["operations"]:
                value = operation["value"]
                if operation["type"] == "comment_operation" and not value["parent_author"]:
                    link = f"https://steemit.com/@{value['author']}/{value['permlink']}"
                    seen.setdefault(link, not value["body"].startswith("@@ "))
    return [link for link, new in seen.items() if new]


def blocks_of(path: Path) -> list[dict[str, Any]]:
    """Return the blocks of a recorded chain."""
    return [json.loads(line)["block"] for line in path.read_text().splitlines()]


class Steembot:
    """steembot in a machine, as new: no state, no settings but a node, nothing running."""

    def __init__(self, machine: Machine):
        self.machine = machine
        machine.sync_journal()  # or the last lines of the test before would be taken for ours
        self._since = time.time()

    def serve(
        self, interval_s: float, blocks: str = f"{CHAINDATA}/{RECORDED}", *, held: bool = False
    ) -> None:
        """Start a node that serves a recorded chain from its first block on.

        With ``held`` it stands at an early block until :meth:`go_on`, however long that takes.
        """
        hold = ("--ready", str(HELD), "--fault", "frozen-head") if held else ()
        self.use(*self._serve(NODE, interval_s, blocks, *hold))

    def use(self, node: str, head: int) -> None:
        """Take the node at this address, whose chain's head is that block if it is held."""
        self.node, self._held_at = node, head
        self.settings()

    def wait_until_held(self) -> None:
        """Wait until the bot has handled and committed all that a held node has."""
        begun = f"block {self._held_at:,}, connected"
        self.machine.wait_until(
            lambda: self.machine.show(BOT, "StatusText")["StatusText"].startswith(begun),
            timeout_s=60,
        )

    def go_on(self) -> None:
        """Let a held node go on; what was due meanwhile is there at once."""
        asking = http.client.HTTPConnection(self.node.removeprefix("http://"), timeout=60)
        with contextlib.closing(asking):
            asking.request("DELETE", "/faults")
            assert asking.getresponse().status == 200

    @contextlib.contextmanager
    def another_node(self, interval_s: float) -> Iterator[str]:
        """Serve the same chain at another address, which is yielded, and end that afterwards."""
        try:
            yield self._serve(SECOND_NODE, interval_s, f"{CHAINDATA}/{RECORDED}")[0]
        finally:
            self.machine.systemctl("stop", SECOND_NODE, check=False)

    def _serve(self, unit: str, interval_s: float, blocks: str, *more: str) -> tuple[str, int]:
        self.machine.run(
            *("systemd-run", "--unit", unit, "--collect", "--quiet"),
            *("steembot-devnode", "--blocks", blocks, "--interval", str(interval_s), *more),
        )
        serving = self.machine.wait_for_entry(
            unit, self.new(lambda e: bool(NODE_URL.search(e["MESSAGE"])))
        )
        words = serving["MESSAGE"]
        return NODE_URL.search(words)[0], int(words.split()[-1])

    def settings(self, *more: str) -> None:
        """Write the settings file: the node, where to begin, and more."""
        lines = [f"STEEMBOT_NODES={self.node}", f"STEEMBOT_START={FIRST_BLOCK}", *more]
        text = "".join(f"{line}\n" for line in lines)
        self.machine.write("/etc/steembot/steembot.env", text)

    def start(self) -> None:
        """Start it and wait until every unit is ready, which starting the target alone does not."""
        self.machine.systemctl("start", "steembot.target", *UNITS)

    def new(self, wanted: Callable[[Entry], bool]) -> Callable[[Entry], bool]:
        """Narrow a condition on entries to those of this test."""
        return lambda entry: self._age(entry) > 0 and "MESSAGE" in entry and wanted(entry)

    def links(self) -> list[str]:
        """Return what `journalctl -u steembot-bot` holds of links."""
        entries = self.machine.journal(BOT)
        return [e["MESSAGE"] for e in entries if self.new(is_link)(e)]

    def wait_for_links(self, count: int) -> None:
        """Wait until this many links were printed in this test."""
        seen = 0
        for entry in self.machine.follow(BOT, timeout_s=60):
            seen += self.new(is_link)(entry)
            if seen >= count:
                return

    def wait_for_distinct_links(self, count: int) -> None:
        """Wait until this many different links were printed in this test."""
        seen: set[str] = set()
        for entry in self.machine.follow(BOTS_OWN, timeout_s=240):
            if self.new(is_link)(entry):
                seen.add(entry["MESSAGE"])
            if len(seen) >= count:
                return

    def kill(self, unit: str) -> float:
        """Kill -9 a unit's process, and wait until a new one is ready.

        Return for how many seconds systemd waited between the two.
        """
        killed = self.machine.kill(unit)
        ended, starting, _ = (
            self.machine.wait_for_entry(
                unit,
                lambda e, kind=kind: e.get("MESSAGE_ID") == kind and sent_s(e) > killed,
                timeout_s=60,
            )
            for kind in (UNIT_PROCESS_EXIT, UNIT_STARTING, UNIT_STARTED)
        )
        return sent_s(starting) - sent_s(ended)

    def stop(self) -> None:
        """Stop it altogether. Each process ends by itself, within the time that its unit gives it.

        systemd is asked for that, not a clock: this machine may be busy with other things. It
        remembers the result of a unit that failed, and forgets one that ended well.
        """
        self.machine.systemctl("stop", "steembot.target")
        for unit in (BROADCASTER, BOT):
            ended = self.machine.show(unit, "ActiveState", "Result")
            assert set(ended.values()) == {"inactive", "success"}, (unit, ended)

    def lives(self) -> dict[str, tuple[str, ...]]:
        """Return what changes when a unit is started again: its process, restarts, start time."""
        names = ("MainPID", "NRestarts", "ActiveEnterTimestampMonotonic")
        return {unit: tuple(self.machine.show(unit, *names).values()) for unit in UNITS}

    def processes(self) -> list[str]:
        """Return the processes of steembot's users."""
        users = "steembot-broadcaster,steembot-bot"
        found = self.machine.run("ps", "-u", users, "-o", "args=", check=False).stdout
        return found.splitlines()

    def _age(self, entry: Entry) -> float:
        return int(entry["__REALTIME_TIMESTAMP"]) / 1e6 - self._since


def sent_s(entry: Entry) -> float:
    """Return when an entry was sent, in seconds since 1970; journald may have read it later."""
    sent = entry.get("_SOURCE_REALTIME_TIMESTAMP", entry["__REALTIME_TIMESTAMP"])
    return int(sent) / 1e6


def is_link(entry: Entry) -> bool:
    # As a person would look for it, at the start of a line of the bot's or anywhere in it.
    return entry.get("_COMM") != "systemd" and "https://steemit.com/" in entry["MESSAGE"]
