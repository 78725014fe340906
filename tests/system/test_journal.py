"""The journal under a real systemd: fields, the catalog, and a journald that is stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steembot import events
from tests.system.machine import Machine
from tests.system.swarm import BOT, BROADCASTER, FIRST_BLOCK, Steembot

pytestmark = pytest.mark.system

BLOCKS = 45
"""How many the recorded chain has."""

JOURNALD = "systemd-journald.service"
FAILING = """
from steembot.bot import Bot

bot = Bot()


@bot.on("vote")
def voted(op, ctx):
    raise RuntimeError("by intent")
"""


def test_entries_carry_fields_that_journalctl_filters_by(
    steembot: Steembot, recorded: list[str]
) -> None:
    """A post is found by its author, its process and its kind; each entry of a node by its URL."""
    machine = steembot.machine
    steembot.serve(interval_s=0.05)
    steembot.start()
    steembot.wait_for_links(len(recorded))
    link = recorded[3]
    author, permlink = link.partition("@")[2].split("/")

    found = machine.journal(BOT, f"STEEM_AUTHOR={author}", f"STEEM_PERMLINK={permlink}")
    (post,) = filter(steembot.new(lambda e: e["MESSAGE"] == link), found)
    assert post["MESSAGE_ID"] == events.NEW_POST.id
    assert post["STEEMBOT_PROCESS"] == "bot"
    assert post["STEEM_TYPE"] == "comment"
    assert len(post["STEEM_TRX"]) == 40
    assert int(post["STEEM_BLOCK"]) >= 30000000
    assert post["PRIORITY"] == "6"

    by_process = machine.run(
        *("journalctl", "STEEMBOT_PROCESS=bot", f"MESSAGE_ID={events.NEW_POST.id}", "-o", "cat")
    ).stdout.splitlines()
    assert by_process[-len(recorded) :] == recorded
    for unit, process, event in (
        (BROADCASTER, "broadcaster", events.BEGINNING),
        (BROADCASTER, "broadcaster", events.CLIENT_SUBSCRIBED),
        (BOT, "bot", events.CONNECTED),
    ):
        fields = (f"STEEMBOT_PROCESS={process}", f"MESSAGE_ID={event.id}")
        assert any(map(steembot.new(lambda _: True), machine.journal(unit, *fields))), event

    machine.systemctl("stop", "test-devnode.service")
    ill = machine.wait_for_entry(
        BROADCASTER, steembot.new(lambda e: e.get("MESSAGE_ID") == events.NODE_ILL.id)
    )
    assert ill["STEEM_NODE"].startswith("http://127.0.0.1:")
    assert ill["PRIORITY"] == "4"


def test_the_catalog_explains_every_entry(installed: Machine) -> None:
    """Each event is in the installed catalog, in words that say what to do."""
    known = installed.run("journalctl", "--list-catalog").stdout
    for event in events.events().values():
        assert event.id in known.replace("-", "")
    shown = installed.run("journalctl", "--dump-catalog", events.NODES_GONE.id).stdout
    assert "Subject: No node answers" in shown
    assert "steembot doctor" in shown


def test_a_dead_letter_is_explained(steembot: Steembot, recorded: list[str]) -> None:
    """With -x, below the entry stands which operation it is about and what to do."""
    machine = steembot.machine
    steembot.serve(interval_s=0.05)
    machine.write("/srv/failing.py", FAILING)
    steembot.settings("STEEMBOT_HANDLERS=/srv/failing.py", "STEEMBOT_BOT_NAME=failing")
    steembot.start()
    letter = machine.wait_for_entry(
        BOT, steembot.new(lambda e: e.get("MESSAGE_ID") == events.DEAD_LETTER.id)
    )
    explained = machine.run(
        *("journalctl", "-x", "--no-pager", f"--cursor={letter['__CURSOR']}", "--lines=1")
    ).stdout
    assert "by intent" in explained
    assert "Defined-By: steembot" in explained
    assert f"The bot failing set an operation of block {letter['STEEM_BLOCK']} aside" in explained
    words = " ".join(explained.replace("░░", "").split())
    assert f"(vote, transaction {letter['STEEM_TRX']})" in words
    assert "`steembot dead-letters redrive --all --bot failing`" in words


# As journald's socket is when hundreds of entries wait. One sender's share is less than that.
FILL_THE_SOCKET = """
import socket
sent = 1
while sent:
    sent = 0
    to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    to.setblocking(False)
    to.connect("/run/systemd/journal/socket")
    try:
        while True:
            to.send(b"MESSAGE=filler")
            sent += 1
    except BlockingIOError:
        pass
"""


@pytest.fixture
def stopped_journal(installed: Machine) -> Iterator[int]:
    """Lend journald's PID; whatever the test did, it reads again afterwards."""
    pid = installed.pid_of(JOURNALD)
    yield pid
    installed.run("kill", "-s", "CONT", str(pid))


def test_a_stopped_journal_blocks_no_feed_and_loses_no_line(
    steembot: Steembot, recorded: list[str], stopped_journal: int
) -> None:
    """While journald is stopped the feed goes on to the chain's end; the bot's lines come later."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2, held=True)
    steembot.start()
    steembot.wait_until_held()
    before = steembot.lives()
    machine.run("kill", "-s", "STOP", str(stopped_journal))
    machine.run("/usr/bin/python3", "-c", FILL_THE_SOCKET)
    steembot.go_on()

    def status(unit: str) -> str:
        return machine.show(unit, "StatusText")["StatusText"]

    machine.wait_until(lambda: "waiting for the journal" in status(BOT))
    # A new client, which makes the broadcaster log, is served to the end of the chain.
    last = FIRST_BLOCK + BLOCKS - 1
    tail = f"exec 3< <(steembot tail --from {FIRST_BLOCK}); grep -m1 ' {last} ' <&3; kill $!"
    assert f" {last} " in machine.run("bash", "-c", tail, timeout_s=60).stdout
    machine.wait_until(lambda: status(BROADCASTER).startswith(f"block {last:,}"))
    assert "waiting for the journal" in status(BOT)
    machine.run("kill", "-s", "CONT", str(stopped_journal))
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
    assert steembot.lives() == before
    subscribed = (f"MESSAGE_ID={events.CLIENT_SUBSCRIBED.id}",)
    entries = machine.journal(BROADCASTER, *subscribed)
    assert any("client tail-" in e["MESSAGE"] for e in entries if steembot.new(lambda _: True)(e))


def test_a_bot_ends_in_time_though_the_journal_is_stopped(
    steembot: Steembot, recorded: list[str], stopped_journal: int
) -> None:
    """A stop does not wait for journald; the line that it did not take comes after the start."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2, held=True)
    steembot.start()
    steembot.wait_until_held()
    machine.run("kill", "-s", "STOP", str(stopped_journal))
    machine.run("/usr/bin/python3", "-c", FILL_THE_SOCKET)
    steembot.go_on()
    waiting = "waiting for the journal"
    machine.wait_until(lambda: waiting in machine.show(BOT, "StatusText")["StatusText"])
    steembot.stop()
    machine.run("kill", "-s", "CONT", str(stopped_journal))
    steembot.start()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
