"""``make install`` and ``make uninstall``, really run on a machine of their own."""

from __future__ import annotations

import pytest

from tests.system.conftest import SOURCE, make
from tests.system.machine import Machine

pytestmark = pytest.mark.system

SETTINGS = "/etc/steembot/steembot.env"
COMMANDS = ("steembot", "steembot-broadcaster", "steembot-bot", "steembot-devnode")


def files(machine: Machine) -> set[str]:
    """List what is anywhere an installation may write to, but for what users and boots leave."""
    folders = ("/etc", "/usr", "/var/lib", "/opt", "/run/steembot")
    listed = machine.run("find", *folders, "-xdev", "-not", "-type", "d", check=False).stdout
    # Accounts stay, since what lies in /var/lib is theirs.
    accounts = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/.pwd")
    # The journal's own table of all catalogs, made anew at each change.
    kept = (*accounts, "/var/lib/systemd/catalog/database")
    return {path for path in listed.splitlines() if not path.startswith(kept)}


def test_install_keeps_what_was_edited_and_uninstall_leaves_settings_and_state(
    bare: Machine,
) -> None:
    """Twice is harmless, an edited settings file stays, and nothing but one's own data is left."""
    before = files(bare)
    printed = make(bare, "install")
    assert "systemctl start steembot.target" in printed
    owner = bare.run("stat", "--format=%a %U %G", SETTINGS).stdout.split()
    assert owner == ["640", "root", "steembot"]
    # Nothing was started, or enabled.
    assert bare.systemctl("is-active", "steembot.target", check=False) == "inactive"
    assert bare.systemctl("is-enabled", "steembot.target", check=False) == "disabled"
    first = files(bare)

    edited = "# mine\nSTEEMBOT_LOG_LEVEL=debug\n"
    bare.write(SETTINGS, edited)
    make(bare, "install")
    assert files(bare) == first
    assert bare.run("cat", SETTINGS).stdout == edited
    assert bare.run("stat", "--format=%a %U %G", SETTINGS).stdout.split() == owner

    bare.run("install", "-d", "-o", "steembot-bot", "/var/lib/steembot-bot")
    bare.run("touch", "/var/lib/steembot-bot/state")
    bare.write("/etc/steembot/bots/mine.py", "")
    bare.systemctl("enable", "--now", "steembot-bot@mine", check=False)
    bare.systemctl("enable", "--now", "steembot-broadcaster.socket", "steembot.target", check=False)
    make(bare, "uninstall")
    left = files(bare)
    assert before <= left
    assert {SETTINGS, "/var/lib/steembot-bot/state"} <= left
    others = {path for path in left - before if not path.startswith("/var/lib/steembot-")}
    assert others == {SETTINGS, "/etc/steembot/bots/mine.py"}
    known = bare.systemctl("list-units", "--all", "--plain", "--no-legend", "steembot*")
    assert known == ""


def test_a_staged_tree_works_where_it_is_put(bare: Machine) -> None:
    """With DESTDIR nothing outside is touched, and the tree knows only its final place."""
    bare.run("rm", "-rf", "/etc/steembot")
    before = files(bare)
    stage = "/tmp/a stage"
    make(bare, "install", f"DESTDIR={stage}", "PREFIX=/usr")
    assert files(bare) == before
    traces = bare.run("grep", "--recursive", "--files-with-matches", "a stage", stage, check=False)
    assert traces.stdout == ""
    staged = bare.run("sh", "-c", f"cd '{stage}' && find . -name 'steembot*' | sort").stdout
    for expected in (
        "./etc/steembot/steembot.env",
        "./usr/lib/systemd/system/steembot.target",
        "./usr/lib/systemd/system/steembot-broadcaster.socket",
        "./usr/lib/systemd/system/steembot-broadcaster.service",
        "./usr/lib/systemd/system/steembot-bot.service",
        "./usr/lib/systemd/system/steembot-bot@.service",
        "./usr/lib/systemd/catalog/steembot.catalog",
        "./usr/lib/sysusers.d/steembot.conf",
        "./usr/lib/tmpfiles.d/steembot.conf",
        *(f"./usr/bin/{command}" for command in COMMANDS),
    ):
        assert expected in staged.splitlines()

    bare.run("cp", "--archive", f"{stage}/.", "/")
    for command in ("steembot-broadcaster", "steembot-bot"):
        assert bare.run(command, "--version", user="nobody").stdout.startswith(command)


def test_without_root_it_says_what_to_do(bare: Machine) -> None:
    """A normal user is sent to sudo before anything is done."""
    tried = bare.run("make", "-C", SOURCE, "install", user="nobody", check=False)
    assert tried.returncode != 0
    assert "sudo make install" in tried.stderr
