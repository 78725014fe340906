"""``make install-user``: an unprivileged user's own steembot, under their own systemd."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.system.conftest import SOURCE, wheels
from tests.system.machine import PATH, Machine
from tests.system.swarm import CHAINDATA, FIRST_BLOCK, NODE_URL, RECORDED

pytestmark = pytest.mark.system

UNITS = (
    "steembot.target",
    "steembot-broadcaster.socket",
    "steembot-broadcaster.service",
    "steembot-bot.service",
)


class User:
    """An unprivileged user of a machine, whose systemd runs."""

    def __init__(self, machine: Machine, name: str):
        self.machine, self.name = machine, name
        machine.run("useradd", "--create-home", name)
        self.uid = machine.run("id", "--user", name).stdout.strip()
        machine.systemctl("start", f"user@{self.uid}.service")

    def run(self, *argv: str, check: bool = True, **more: str) -> str:
        """Run a command as this user, with ``more`` set, and return what it printed."""
        env = {
            "HOME": f"/home/{self.name}",
            "XDG_RUNTIME_DIR": f"/run/user/{self.uid}",
            "PATH": f"/home/{self.name}/.local/bin:{PATH}",
            **more,
        }
        run = self.machine.run(*argv, user=self.name, env=env, check=check, timeout_s=900)
        return run.stdout + run.stderr

    def make(self, target: str) -> str:
        """Run make in the machine's view of the repository."""
        return self.run("make", "-C", SOURCE, "--no-print-directory", target, wheels())

    def systemctl(self, *argv: str, check: bool = True) -> str:
        """Run systemctl for this user's systemd."""
        return self.run("systemctl", "--user", "--no-pager", *argv, check=check).strip()

    def messages(self, unit: str) -> list[str]:
        """Return what a unit of this user's wrote to the journal."""
        self.machine.run("journalctl", "--sync")
        argv = ("journalctl", "--output=json", "--all", "--quiet", f"_SYSTEMD_USER_UNIT={unit}")
        lines = self.machine.run(*argv).stdout.splitlines()
        return [str(json.loads(line)["MESSAGE"]) for line in lines]

    def files(self) -> set[str]:
        """List all files in this user's home."""
        found = self.run("find", f"/home/{self.name}", "-not", "-type", "d").splitlines()
        return {path for path in found if "/.cache/" not in path}


@pytest.fixture
def ann(bare: Machine) -> Iterator[User]:
    """Lend a new user with a systemd of her own."""
    user = User(bare, "ann")
    yield user
    bare.systemctl("stop", f"user@{user.uid}.service")
    bare.run("userdel", "--remove", "ann", check=False)


def units_by_doctor(user: User, **env: str) -> dict[str, str]:
    """Return what ``steembot doctor`` would do about each unit of the user's."""
    printed = user.run("steembot", "doctor", "--json", check=False, **env)
    findings = json.loads(next(line for line in printed.splitlines() if line.startswith("[")))
    return {f["words"].split()[0]: f["remedy"] for f in findings if f["check"] == "unit"}


def test_a_user_installs_runs_and_removes_it(bare: Machine, ann: User, recorded: list[str]) -> None:
    """It runs below her home with her systemd, sandboxed and stopped as the system's is."""
    before = ann.files()
    printed = ann.make("install-user")
    assert "systemctl --user start steembot.target" in printed
    for unit in ("steembot-bot.service", "steembot-broadcaster.service", "steembot.target"):
        checked = ann.run("systemd-analyze", "--user", "verify", "--man=no", unit, check=False)
        assert checked == ""
    bare.run(
        *("systemd-run", "--unit=test-user-node", "--collect", "--quiet", "--uid=ann"),
        *("/home/ann/.local/bin/steembot-devnode", "--port", "0", "--interval", "0.05"),
        *("--blocks", f"{CHAINDATA}/{RECORDED}"),
    )
    serving = bare.wait_for_entry(
        "test-user-node.service", lambda e: bool(NODE_URL.search(e["MESSAGE"]))
    )
    node = NODE_URL.search(serving["MESSAGE"])[0]
    settings = "/home/ann/.config/steembot/steembot.env"
    bare.write(settings, f"STEEMBOT_NODES={node}\nSTEEMBOT_START={FIRST_BLOCK}\n")
    ann.systemctl("enable", "--now", "steembot.target")
    ann.systemctl("start", "steembot-broadcaster", "steembot-bot")
    bare.wait_until(lambda: recorded[10] in ann.messages("steembot-bot.service"), timeout_s=60)
    pids = {
        unit: ann.systemctl("show", "--property=MainPID", "--value", unit)
        for unit in ("steembot-broadcaster", "steembot-bot")
    }
    for pid in pids.values():
        assert bare.run("ps", "-o", "user=", pid).stdout.strip() == "ann"
    # Her systemd's sandbox: the bot has no network but a loopback of its own.
    networks = {bare.run("readlink", f"/proc/{pid}/ns/net").stdout for pid in pids.values()}
    assert len(networks) == 2
    status = json.loads(ann.run("steembot", "status", "--json"))
    assert status["clients"]
    assert {unit["name"]: unit["state"] for unit in status["units"]} == dict.fromkeys(
        UNITS, "active"
    )
    assert units_by_doctor(ann) == dict.fromkeys(UNITS, "")
    # Also from where no login said which systemd is hers.
    assert units_by_doctor(ann, XDG_RUNTIME_DIR="") == dict.fromkeys(UNITS, "")
    ann.systemctl("stop", "steembot-bot", "steembot.target")
    stopped = units_by_doctor(ann)
    bot = "steembot-bot.service"
    start, look = "systemctl --user start steembot.target", f"journalctl --user -u {bot}"
    assert stopped[bot] == f"{start}; look at {look}"
    ann.systemctl(*start.split()[2:])
    bare.wait_until(lambda: not any(units_by_doctor(ann).values()))

    ann.make("uninstall-user")
    left = ann.files() - before
    assert settings in left
    assert all("/steembot-b" in path or path == settings for path in left)
    assert ann.systemctl("list-units", "--all", "--plain", "--no-legend", "steembot*") == ""
    ann.make("purge-user")
    assert ann.files() == before
    bare.systemctl("stop", "test-user-node.service")
