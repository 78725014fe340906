"""The main job under a real systemd: recorded blocks go in, links of new posts come out."""

from __future__ import annotations

import pytest

from steembot.errors import EXIT_CONFIG
from tests.system.machine import Machine
from tests.system.swarm import BOT, BROADCASTER, SOCKET, UNITS, Steembot, is_link

pytestmark = pytest.mark.system


def test_prints_the_links_of_new_posts(steembot: Steembot, recorded: list[str]) -> None:
    """The bot's journal holds each new post of the chain once, in order, and no reply."""
    steembot.serve(interval_s=0.05)
    steembot.machine.systemctl("start", "steembot.target")
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded
    entries = [e for e in steembot.machine.journal(BOT) if steembot.new(is_link)(e)]
    assert {e["SYSLOG_IDENTIFIER"] for e in entries} == {"steembot-bot"}


@pytest.mark.parametrize("victim", [BROADCASTER, BOT])
def test_a_killed_process_is_back_and_nothing_is_lost(
    steembot: Steembot, recorded: list[str], victim: str
) -> None:
    """After kill -9 only the victim is started again, 3 s later; each link comes once."""
    steembot.serve(interval_s=0.2, held=True)
    steembot.start()
    # With nothing in hand: a link that a bot is about to commit when it is killed comes twice.
    steembot.wait_until_held()
    before = steembot.lives()
    assert steembot.machine.show(victim, "RestartUSec") == {"RestartUSec": "3s"}
    assert 3 <= steembot.kill(victim) < 3 + 10, "10 s for a busy machine"
    after = steembot.lives()
    assert after.pop(victim) != before.pop(victim)
    assert after == before
    steembot.go_on()
    steembot.wait_for_links(len(recorded))
    assert steembot.links() == recorded


def test_stops_altogether_and_goes_on(steembot: Steembot, recorded: list[str]) -> None:
    """Stopping the target leaves no process and no failed unit; a new start goes on from there."""
    machine = steembot.machine
    steembot.serve(interval_s=0.2)
    steembot.start()
    steembot.wait_for_links(5)
    for unit in (BROADCASTER, BOT):
        assert machine.show(unit, "TimeoutStopUSec") == {"TimeoutStopUSec": "3s"}
    steembot.stop()
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
        *("timeout", "50", "/usr/local/bin/steembot-bot"),
        user="nobody",
        env={"STEEMBOT_STATE_DIR": "/tmp/nobody"},
        check=False,
    )
    assert tried.returncode == EXIT_CONFIG  # by itself
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
    # Through a pipe: of who is gone already, journald may not know which unit it was.
    tried = machine.run(
        *("systemd-run", "--unit=test-thief", "--collect", "--quiet", "--wait", "--pipe"),
        *("--property=Type=notify", "--setenv=STEEMBOT_STATE_DIR=/tmp/thief"),
        "/usr/local/bin/steembot-broadcaster",
        check=False,
    )
    assert tried.returncode != 0
    assert "steembot-broadcaster.socket" in tried.stderr
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
