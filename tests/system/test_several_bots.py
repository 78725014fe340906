"""Several bots beside each other under a real systemd, each with its own fate and sandbox."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import conftest
from tests.system.machine import Entry, Machine

pytestmark = pytest.mark.system

RECORDED = "blocks/steem_2017_2020.chain.jsonl"
FIRST_BLOCK = 30000000
NODE = "test-several-devnode.service"
NODE_URL = re.compile(r"http://127\.0\.0\.1:[0-9]+")
PARKED = "9d35f6e1a7be4f5c8d0b6a5d6f3c2e71"

# Each counts transfers and says so; what is wrong with two of them stands in their settings files.
HANDLERS = """
import os
import signal
import time

from steembot.bot import Bot

bot = Bot()
broken = os.environ.get("BROKEN")
victims = os.environ.get("VICTIMS", "").split(",")


@bot.on("transfer")
def count(op, ctx):
    ctx.state["seen"] = ctx.state.get("seen", 0) + 1
    ctx.log.info("transfer %s", op.cursor)
    if str(op.cursor) not in victims:
        return
    if broken == "raise":
        raise RuntimeError("every seventh")
    if broken == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while broken == "hang":
        time.sleep(1)
"""


@pytest.fixture(scope="module")
def cursors(chaindata: Path) -> list[str]:
    """Return the cursors of all transfers of the recorded chain."""
    found = []
    for line in (chaindata / RECORDED).read_text().splitlines():
        block = json.loads(line)["block"]
        num = int(block["block_id"][:8], 16)
        for trx, transaction in enumerate(block["transactions"]):
            for index, operation in enumerate(transaction["operations"]):
                if operation["type"] == "transfer_operation":
                    found.append(f"{num}-{block['block_id']}-{trx}-{index}-0")
    return found


class Bots:
    """An installed steembot with a node, and any number of bots beside the first."""

    def __init__(self, machine: Machine):
        self.machine = machine
        machine.sync_journal()  # or the last lines of the test before would be taken for ours
        self._since = time.time()

    def serve(self) -> None:
        """Start a node with the whole recorded chain, and name it in the settings."""
        run = self.machine.run
        run(
            *("systemd-run", "--unit", NODE, "--collect", "--quiet"),
            *("/usr/local/bin/steembot-devnode", "--port", "0"),
            *("--blocks", f"{conftest.CHAINDATA}/{RECORDED}", "--interval", "0.02"),
        )
        serving = self.machine.wait_for_entry(
            NODE, self.new(lambda e: bool(NODE_URL.search(e["MESSAGE"])))
        )
        url = NODE_URL.search(serving["MESSAGE"])[0]
        # What is said here of the first bot's handlers must not reach the others.
        self.machine.write(
            "/etc/steembot/steembot.env",
            f"STEEMBOT_NODES={url}\nSTEEMBOT_START={FIRST_BLOCK}\n"
            "STEEMBOT_HANDLERS=steembot.bot.handlers.new_posts\nSTEEMBOT_BOT_NAME=first\n",
        )

    def add(self, name: str, settings: str = "") -> None:
        """Give a bot its handlers and settings; it is not started."""
        self.machine.write(f"/etc/steembot/bots/{name}.py", HANDLERS)
        self.machine.write(f"/etc/steembot/bots/{name}.env", settings)
        # Root's alone: systemd hands it on.
        self.machine.run("chmod", "600", f"/etc/steembot/bots/{name}.env")

    def lines(self, name: str) -> list[str]:
        """Return the cursors of the transfers that a bot named, in order."""
        entries = self.machine.journal(f"steembot-bot@{name}.service")
        said = [e["MESSAGE"] for e in entries if self.new(lambda e: True)(e)]
        return [m.removeprefix("transfer ") for m in said if m.startswith("transfer ")]

    def parked(self, name: str) -> list[Entry]:
        """Return what an alarm that is hooked to a journal match would hear of a bot."""
        unit = f"steembot-bot@{name}.service"
        return list(
            filter(
                self.new(lambda e: e.get("_SYSTEMD_UNIT") == unit),
                self.machine.journal(unit, f"MESSAGE_ID={PARKED}"),
            )
        )

    def wait_for(self, name: str, words: str, timeout_s: float = 60) -> Entry:
        """Wait until a bot's journal holds these words."""
        return self.machine.wait_for_entry(
            f"steembot-bot@{name}.service",
            self.new(lambda e: words in e["MESSAGE"]),
            timeout_s=timeout_s,
        )

    def dead_letters(self, name: str) -> list[dict]:
        """Return what the command lists, as root, without any other setting."""
        printed = self.machine.run("/usr/local/bin/steembot", *_LIST, "--bot", name).stdout
        return json.loads(printed)

    def has_state(self, name: str) -> bool:
        """Tell whether there is anything yet in which dead letters could be."""
        listing = ("/usr/local/bin/steembot", *_LIST, "--bot", name)
        return self.machine.run(*listing, check=False).returncode == 0

    def new(self, wanted: Callable[[Entry], bool]) -> Callable[[Entry], bool]:
        """Narrow a condition on entries to those of this test."""
        return lambda entry: (
            int(entry["__REALTIME_TIMESTAMP"]) / 1e6 > self._since
            and isinstance(entry.get("MESSAGE"), str)
            and wanted(entry)
        )


_LIST = ("dead-letters", "list", "--json")


@pytest.fixture
def bots(installed: Machine) -> Iterator[Bots]:
    """Lend an installed steembot as new, and make it so again afterwards."""
    yield Bots(installed)
    installed.systemctl("disable", "steembot-bot@.service", check=False)
    installed.systemctl("stop", "steembot.target", "steembot-bot@*.service", NODE, check=False)
    installed.systemctl("reset-failed")
    conftest.forget(installed)
    installed.run("sh", "-c", "rm -rf /etc/steembot/bots/* /run/systemd/system/steembot-bot@*.d")
    installed.systemctl("daemon-reload")


def test_each_bot_has_its_own_fate(bots: Bots, cursors: list[str]) -> None:
    """One raises on every seventh, one kills itself, one is well; each gets what it deserves.

    The well one's output is the expected one. The others' dead letters are the expected ones, and
    redriving after the mend empties them.
    """
    seventh = cursors[6::7]
    fatal = [cursors[5], cursors[-1]]
    bots.serve()
    bots.add("well")
    bots.add("raises", f"BROKEN=raise\nVICTIMS={','.join(seventh)}\n")
    bots.add("dies", f"BROKEN=kill\nVICTIMS={','.join(fatal)}\n")
    units = [f"steembot-bot@{name}" for name in ("well", "raises", "dies")]
    bots.machine.systemctl("enable", "--now", *units)
    bots.machine.systemctl("start", "steembot.target")
    bots.wait_for("well", cursors[-1])
    machine = bots.machine
    for name in ("raises", "dies"):
        machine.wait_until(lambda name=name: bots.has_state(name), timeout_s=60)
    machine.wait_until(lambda: len(bots.dead_letters("dies")) == len(fatal), timeout_s=90)
    machine.wait_until(lambda: len(bots.dead_letters("raises")) == len(seventh), timeout_s=90)
    bots.wait_for("raises", cursors[-1])

    assert bots.lines("well") == cursors
    assert bots.dead_letters("well") == []
    assert machine.show(units[0], "NRestarts") == {"NRestarts": "0"}
    assert [one["cursor"] for one in bots.dead_letters("raises")] == seventh
    assert [one["cursor"] for one in bots.dead_letters("dies")] == fatal
    # It is said a moment later than it is done.
    machine.wait_until(lambda: len(bots.parked("dies")) >= len(fatal))
    assert len(bots.parked("dies")) == len(fatal)

    # The mend: settings without what was broken, and a restart.
    for name in ("raises", "dies"):
        bots.machine.write(f"/etc/steembot/bots/{name}.env", "")
    machine.systemctl("restart", *units[1:])
    for name in ("raises", "dies"):
        redrive = ("/usr/local/bin/steembot", "dead-letters", "redrive", "--all", "--bot", name)
        done = machine.run(*redrive, "--wait", "60", timeout_s=90).stdout
        assert "0 failed again, 0 still to be run" in done
        assert bots.dead_letters(name) == []
        # Every transfer was handled, and each counted once.
        state = f"/var/lib/steembot-bot-{name}/bot-{name}.sqlite3"
        seen = machine.run(
            "python3",
            "-c",
            f"import sqlite3; print(sqlite3.connect('{state}').execute("
            "'SELECT value FROM state').fetchone()[0])",
        ).stdout
        assert int(seen) == len(cursors)

    machine.systemctl("stop", "steembot.target")
    active = machine.systemctl("is-active", *units, check=False).split()
    assert active == ["inactive"] * 3


def test_a_hung_handler_is_ended_by_the_watchdog(bots: Bots, cursors: list[str]) -> None:
    """After three of its patiences the operation is parked, and the journal says where it hung."""
    bots.serve()
    bots.add("hangs", f"BROKEN=hang\nVICTIMS={cursors[3]}\n")
    machine = bots.machine
    machine.run("mkdir", "-p", "/run/systemd/system/steembot-bot@hangs.service.d")
    machine.write(
        "/run/systemd/system/steembot-bot@hangs.service.d/patience.conf",
        "[Service]\nWatchdogSec=4\nRestartSec=0.1\n",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "steembot-broadcaster.service", "steembot-bot@hangs")
    bots.wait_for("hangs", "killed or hung the process 3 times")
    bots.wait_for("hangs", cursors[-1])
    (letter,) = bots.dead_letters("hangs")
    assert letter["cursor"] == cursors[3]
    said = "\n".join(str(e.get("MESSAGE")) for e in machine.journal("steembot-bot@hangs.service"))
    # So often it was ended in there; on a busy machine it may be taken for hung elsewhere, too.
    assert len(re.findall(r'hangs\.py", line \d+ in count', said)) == 3
    assert int(machine.show("steembot-bot@hangs", "NRestarts")["NRestarts"]) >= 3


def test_an_instance_is_its_own(bots: Bots, cursors: list[str]) -> None:
    """Its own user, state and name; as tight a sandbox; an installed module where one is named."""
    bots.serve()
    machine = bots.machine
    bots.add("one", "STEEMBOT_BOT_NAME=another\n")
    # By the rules of steembot.env: systemd's own reader would drop an export.
    bots.add("two_b-c", "export STEEMBOT_HANDLERS=steembot.bot.handlers.new_posts  # mine\n")
    machine.systemctl("enable", "steembot-bot@one", "steembot-bot@two_b-c")
    machine.systemctl("start", "steembot.target")
    bots.wait_for("one", cursors[-1])
    bots.wait_for("two_b-c", "https://steemit.com/@")
    users = {
        machine.run("ps", "-o", "uid=", str(machine.pid_of(f"steembot-bot@{name}"))).stdout.strip()
        for name in ("one", "two_b-c")
    }
    assert len(users) == 2
    # A file is not needed, and one that cannot be read is named as its owner knows it.
    machine.run("rm", "/etc/steembot/bots/one.env")
    machine.systemctl("restart", "steembot-bot@one")
    machine.write("/etc/steembot/bots/two_b-c.env", "https://b.example\n")
    machine.systemctl("restart", "steembot-bot@two_b-c", check=False)
    bots.wait_for("two_b-c", "two_b-c.env (the unit's LoadCredential=), line 1='https://b.example'")
    bots.add("two_b-c", "STEEMBOT_HANDLERS=steembot.bot.handlers.new_posts\n")
    machine.systemctl("restart", "steembot-bot@two_b-c")
    assert "0" not in users
    for name in ("one", "two_b-c"):
        state = f"/var/lib/steembot-bot-{name}/bot-{name}.sqlite3"
        assert machine.run("stat", "--format=%n", state).stdout.strip() == state
    printed = machine.run("systemd-analyze", "security", "--no-pager", "steembot-bot@one").stdout
    exposure = float(printed.strip().splitlines()[-1].split(":")[1].split()[0])
    assert exposure <= 0.5
    units = "/usr/local/lib/systemd/system"
    verified = machine.run(
        "systemd-analyze", "verify", "--man=no", f"{units}/steembot-bot@.service", check=False
    )
    assert verified.stdout + verified.stderr == ""
    # Killed, it is back; its neighbour did not notice.
    other = machine.pid_of("steembot-bot@one")
    before = machine.pid_of("steembot-bot@two_b-c")
    machine.kill("steembot-bot@two_b-c")
    machine.wait_until(lambda: machine.pid_of("steembot-bot@two_b-c") not in (0, before))
    assert machine.pid_of("steembot-bot@one") == other


def test_a_bot_that_waits_for_a_service_is_well(bots: Bots) -> None:
    """Its print and its helper work; the watchdog is fed, a reload is taken, a stop is quick."""
    machine, unit = bots.machine, "steembot-bot@waits.service"
    bots.serve()
    bots.add("waits")
    machine.write("/etc/steembot/bots/helpers.py", "WORDS = 'the webhook'\n")
    machine.write(
        "/etc/steembot/bots/waits.py",
        "import helpers\nfrom steembot.bot import Bot, Later\nbot = Bot()\n"
        "@bot.on('transfer')\ndef send(op, ctx):\n"
        "    print('sending half', end=' ')\n    print('a line')\n"
        "    raise Later(helpers.WORDS)\n"
        "@bot.every(2)\ndef tick(ctx): print('tick')\n",
    )
    machine.run("mkdir", "-p", "/run/systemd/system/steembot-bot@waits.service.d")
    machine.write(
        "/run/systemd/system/steembot-bot@waits.service.d/patience.conf",
        "[Service]\nWatchdogSec=3\n",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "steembot-broadcaster.service", unit)
    bots.wait_for("waits", "sending half a line")
    bots.wait_for("waits", "waits: the webhook; it is tried again in 1 s")

    def ticks() -> int:
        return sum(entry.get("MESSAGE") == "tick" for entry in machine.journal(unit))

    machine.wait_until(lambda: ticks() > 5)  # longer than the watchdog's patience
    machine.systemctl("reload", unit)
    bots.wait_for("waits", "settings read again")
    shown = machine.show(unit, "StatusText", "NRestarts")
    assert "waits: the webhook" in shown["StatusText"]
    assert shown["NRestarts"] == "0"
    began = time.monotonic()
    machine.systemctl("stop", unit)
    assert time.monotonic() - began < 10
    assert machine.show(unit, "Result") == {"Result": "success"}
    assert bots.dead_letters("waits") == []
