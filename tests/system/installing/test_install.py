"""``make install``, ``uninstall``, ``purge`` and ``deb``, really run on a machine of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.conftest import REPOSITORY, SOURCE, make, wheels
from tests.system.machine import Machine
from tests.system.swarm import BOT, BROADCASTER, Steembot

pytestmark = pytest.mark.system

SETTINGS = "/etc/steembot/steembot.env"
SECRETS = "/etc/steembot/broadcaster.env"
COMMANDS = ("steembot", "steembot-broadcaster", "steembot-bot", "steembot-devnode")


def files(machine: Machine) -> set[str]:
    """List what is anywhere an installation may write to, but for what users and boots leave."""
    folders = ("/etc", "/usr", "/var/lib", "/opt", "/run/steembot")
    listed = machine.run("find", *folders, "-xdev", "-not", "-type", "d", check=False).stdout
    # Accounts stay, since what lies in /var/lib is theirs.
    accounts = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/.pwd")
    # The journal's own table of all catalogs, made anew at each change, and the package manager's.
    kept = (*accounts, "/var/lib/systemd/catalog/database", "/var/lib/dpkg")
    return {path for path in listed.splitlines() if not path.startswith(kept)}


def folders(machine: Machine) -> set[str]:
    """List the folders where an installation puts what is not the system's own."""
    listed = machine.run("find", "/usr/local", "-xdev", "-type", "d").stdout
    return {path for path in listed.splitlines() if not path.startswith("/usr/local/lib/python")}


def accounts(machine: Machine) -> list[str]:
    """List users and groups of steembot's."""
    listed = machine.run("sh", "-c", "getent passwd; getent group").stdout
    return [line.split(":")[0] for line in listed.splitlines() if line.startswith("steembot")]


def units(machine: Machine) -> str:
    """List the units of steembot's that systemd knows of."""
    return machine.systemctl("list-units", "--all", "--plain", "--no-legend", "steembot*")


def test_install_keeps_what_was_edited_and_uninstall_leaves_settings_and_state(
    bare: Machine,
) -> None:
    """Twice is harmless, an edited settings file stays; purge leaves nothing of all that."""
    before, folders_before = files(bare), folders(bare)
    printed = make(bare, "install")  # with all that it has to fetch
    assert "systemctl start steembot.target" in printed
    owner = bare.run("stat", "--format=%a %U %G", SETTINGS).stdout.split()
    assert owner == ["640", "root", "steembot"]
    secrets = bare.run("stat", "--format=%a %U %G", SECRETS).stdout
    assert secrets == "640 root steembot-broadcaster\n"
    # Nothing was started, or enabled.
    assert bare.systemctl("is-active", "steembot.target", check=False) == "inactive"
    assert bare.systemctl("is-enabled", "steembot.target", check=False) == "disabled"
    first = files(bare)
    dashboard = bare.run("cat", "/usr/local/share/steembot/grafana-dashboard.json").stdout
    assert dashboard == (REPOSITORY / "deploy/grafana/steembot.json").read_text()

    edited = "# mine\nSTEEMBOT_LOG_LEVEL=debug\n"
    bare.write(SETTINGS, edited)
    make(bare, "install", wheels())
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
    assert {SETTINGS, SECRETS, "/var/lib/steembot-bot/state"} <= left
    others = {path for path in left - before if not path.startswith("/var/lib/steembot-")}
    assert others == {SETTINGS, SECRETS, "/etc/steembot/bots/mine.py"}
    assert units(bare) == ""
    assert folders(bare) <= folders_before

    assert set(accounts(bare)) == {"steembot", "steembot-broadcaster", "steembot-bot"}
    make(bare, "purge")
    assert files(bare) == before
    assert accounts(bare) == []


@pytest.fixture
def package(bare: Machine) -> Iterator[str]:
    """Lend a Debian package, of which nothing is left afterwards."""
    before = files(bare)
    yield make(bare, "deb", wheels(), "OUTPUT=/tmp/a stage").splitlines()[-1]
    bare.run("dpkg", "--purge", "steembot")
    assert files(bare) == before
    assert bare.run("find", "/var/lib", "-name", "steembot*").stdout == ""
    assert accounts(bare) == []
    assert units(bare) == ""


@pytest.mark.usefixtures("recorded")
def test_a_package_installs_runs_upgrades_and_is_purged(bare: Machine, package: str) -> None:
    """The package knows only its final place, starts nothing, and an upgrade starts what runs."""
    bare.run("dpkg-deb", "--extract", package, "/tmp/extracted")
    traces = ("grep", "--recursive", "--files-with-matches", "a stage", "/tmp/extracted")
    assert bare.run(*traces, check=False).stdout == ""
    bare.run("dpkg", "--install", package)
    assert bare.systemctl("is-active", "steembot.target", check=False) == "inactive"
    assert bare.systemctl("is-enabled", "steembot.target", check=False) == "disabled"
    for command in COMMANDS:
        assert command in bare.run(command, "--help", user="nobody").stdout
    assert bare.run("stat", "--format=%a %U %G", SETTINGS).stdout == "640 root steembot\n"
    secrets = bare.run("stat", "--format=%a %U %G", SECRETS).stdout
    assert secrets == "640 root steembot-broadcaster\n"

    steembot = Steembot(bare)
    steembot.serve(interval_s=0.1)
    steembot.start()
    steembot.wait_for_links(3)
    before = steembot.lives()
    edited = bare.run("cat", SETTINGS).stdout
    bare.run("dpkg", "--install", package)
    assert bare.run("cat", SETTINGS).stdout == edited
    bare.systemctl("start", BROADCASTER, BOT)
    after = steembot.lives()
    assert {unit for unit in after if after[unit] != before[unit]} >= {BROADCASTER, BOT}
    steembot.wait_for_links(6)
    links = steembot.links()
    assert len(set(links)) == len(links)
    # The state of a bot with a dynamic user lies apart, and is purged with the rest.
    handlers = "STEEMBOT_HANDLERS=steembot.bot.handlers.new_posts\n"
    bare.write("/etc/steembot/bots/mine.env", handlers)
    bare.systemctl("enable", "--now", "steembot-bot@mine")
    bare.run("test", "-d", "/var/lib/private/steembot-bot-mine")


def test_without_root_it_says_what_to_do(bare: Machine) -> None:
    """A normal user is sent to sudo before anything is done."""
    tried = bare.run("make", "-C", SOURCE, "install", user="nobody", check=False)
    assert tried.returncode != 0
    assert "sudo make install" in tried.stderr
