"""What each user can read, write and end: SECURITY.md's table, and attacks from a bot's sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import conftest
from tests.system.machine import Machine
from tests.system.swarm import BOT, BROADCASTER, Steembot

pytestmark = pytest.mark.system

OTHER = "steembot-bot@other.service"
PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
HEADER, _, *ROWS = (row.split(" | ") for row in ROW.findall(PAGE.replace("|---|", "| - |")))
WHO = HEADER[1:]
SECRET = "NODE_TOKEN=hunter2"

METRICS = "/run/steembot/metrics"
FILES = {
    "`/etc/steembot/steembot.env`": "/etc/steembot/steembot.env",
    "`/etc/steembot/broadcaster.env`": "/etc/steembot/broadcaster.env",
    "handlers of a bot, `/etc/steembot/bots/NAME.py`": "/etc/steembot/bots/other.py",
    "settings of a bot, `/etc/steembot/bots/NAME.env`": "/etc/steembot/bots/other.env",
    "the block log": "/var/lib/steembot-broadcaster/block-log.sqlite3",
    "the bot's state": "/var/lib/steembot-bot/bot-bot.sqlite3",
    "the other bot's state": "/var/lib/steembot-bot-other/bot-other.sqlite3",
    "metrics of the broadcaster": f"{METRICS}/broadcaster/steembot-broadcaster.prom",
    "metrics of the bot": f"{METRICS}/bot/steembot-bot-bot.prom",
    "metrics of the other bot": f"{METRICS}/bot-other/steembot-bot-other.prom",
}
PROCESSES = {
    "the process of the broadcaster": BROADCASTER,
    "the process of the bot": BOT,
    "the process of the other bot": OTHER,
}
SOCKET = "the feed's socket"
CONNECT = """
import socket
socket.socket(socket.AF_UNIX).connect("/run/steembot/broadcaster.sock")
"""
UNITS = {"broadcaster": BROADCASTER, "bot": BOT, "other bot": OTHER}

# Logs what it tried and what came of it.
HOSTILE = """
import json
import os
from pathlib import Path

from steembot.bot import Bot

bot = Bot()


def attempt(what, *args):
    try:
        return repr(what(*args))
    except OSError as error:
        return type(error).__name__


def link(target, path):
    path = Path(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def replace(path, text):
    path = Path(path)
    path.write_text(text)


@bot.on("*")
def attack(op, ctx):
    if ctx.state.get("attacked"):
        return
    ctx.state["attacked"] = True
    log = "/var/lib/steembot-broadcaster/block-log.sqlite3"
    found = {}
    for folder in ("", "/broadcaster", "/bot"):
        for name in ("steembot-broadcaster.prom", "steembot-broadcaster.new", "x.prom"):
            path = "/run/steembot/metrics" + folder + "/" + name
            found["link " + path] = attempt(link, log, path)
            found["write " + path] = attempt(replace, path, "mine")
    metrics = "/run/steembot/metrics/"
    found["swap"] = attempt(os.rename, metrics + "broadcaster", metrics + "x")
    found["list"] = attempt(os.listdir, "/var/lib/steembot-broadcaster")
    found["list first"] = attempt(os.listdir, "/var/lib/steembot-bot")
    found["read"] = attempt(Path("/etc/steembot/broadcaster.env").read_text)
    ctx.log.info("attacked %s", json.dumps(found))
"""


@pytest.fixture(scope="module")
def running(installed: Machine) -> Iterator[Steembot]:
    """Lend a running steembot with a second bot, metrics and a secret of the broadcaster's."""
    steembot = Steembot(installed)
    installed.run("useradd", "--groups", "steembot", "member")
    steembot.serve(interval_s=0.05)
    installed.write("/etc/steembot/broadcaster.env", f"{SECRET}\nSTEEMBOT_NODES={steembot.node}\n")
    installed.write("/etc/steembot/bots/other.py", HOSTILE)
    installed.run("install", "-m", "600", "/dev/null", "/etc/steembot/bots/other.env")
    steembot.settings("STEEMBOT_NODES=http://127.0.0.1:9", f"STEEMBOT_METRICS={METRICS}")
    steembot.start()
    installed.systemctl("start", OTHER)
    for path in FILES.values():
        installed.wait_until(lambda path=path: not _status(installed, "test", "-e", path))
    yield steembot
    installed.systemctl("stop", "steembot.target", OTHER, "test-devnode.service", check=False)
    installed.systemctl("reset-failed")
    conftest.forget(installed)
    installed.run("userdel", "member")
    installed.run("sh", "-c", "rm -f /etc/steembot/bots/*; : >/etc/steembot/broadcaster.env")


def _status(machine: Machine, *argv: str) -> int:
    return machine.run(*argv, check=False).returncode


def _as(machine: Machine, who: str) -> list[str]:
    """Return what to put before a command to run it as that user, in that process's sandbox."""
    if who not in UNITS:
        user = {"stranger": "nobody", "member": "member"}[who]
        group = {"stranger": "nogroup", "member": "member"}[who]
        return ["setpriv", "--reuid", user, "--regid", group, "--init-groups"]
    pid = str(machine.pid_of(UNITS[who]))
    told = machine.run("cat", f"/proc/{pid}/status").stdout
    uid, gid, groups = (
        re.search(rf"^{name}:\s*(.*)$", told, re.MULTILINE)[1].split()
        for name in ("Uid", "Gid", "Groups")
    )
    rights = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    ids = ["--reuid", uid[0], "--regid", gid[0], "--groups", ",".join(groups)]
    return ["nsenter", "--target", pid, "--mount", "--net", "setpriv", *ids, *rights]


@pytest.mark.parametrize("who", WHO)
def test_each_user_can_do_what_the_table_says(running: Steembot, who: str) -> None:
    """Every cell of SECURITY.md's table is tried, as that user and where that process is."""
    machine = running.machine
    before = _as(machine, who)
    column = HEADER.index(who)

    def can(*argv: str) -> bool:
        return not _status(machine, *before, *argv)

    found = {}
    for row in ROWS:
        what, doable = row[0], []
        if what in FILES:
            path = FILES[what]
            if can("dd", f"if={path}", "of=/dev/null", "bs=1", "count=1", "status=none"):
                doable.append("read")
            if can("dd", "if=/dev/null", f"of={path}", "conv=notrunc,nocreat", "status=none"):
                doable.append("write")
        elif what in PROCESSES:
            if can("kill", "-s", "0", str(machine.pid_of(PROCESSES[what]))):
                doable.append("end")
        else:
            assert what == SOCKET
            if can("python3", "-c", CONNECT):
                doable.append("connect")
        found[what] = ", ".join(doable) or "-"
    assert found == {row[0]: row[column] for row in ROWS}


def test_a_hostile_bot_touches_nobody_elses_file(running: Steembot) -> None:
    """From its sandbox it cannot put a link where the broadcaster writes, nor look into others."""
    machine = running.machine
    said = machine.wait_for_entry(OTHER, lambda e: str(e.get("MESSAGE")).startswith("attacked "))
    found = json.loads(said["MESSAGE"].removeprefix("attacked "))
    assert set(found.values()) <= {"PermissionError", "OSError", "FileNotFoundError"}, found
    head = machine.run("head", "-c", "15", FILES["the block log"]).stdout
    assert head == "SQLite format 3"


def test_what_an_older_version_left_open_is_closed(running: Steembot) -> None:
    """A folder of state that a group could read is its user's alone after the next start."""
    machine = running.machine
    for unit, folder in ((BROADCASTER, "steembot-broadcaster"), (BOT, "steembot-bot")):
        machine.run("chmod", "750", f"/var/lib/{folder}")
        machine.systemctl("restart", unit)
        assert machine.run("stat", "--format=%a", f"/var/lib/{folder}").stdout.strip() == "700"


def test_a_password_that_bots_can_read_is_named(running: Steembot) -> None:
    """``steembot doctor`` says where it stands and where it belongs; it reads that too."""
    machine = running.machine
    printed = machine.run("steembot", "doctor", "--json", check=False).stdout
    assert "every bot can read" not in printed
    assert "/etc/steembot/broadcaster.env" in printed
    machine.run("sh", "-c", "echo PROXY=http://me:secret@proxy >>/etc/steembot/steembot.env")
    printed = machine.run("steembot", "doctor", "--json", check=False).stdout
    bad = [f for f in json.loads(printed) if f["check"] == "settings" and not f["ok"]]
    assert [f["words"] for f in bad] == ["every bot can read the password in PROXY"]
    assert "secret@" not in printed


@pytest.mark.parametrize("put", ["ln -s /root/mine", "ln /root/mine", "mkfifo"])
def test_roots_commands_leave_roots_files_alone(running: Steembot, put: str) -> None:
    """A bot may put links or FIFOs into its real state folder: root's file stays as it is."""
    machine = running.machine
    folder = "/var/lib/private/steembot-bot-other"
    machine.systemctl("stop", OTHER)
    script = f"echo mine >/root/mine; chmod 600 /root/mine; cp -a {folder} /root/kept"
    machine.run("sh", "-c", script)
    for suffix in (".lock", ".redo", ".sqlite3-wal"):
        path = f"{folder}/bot-other{suffix}"
        machine.run("sh", "-c", f"rm -f {path}; {put} {path}")
        for argv in (("position", "--set", "7"), ("dead-letters", "list"), ("audit", "1", "2")):
            machine.run("steembot", *argv, "--bot", "other", check=False, timeout_s=60)
        for command in ("status", "doctor"):
            machine.run("steembot", command, check=False, timeout_s=60)
        mine = machine.run("stat", "--format=%U %a %s", "/root/mine").stdout.strip()
        assert mine == "root 600 5"
        machine.run("rm", "-f", path)
    machine.run(
        "sh", "-c", f"rm -rf {folder}/* /root/mine; cp -a /root/kept/. {folder}; rm -r /root/kept"
    )
    machine.systemctl("start", OTHER)
