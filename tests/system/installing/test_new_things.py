"""What ``steembot new`` writes, and what the page for authors says, under a real systemd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import boot, copy, make, wheels
from tests.system.machine import Machine

pytestmark = pytest.mark.system

NODE = "test-new-devnode.service"
PAGE = (Path(__file__).parents[3] / "docs/writing-a-bot.md").read_text()
STEEMBOT = "/usr/local/bin/steembot"
CLONE = "/srv/clone"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Lend a machine with steembot and one process more, written by the command; a chain runs."""
    with boot() as machine:
        copy(machine, CLONE)
        make(machine, "install", wheels())
        machine.run(STEEMBOT, "new", "relay", "--process", "--into", CLONE)
        make(machine, "install", wheels(), source=CLONE)
        machine.run(
            *("systemd-run", "--unit", NODE, "--collect", "--quiet"),
            *("/usr/local/bin/steembot-devnode", "--generate", "new", "--interval", "0.2"),
        )
        said = machine.wait_for_entry(NODE, lambda e: "http://127.0.0.1:" in e["MESSAGE"])
        url = re.search(r"http://127\.0\.0\.1:\d+", said["MESSAGE"])[0]
        machine.write("/etc/steembot/steembot.env", f"STEEMBOT_NODES={url}\nSTEEMBOT_START=1\n")
        machine.systemctl("start", "steembot.target")
        yield machine


def test_a_new_process_starts_and_stops_with_the_target(machine: Machine) -> None:
    """It counts, as its own user; killed it is back; stopping the target ends it."""
    unit = "steembot-relay.service"
    machine.wait_until(lambda: "vote" in machine.show(unit, "StatusText").get("StatusText", ""))
    owner = machine.run("ps", "-o", "user:32=", str(machine.pid_of(unit))).stdout.strip()
    assert owner == "steembot-relay"
    before = machine.pid_of(unit)
    machine.kill(unit)
    machine.wait_until(lambda: machine.pid_of(unit) not in (0, before))
    machine.systemctl("stop", "steembot.target")
    assert machine.systemctl("is-active", unit, check=False) == "inactive"
    machine.systemctl("start", "steembot.target")
    machine.wait_until(lambda: machine.systemctl("is-active", unit, check=False) == "active")


def test_a_new_bot_runs_by_the_commands_of_the_page(machine: Machine) -> None:
    """Installed and enabled as the page says, it goes along with the chain."""
    machine.run("mkdir", "-p", "/tmp/bots")
    machine.run(STEEMBOT, "new", "greeter", "--into", "/tmp/bots")
    section = PAGE.partition("## Ten minutes")[2].partition("\n## ")[0]
    commands = re.findall(r"^# (.+)$", section, re.MULTILINE)
    assert len(commands) == 4
    for command in commands[:3]:
        machine.run("sh", "-c", f"cd /tmp/bots && {command}")
    unit = "steembot-bot@greeter.service"
    machine.wait_until(lambda: "connected" in machine.show(unit, "StatusText")["StatusText"])
    assert machine.systemctl("is-enabled", unit) == "enabled"
    # A secret may stand in its settings.
    settings = "/etc/steembot/bots/greeter.env"
    assert machine.run("stat", "--format=%a %U", settings).stdout == "600 root\n"
    # Also by the command for people, as root, with no setting at all.
    assert "-" in machine.run(STEEMBOT, "dead-letters", "list", "--bot", "greeter").stdout


def test_a_bot_has_no_network_unless_its_drop_in_says_so(machine: Machine) -> None:
    """The page's drop-in opens it, for that one bot."""
    section = PAGE.partition("## A bot that needs the network")[2]
    (drop_in,) = re.findall(
        r"^```ini\n(.*?)^```$", section.partition("\n## ")[0], re.DOTALL | re.MULTILINE
    )
    port = re.search(r":(\d+)", machine.run("cat", "/etc/steembot/steembot.env").stdout)[1]
    handlers = (
        "import socket\nfrom steembot.bot import Bot\n\nbot = Bot()\n\n\n"
        "@bot.on('vote')\ndef call(op, ctx):\n"
        f"    socket.create_connection(('127.0.0.1', {port})).close()\n"
        "    ctx.log.info('reached')\n"
    )
    folder = "/etc/systemd/system/steembot-bot@open.service.d"
    machine.run("mkdir", "-p", folder)
    machine.write(f"{folder}/override.conf", drop_in)
    machine.systemctl("daemon-reload")
    for name in ("open", "shut"):
        machine.write(f"/etc/steembot/bots/{name}.py", handlers)
        machine.systemctl("start", f"steembot-bot@{name}")
    machine.wait_for_entry("steembot-bot@open", lambda e: e.get("MESSAGE") == "reached")
    parked = machine.wait_for_entry(
        "steembot-bot@shut", lambda e: "as a dead letter" in str(e.get("MESSAGE"))
    )
    assert "the bot's unit has no network" in parked["MESSAGE"]
    assert "bot-network.conf" in parked["MESSAGE"]
    said = [str(entry.get("MESSAGE")) for entry in machine.journal("steembot-bot@shut")]
    assert "reached" not in said


def test_the_alarm_of_the_page_hears_of_a_dead_letter(machine: Machine) -> None:
    """Its unit, with a file in the place of the mail."""
    (unit,) = re.findall(r"^```ini\n(# /etc/systemd.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert "mail -s" in unit
    unit = re.sub(r"\| mail -s .* root", ">>/run/alarm", unit)
    machine.write("/etc/systemd/system/dead-letter-alarm.service", unit)
    machine.systemctl("daemon-reload")
    machine.systemctl("enable", "--now", "dead-letter-alarm")
    machine.write(
        "/etc/steembot/bots/fails.py",
        "from steembot.bot import Bot\n\nbot = Bot()\n\n\n"
        "@bot.on('vote')\ndef fail(op, ctx):\n    raise RuntimeError('always')\n",
    )
    machine.systemctl("start", "steembot-bot@fails")
    machine.wait_until(
        lambda: "RuntimeError: always" in machine.run("cat", "/run/alarm", check=False).stdout
    )
