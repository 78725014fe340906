"""The main job under a real systemd: recorded blocks go in, links of new posts come out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import conftest
from tests.system.machine import UNIT_STARTED, Entry, Machine

pytestmark = pytest.mark.system

BROADCASTER = "steembot-broadcaster.service"
BOT = "steembot-bot.service"
SOCKET = "steembot-broadcaster.socket"
UNITS = (SOCKET, BROADCASTER, BOT)
RECORDED = "blocks/steem_2017_2020.chain.jsonl"
FIRST_BLOCK = 30000000
NODE = "test-devnode.service"
NODE_URL = re.compile(r"http://127\.0\.0\.1:[0-9]+")


@pytest.fixture(scope="session")
def recorded(chaindata: Path) -> list[str]:
    """Return the links of the recorded chain's new posts, in chain order.

    Told apart here by rules of the chain, and not by the program's own code: a post has no
    parent author; the same permlink again, or a body that is a patch, is an edit.
    """
    seen: dict[str, bool] = {}
    for line in (chaindata / RECORDED).read_text().splitlines():
        for transaction in json.loads(line)["block"]["transactions"]:
            for operation in transaction["operations"]:
                value = operation["value"]
                if operation["type"] == "comment_operation" and not value["parent_author"]:
                    link = f"https://steemit.com/@{value['author']}/{value['permlink']}"
                    seen.setdefault(link, not value["body"].startswith("@@ "))
    links = [link for link, new in seen.items() if new]
    assert len(links) > 50
    return links


class Steembot:
    """steembot in a machine, as new: no state, no settings but a node, nothing running."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self._since = time.time()

    def serve(self, interval_s: float) -> None:
        """Start a node that serves the recorded chain from its first block on."""
        self.machine.run(
            *("systemd-run", "--unit", NODE, "--collect", "--quiet"),
            *("/usr/local/bin/steembot-devnode", "--port", "0"),
            *("--blocks", f"{conftest.CHAINDATA}/{RECORDED}", "--interval", str(interval_s)),
        )
        serving = self.machine.wait_for_entry(
            NODE, self.new(lambda e: bool(NODE_URL.search(e["MESSAGE"])))
        )
        self._node = NODE_URL.search(serving["MESSAGE"])[0]
        self.settings()

    def settings(self, *more: str) -> None:
        """Write the settings file: the node, where to begin, and more."""
        lines = [f"STEEMBOT_NODES={self._node}", f"STEEMBOT_START={FIRST_BLOCK}", *more]
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
        return [e["MESSAGE"] for e in entries if self.new(_is_link)(e)]

    def wait_for_links(self, count: int) -> None:
        """Wait until this many links were printed in this test."""
        seen = 0
        for entry in self.machine.follow(BOT, timeout_s=60):
            seen += self.new(_is_link)(entry)
            if seen >= count:
                return

    def kill(self, unit: str) -> float:
        """Kill -9 a unit's process. Return after how many seconds systemd had a new one ready."""
        killed = self.machine.kill(unit)
        started = self.machine.wait_for_entry(
            unit,
            lambda e: e.get("MESSAGE_ID") == UNIT_STARTED and _monotonic(e) > killed,
            timeout_s=15,
        )
        return _monotonic(started) - killed

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


def _monotonic(entry: Entry) -> float:
    return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6


def _is_link(entry: Entry) -> bool:
    # As a person would look for it, at the start of a line of the bot's or anywhere in it.
    return entry.get("_COMM") != "systemd" and "https://steemit.com/" in entry["MESSAGE"]


@pytest.fixture
def steembot(installed: Machine) -> Iterator[Steembot]:
    """Lend an installed steembot as new, and make it so again afterwards."""
    yield Steembot(installed)
    installed.systemctl("stop", "steembot.target", NODE, check=False)
    installed.systemctl("reset-failed")
    installed.run("sh", "-c", "rm -rf /var/lib/steembot-*")


def test_prints_the_links_of_new_posts(steembot: Steembot, recorded: list[str]) -> None:
    """The bot's journal holds each new post of the chain once, in order, and no reply."""
    steembot.serve(interval_s=0.05)
    steembot.machine.systemctl("start", "steembot.target")
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
    entries = [e for e in steembot.machine.journal(BOT) if steembot.new(_is_link)(e)]
    assert {e["SYSLOG_IDENTIFIER"] for e in entries} == {"steembot-bot"}


@pytest.mark.parametrize("victim", [BROADCASTER, BOT])
def test_a_killed_process_is_back_and_nothing_is_lost(
    steembot: Steembot, recorded: list[str], victim: str
) -> None:
    """After kill -9 only the victim is started again, within 4 s; each link comes once."""
    steembot.serve(interval_s=0.2)
    steembot.start()
    steembot.wait_for_links(5)
    before = steembot.lives()
    assert steembot.kill(victim) < 3 + 1
    after = steembot.lives()
    assert after.pop(victim) != before.pop(victim)
    assert after == before
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


def test_stops_altogether_and_goes_on(steembot: Steembot, recorded: list[str]) -> None:
    """Stopping the target leaves no process and no failed unit; a new start goes on from there."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2)
    steembot.start()
    steembot.wait_for_links(5)
    began = time.monotonic()
    machine.systemctl("stop", "steembot.target")
    assert time.monotonic() - began < 3
    assert steembot.processes() == []
    assert machine.systemctl("list-units", "--failed", "--plain", "--no-legend") == ""
    states = machine.systemctl("is-active", *UNITS, check=False).split()
    assert states == ["inactive"] * len(UNITS)
    steembot.start()
    assert machine.systemctl("is-active", *UNITS).split() == ["active"] * len(UNITS)
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


def test_each_process_runs_as_its_own_user(steembot: Steembot, recorded: list[str]) -> None:
    """No process is root, and the feed is for the group only."""
    steembot.serve(interval_s=0.05)
    machine = steembot.machine
    steembot.start()
    owners = {
        machine.run("ps", "-o", "user:32=,group:32=", str(machine.pid_of(unit))).stdout.split()[0]
        for unit in (BROADCASTER, BOT)
    }
    assert owners == {"steembot-broadcaster", "steembot-bot"}
    feed = machine.run("stat", "--format=%A %U %G", "/run/steembot/broadcaster.sock").stdout
    assert feed.split() == ["srw-rw----", "root", "steembot"]


def test_a_foreign_user_is_told_which_group_to_join(
    steembot: Steembot, recorded: list[str]
) -> None:
    """A bot of a user outside the group is refused, and its log names the group."""
    steembot.serve(interval_s=0.05)
    machine = steembot.machine
    steembot.start()
    tried = machine.run(
        *("timeout", "--preserve-status", "5", "/usr/local/bin/steembot-bot"),
        user="nobody",
        env={"STEEMBOT_STATE_DIR": "/tmp/nobody"},
        check=False,
    )
    assert "https://steemit.com/" not in tried.stdout + tried.stderr
    assert "group" in tried.stderr
    assert "'steembot'" in tried.stderr or " steembot" in tried.stderr


def test_a_wrong_setting_is_named_and_mending_it_is_enough(
    steembot: Steembot, recorded: list[str]
) -> None:
    """With an unknown setting the processes end with status 78 and name it; mended, they come."""
    machine = steembot.machine
    steembot.serve(interval_s=0.05)
    steembot.settings("STEEMBOT_NODE=oops")
    machine.systemctl("start", "steembot.target", check=False)
    ended = {"ExecMainStatus": "78"}
    for unit in (BROADCASTER, BOT):
        machine.wait_for_entry(unit, steembot.new(lambda e: "STEEMBOT_NODE" in e["MESSAGE"]))
        # It speaks before it ends.
        machine.wait_until(lambda unit=unit: machine.show(unit, "ExecMainStatus") == ended)
    steembot.settings()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


def test_without_its_socket_the_broadcaster_refuses(
    steembot: Steembot, recorded: list[str]
) -> None:
    """Run by systemd but given no socket, a broadcaster says so, and steals nobody's path."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2)
    steembot.start()
    before = steembot.lives()
    inode = machine.run("stat", "--format=%i", "/run/steembot/broadcaster.sock").stdout
    tried = machine.run(
        *("systemd-run", "--unit=test-thief", "--quiet", "--property=Type=notify"),
        *("--setenv=STEEMBOT_STATE_DIR=/tmp/thief", "/usr/local/bin/steembot-broadcaster"),
        check=False,
    )
    assert tried.returncode != 0
    machine.wait_for_entry(
        "test-thief.service",
        steembot.new(lambda e: "steembot-broadcaster.socket" in e["MESSAGE"]),
    )
    assert inode == machine.run("stat", "--format=%i", "/run/steembot/broadcaster.sock").stdout
    assert steembot.lives() == before
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


def test_the_service_does_not_start_with_its_socket_masked(installed: Machine) -> None:
    """Without the socket unit systemd refuses to start the service, and names the socket."""
    installed.systemctl("mask", "--runtime", SOCKET)
    try:
        tried = installed.run("systemctl", "start", BROADCASTER, check=False)
        assert tried.returncode != 0
        assert SOCKET in tried.stderr
    finally:
        installed.systemctl("unmask", "--runtime", SOCKET)


def test_the_units_are_correct(installed: Machine) -> None:
    """Its own checker has nothing to say against the installed units."""
    units = [f"/usr/local/lib/systemd/system/{unit}" for unit in ("steembot.target", *UNITS)]
    verified = installed.run("systemd-analyze", "verify", "--man=no", *units)
    assert verified.stdout + verified.stderr == ""


def test_the_processes_are_sandboxed(installed: Machine) -> None:
    """What systemd calls exposure is small: the bot reaches nothing, the broadcaster the net."""
    for unit, most in ((BROADCASTER, 1.5), (BOT, 0.5)):
        printed = installed.run("systemd-analyze", "security", "--no-pager", unit).stdout
        exposure = float(printed.strip().splitlines()[-1].split(":")[1].split()[0])
        print(unit, exposure)  # noqa: T201 (for whoever tightens it further)
        assert exposure <= most
