"""What systemd sees of the processes, and what it does: watchdog, reload, stop, crash loops."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from steembot import events
from steembot.broadcaster.broadcaster import STUCK_S
from tests.system.conftest import SOURCE
from tests.system.machine import UNIT_PROCESS_EXIT, Entry, Machine
from tests.system.swarm import BOT, BROADCASTER, NODE, Steembot, is_link, sent_s

pytestmark = pytest.mark.system

HANDLERS = "/etc/steembot/bots/test.py"

SLOW = """
import time
from steembot.bot import Bot

bot = Bot()

@bot.on("comment")
def slow(op, ctx):
    ctx.log.info("begun %s", op.cursor)
    time.sleep(1)
    ctx.log.info("done %s", op.cursor)
"""

FATAL = """
import os
from steembot.bot import Bot

bot = Bot()

@bot.every(0.01)
def die(ctx):
    os._exit(9)
"""

NETWORK = """
import urllib.request
from steembot.bot import Bot

bot = Bot()

@bot.on("comment")
def fetch(op, ctx):
    try:
        with urllib.request.urlopen("URL/faults", timeout=5) as answer:
            ctx.log.info("reached it: %s", answer.status)
    except OSError as error:
        ctx.log.info("did not reach it: %s", error)
"""

WATCHDOG = "[Service]\nWatchdogSec=10\n"
"""Long enough that a process of a busy machine is not taken for hung, as it would be after 2 s."""

DropIn = Callable[[str, str], None]


@pytest.fixture
def drop_in(installed: Machine) -> Iterator[DropIn]:
    """Lend a function that changes a unit for the time of the test."""
    written: list[str] = []

    def write(unit: str, text: str) -> None:
        folder = f"/run/systemd/system/{unit}.d"
        installed.run("mkdir", "-p", folder)
        installed.write(f"{folder}/test.conf", text)
        written.append(folder)
        installed.systemctl("daemon-reload")

    yield write
    installed.run("rm", "-rf", *written)
    installed.systemctl("daemon-reload")


@pytest.fixture
def handlers(steembot: Steembot) -> Iterator[Callable[[str], None]]:
    """Lend a function that gives the bot other handlers."""
    machine = steembot.machine

    def write(text: str) -> None:
        machine.write(HANDLERS, text)
        steembot.settings(f"STEEMBOT_HANDLERS={HANDLERS}")

    yield write
    machine.run("rm", "-f", HANDLERS)


def said(steembot: Steembot, unit: str, pattern: str) -> list[str]:
    """Return what matched in the messages of a unit in this test."""
    wanted = steembot.new(lambda entry: True)
    messages = [e["MESSAGE"] for e in steembot.machine.journal(unit) if wanted(e)]
    return [m[0] for message in messages if (m := re.search(pattern, message))]


@pytest.mark.parametrize(("victim", "other"), [(BROADCASTER, BOT), (BOT, BROADCASTER)])
def test_a_frozen_process_is_noticed_and_healed(
    steembot: Steembot, recorded: list[str], drop_in: DropIn, victim: str, other: str
) -> None:
    """The watchdog ends a process that stands still; each link comes once all the same."""
    machine = steembot.machine
    drop_in(victim, WATCHDOG)
    steembot.serve(interval_s=0.2, held=True)
    steembot.start()
    steembot.wait_until_held()
    before = steembot.lives()
    machine.kill(victim, "STOP")
    machine.wait_for_entry(victim, steembot.new(lambda e: "Watchdog timeout" in e["MESSAGE"]))
    steembot.go_on()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
    after = steembot.lives()
    assert after[victim] != before[victim]
    assert after[other] == before[other]


def test_a_stuck_chain_thread_is_noticed_and_healed(
    steembot: Steembot, recorded: list[str], drop_in: DropIn
) -> None:
    """The watchdog is fed by progress: that clients are still served does not deceive it."""
    machine = steembot.machine
    drop_in(BROADCASTER, WATCHDOG)
    steembot.serve(interval_s=0.2, held=True)
    steembot.start()
    steembot.wait_until_held()
    before = steembot.lives()
    stopper = "test-stop-thread.service"
    machine.run(
        *("systemd-run", "--unit", stopper, "--collect", "--quiet", "python3"),
        *(f"{SOURCE}/tests/system/stop_thread.py", str(machine.pid_of(BROADCASTER))),
    )
    stopped = machine.wait_for_entry(
        stopper, steembot.new(lambda e: e["MESSAGE"].startswith("stopped"))
    )
    heads = [
        json.loads(machine.run("steembot", "status", "--json").stdout)["broadcaster"]["head"]["num"]
        for _ in range(2)
    ]
    assert heads[0] == heads[1]
    ended = machine.wait_for_entry(
        BROADCASTER, steembot.new(lambda e: "Watchdog timeout" in e["MESSAGE"]), timeout_s=120
    )
    # Until then it was fed: the other threads did run on.
    assert sent_s(ended) - sent_s(stopped) > STUCK_S
    steembot.go_on()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
    after = steembot.lives()
    assert after[BROADCASTER] != before[BROADCASTER]
    assert after[BOT] == before[BOT]


def test_says_how_it_is_and_reloads_without_dropping_a_client(
    steembot: Steembot, recorded: list[str]
) -> None:
    """STATUS= is for people; a reload reads the settings file, and nobody is cut off."""
    machine = steembot.machine
    steembot.serve(interval_s=0.1)
    steembot.start()
    steembot.wait_for_links(5)
    node = re.escape(steembot.node.removeprefix("http://"))
    for unit, words in (
        (BROADCASTER, rf"block 30,000,\d+, [\d,]+ .*behind, .*1 client, node {node}"),
        (BOT, r"block 30,000,\d+, connected"),
    ):
        machine.wait_until(
            lambda: re.fullmatch(words, machine.show(unit, "StatusText")["StatusText"])
        )

    before = steembot.lives()
    steembot.settings("STEEMBOT_LOG_LEVEL=debug")
    machine.systemctl("reload", BROADCASTER, BOT)
    for unit in (BROADCASTER, BOT):
        machine.wait_for_entry(
            unit, steembot.new(lambda e: "settings read again: log level debug" in e["MESSAGE"])
        )
    # One that is not allowed fails the reload, and changes nothing.
    steembot.settings("STEEMBOT_LOG_LEVEL=loud")
    for unit in (BROADCASTER, BOT):
        failed = machine.run("systemctl", "reload", unit, check=False)
        assert failed.returncode == 1
        assert f"Job for {unit} failed" in failed.stderr
        machine.wait_for_entry(
            unit, steembot.new(lambda e: "STEEMBOT_LOG_LEVEL='loud'" in e["MESSAGE"])
        )
    steembot.settings()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
    assert steembot.lives() == before
    assert said(steembot, BOT, "disconnected.*") == []


def test_a_reload_replaces_the_node_under_a_connected_bot(
    steembot: Steembot, recorded: list[str]
) -> None:
    """The first node ends after it; each link comes once, and no unit was started anew."""
    machine = steembot.machine
    steembot.serve(interval_s=0.1, held=True)
    steembot.start()
    steembot.wait_until_held()
    before = steembot.lives()
    # A bad list first: nothing changes, and the journal names it.
    steembot.settings("STEEMBOT_NODES=ftp://elsewhere")
    machine.systemctl("reload", BROADCASTER, check=False)
    kept = machine.wait_for_entry(
        BROADCASTER, steembot.new(lambda e: "STEEMBOT_NODES='ftp://elsewhere'" in e["MESSAGE"])
    )
    assert kept["MESSAGE_ID"] == events.SETTINGS_KEPT.id
    with steembot.another_node(interval_s=0.1) as second:
        steembot.settings(f"STEEMBOT_NODES={second}", "STEEMBOT_MODE=irreversible")
        machine.systemctl("reload", BROADCASTER, BOT)
        machine.wait_for_entry(
            BROADCASTER, steembot.new(lambda e: e["MESSAGE"].endswith(f"; nodes {second}"))
        )
        waiting = machine.wait_for_entry(
            BOT, steembot.new(lambda e: e.get("MESSAGE_ID") == events.SETTINGS_WAIT.id)
        )
        assert waiting["MESSAGE"] == "not in force before a restart: STEEMBOT_MODE"
        machine.systemctl("stop", NODE)
        steembot.wait_for_links(len(recorded))
        machine.wait_until(
            lambda: machine.show(BROADCASTER, "StatusText")["StatusText"].endswith(
                f"1 client, node {second.removeprefix('http://')}"
            )
        )
    assert steembot.links() == recorded
    assert steembot.lives() == before
    assert said(steembot, BOT, "disconnected.*") == []


def test_a_stop_lets_the_operation_in_hand_finish(
    steembot: Steembot, recorded: list[str], handlers: Callable[[str], None], drop_in: DropIn
) -> None:
    """SIGTERM in the middle of a handler: it ends, is committed, and is not called again."""
    machine = steembot.machine
    # Of 3 s a busy machine can leave too little for a handler that takes one.
    drop_in(BOT, "[Service]\nTimeoutStopSec=30\n")
    steembot.serve(interval_s=0.05)
    handlers(SLOW)
    steembot.start()
    for _ in range(2):
        known = set(said(steembot, BOT, "begun .*"))

        def begun(entry: Entry, known: set[str] = known) -> bool:
            return entry["MESSAGE"].startswith("begun") and entry["MESSAGE"] not in known

        machine.systemctl("start", BOT)
        machine.wait_for_entry(BOT, steembot.new(begun))
        steembot.stop()
    begun_ones, done = (said(steembot, BOT, rf"(?<={word} ).*") for word in ("begun", "done"))
    assert begun_ones == done
    assert len(set(done)) == len(done) >= 2


def test_a_crash_loop_leaves_the_others_alone(
    steembot: Steembot, recorded: list[str], handlers: Callable[[str], None], drop_in: DropIn
) -> None:
    """A bot that dies again and again costs neither the broadcaster nor another bot anything."""
    machine = steembot.machine
    well = "steembot-bot@well.service"
    drop_in(BOT, "[Service]\nRestartSec=100ms\n")
    steembot.serve(interval_s=0.1)
    handlers(FATAL)
    machine.write(
        "/etc/steembot/bots/well.env", "STEEMBOT_HANDLERS=steembot.bot.handlers.new_posts\n"
    )
    try:
        machine.systemctl("start", "steembot.target", BROADCASTER, well)
        lives = ("MainPID", "NRestarts")
        before = [machine.show(unit, *lives) for unit in (BROADCASTER, well)]
        machine.wait_until(
            lambda: int(machine.show(BOT, "NRestarts")["NRestarts"]) >= 5, timeout_s=60
        )
        wanted = steembot.new(is_link)

        def links() -> list[str]:
            return [e["MESSAGE"] for e in machine.journal(well) if wanted(e)]

        machine.wait_until(lambda: len(links()) >= len(recorded), timeout_s=60)
        assert links() == recorded
        assert [machine.show(unit, *lives) for unit in (BROADCASTER, well)] == before
        assert machine.systemctl("is-active", "steembot.target", BROADCASTER, well).split() == (
            ["active"] * 3
        )
    finally:
        machine.systemctl("stop", well, check=False)
        machine.run("rm", "/etc/steembot/bots/well.env")


def test_a_newer_state_is_refused_without_haste(steembot: Steembot, recorded: list[str]) -> None:
    """A bot of an older version says so, ends with status 1, and is tried again every 3 s only."""
    machine = steembot.machine
    steembot.serve(interval_s=0.1)
    steembot.start()
    steembot.wait_for_links(5)
    machine.systemctl("stop", "steembot.target")

    def version(setting: str = "") -> str:
        code = (
            "import sqlite3; state = sqlite3.connect('/var/lib/steembot-bot/bot-bot.sqlite3'); "
            f"print(*state.execute('PRAGMA user_version{setting}'))"
        )
        return machine.run("python3", "-c", code, user="steembot-bot").stdout.strip()

    ours = int(version().strip("(,)"))
    version(f" = {ours + 1}")
    machine.systemctl("start", "steembot.target", BROADCASTER)
    before = steembot.lives()[BROADCASTER]
    words = f"has schema version {ours + 1}, and this program knows {ours}; install the steembot"
    refused = steembot.new(lambda e: words in e["MESSAGE"])
    machine.wait_until(lambda: len(list(filter(refused, machine.journal(BOT)))) >= 3, timeout_s=60)
    entries = machine.journal(BOT)
    said = [entry for entry in entries if refused(entry)]
    assert {(entry["MESSAGE_ID"], entry["STEEMBOT_BOT"]) for entry in said} == {
        (events.FAILED.id, "bot")
    }
    exited = steembot.new(lambda e: e.get("MESSAGE_ID") == UNIT_PROCESS_EXIT)
    statuses = [entry["EXIT_STATUS"] for entry in entries if exited(entry)]
    assert statuses[-2:] == ["1", "1"]
    times = [sent_s(entry) for entry in said]
    assert min(later - earlier for earlier, later in pairwise(times)) >= 3
    assert steembot.lives()[BROADCASTER] == before

    # Nothing was touched: with the program that knows it, the bot goes on where it was.
    assert version() == f"({ours + 1},)"
    version(f" = {ours}")
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


def test_a_bot_reaches_the_network_with_the_drop_in_alone(
    steembot: Steembot, recorded: list[str], handlers: Callable[[str], None]
) -> None:
    """Not even loopback without it; with it, as documented, it does."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2, held=True)
    handlers(NETWORK.replace("URL", steembot.node))
    steembot.start()
    machine.wait_for_entry(BOT, steembot.new(lambda e: "did not reach it" in e["MESSAGE"]))
    folder = f"/etc/systemd/system/{BOT}.d"
    example = "/usr/local/share/steembot/bot-network.conf"
    try:
        machine.run("install", "-D", "-m", "644", example, f"{folder}/network.conf")
        assert "systemctl restart steembot-bot" in machine.run("cat", example).stdout
        machine.systemctl("daemon-reload")
        machine.systemctl("restart", BOT)
        steembot.go_on()
        machine.wait_for_entry(BOT, steembot.new(lambda e: "reached it: 200" in e["MESSAGE"]))
    finally:
        machine.run("rm", "-rf", folder)
        machine.systemctl("daemon-reload")
