"""``steembot doctor``: what goes wrong in practice, checked, each finding with its remedy."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import msgspec

from steembot import settings_file
from steembot.chain.node import Head, Node
from steembot.chain.profiles import title_of
from steembot.cli import installation, overview
from steembot.cli.console import Console, Text, say_json
from steembot.cli.ending import words
from steembot.cli.installation import Installation
from steembot.errors import NodeError, SettingsError, SteembotError, without_passwords
from steembot.feed.client import ask_status
from steembot.text import one_line

TIMEOUT_S = 10.0
OLD_HEAD_S = 60
"""A head older than this is a node that lags, or a clock that is ahead."""

LEAST_FREE_BYTES = 500 * 1024 * 1024


class Finding(msgspec.Struct, frozen=True):
    """One check's outcome. ``remedy`` says what to do; empty where all is well."""

    check: str
    ok: bool
    words: str
    remedy: str = ""


Check = Callable[[Installation], Iterator[Finding]]


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(*, as_json: bool) -> None:
    """Check nodes, clock, socket, units, disk and bots, and say how to mend what is wrong.

    The units are the system's, or those of make install-user where that is what is installed.

    Ends with status 0 if all is well, 1 otherwise.
    """
    wrong: list[SettingsError] = []
    place = installation.find(wrong=wrong)
    findings = []
    console = Console()
    checks: tuple[Check, ...] = (_versions, partial(_settings, wrong=wrong), *CHECKS)
    for check in checks:
        for finding in _found(check, place):
            findings.append(finding)
            if not as_json:
                console.print(_line(finding), soft_wrap=True)
    if as_json:
        say_json(findings)
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _found(check: Check, place: Installation) -> Iterator[Finding]:
    """Yield what a check finds; what it may not look at is a finding too."""
    try:
        yield from check(place)
    except OSError as error:
        yield Finding("rights", False, words(error), f"run this as root, not {_me()}")


def _line(finding: Finding) -> Text:
    line = Text("ok   " if finding.ok else "BAD  ", style="green" if finding.ok else "bold red")
    line.append(f"{finding.check}: ", style="bold")
    line.append(one_line(finding.words))
    if finding.remedy:
        line.append(f"\n     → {one_line(finding.remedy)}", style="yellow")
    return line


def _versions(_: Installation) -> Iterator[Finding]:
    packages = ("steembot", "beem", "pyzmq", "msgspec", "systemd-python")
    words = ", ".join(f"{name} {version(name)}" for name in packages)
    yield Finding("versions", ok=True, words=f"Python {platform.python_version()}, {words}")


def _settings(place: Installation, wrong: list[SettingsError]) -> Iterator[Finding]:
    for error in wrong:
        yield Finding(
            "settings",
            False,
            str(error),
            "mend it: a process does not start with it; below it counts as not set",
        )
    if wrong:
        return
    yield Finding("settings", ok=True, words=f"from {place.sources}")
    if place.manager != "system":
        return  # all processes are one user's
    shared = settings_file.read(installation.SETTINGS_FILE, trusted=True) or {}
    exposed = [name for name, value in shared.items() if without_passwords(value) != value]
    if exposed:
        words = f"every bot can read the password in {', '.join(exposed)}"
        remedy = f"move it from {installation.SETTINGS_FILE} to {installation.BROADCASTER_FILE}"
        yield Finding("settings", False, words, remedy)


def _nodes(place: Installation) -> Iterator[Finding]:
    profile = place.settings.profile
    ages: list[float] = []
    good = 0
    for url in place.settings.nodes:
        node = Node(url, timeout_s=TIMEOUT_S, profile=profile)
        try:
            chain_id = profile.chain_id_of(node.config())
            head = node.head() if chain_id == profile.chain_id else None
        except NodeError as error:
            yield Finding(
                "node",
                False,
                str(error),
                "nothing if others answer; else name another node in "
                "STEEMBOT_NODES, or check this machine's network and DNS",
            )
            continue
        if head is None:
            yield Finding(
                "node",
                False,
                f"{node} serves {title_of(chain_id or '')}, not {profile.title}",
                "take it out of STEEMBOT_NODES, or set STEEMBOT_CHAIN",
            )
            continue
        good += 1
        ages.append(time.time() - head.timestamp)
        yield _age(node.url, head, ages[-1])
    if not good:
        yield Finding(
            "nodes", False, "none of the nodes can be used", "name others in STEEMBOT_NODES"
        )
    elif min(abs(age) for age in ages) > OLD_HEAD_S:
        yield Finding(
            "clock",
            False,
            f"every node's head is {min(ages, key=abs):.0f} s away from this machine's time",
            "set the clock: timedatectl set-ntp true",
        )
    else:
        yield Finding("clock", ok=True, words="agrees with the chain")


def _age(url: str, head: Head, age_s: float) -> Finding:
    if age_s > OLD_HEAD_S:
        return Finding(
            "node",
            False,
            f"{url}: its head, block {head.num:,}, is {age_s:,.0f} s old",
            "nothing if other nodes are ahead of it; they are preferred",
        )
    return Finding("node", True, f"{url}: block {head.num:,}, {max(0, age_s):.0f} s old")


def _socket(place: Installation) -> Iterator[Finding]:
    path = place.settings.socket
    try:
        status = path.stat()
    except OSError as error:
        yield Finding(
            "socket",
            False,
            f"{path}: {error.strerror}",
            f"{place.systemctl} start steembot.target"
            if place.manager
            else "start steembot-broadcaster, or set STEEMBOT_SOCKET as it has it",
        )
        return
    if not stat.S_ISSOCK(status.st_mode):
        yield Finding("socket", False, f"{path} is no socket", "remove it and start steembot again")
        return
    if stat.S_IMODE(status.st_mode) & 0o007:
        yield Finding(
            "socket",
            False,
            f"{path} is open to every user (mode {stat.S_IMODE(status.st_mode):04o})",
            "SocketMode=0660 in steembot-broadcaster.socket, then restart steembot.target",
        )
    try:
        answer = ask_status(path, TIMEOUT_S)
    except SteembotError as error:
        yield Finding("broadcaster", False, str(error), _journal(place, "steembot-broadcaster"))
        return
    group = _name(lambda: grp.getgrgid(status.st_gid).gr_name, status.st_gid)
    yield Finding("socket", True, f"{path}, for the group {group}")
    behind_s = time.time() - answer.head_timestamp
    if answer.head is None or behind_s > OLD_HEAD_S:
        yield Finding(
            "broadcaster",
            False,
            answer.words or "no block yet",
            f"wait if it is catching up; else {_journal(place, 'steembot-broadcaster')}",
        )
    else:
        yield Finding("broadcaster", True, answer.words)


def _units(place: Installation) -> Iterator[Finding]:
    try:
        units = overview.units(place)
    except OSError as error:
        yield Finding(
            "units",
            False,
            str(error),
            "is it running? A user's own is while that user is logged in, or after loginctl "
            "enable-linger"
            if place.manager == "user"
            else "is it running?",
        )
        return
    for unit in units:
        words = f"{unit.name} is {unit.state} ({unit.sub_state})"
        if unit.restarts:
            words += f", restarted {unit.restarts} times since its start"
        if unit.failure:
            words += f"; {unit.failure}"
        well = unit.state == "active"
        remedy = f"{place.systemctl} start steembot.target; {_journal(place, unit.name)}"
        yield Finding("unit", well, words, "" if well else remedy)


def _disk(place: Installation) -> Iterator[Finding]:
    folder = place.block_log().parent
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    size = place.block_log().stat().st_size if _readable(place.block_log()) else 0
    words = (
        f"{usage.free / 2**30:.1f} GiB free at {folder}, the block log has {size / 2**20:.0f} MiB"
    )
    enough = usage.free >= LEAST_FREE_BYTES
    remedy = "" if enough else "make room, or set STEEMBOT_LOG_BLOCKS to less"
    yield Finding("disk", enough, words, remedy)


def _bots(place: Installation) -> Iterator[Finding]:
    as_root = f"run this as root, not {_me()}"
    for bot in overview.bots(place):
        words = f"{bot.name} stands at {bot.block or 'its beginning'}"
        if bot.trouble:
            yield Finding("bot", False, f"{bot.name}: {bot.trouble}", as_root)
        elif bot.dead_letters:
            remedy = f"steembot dead-letters list --bot {bot.name}"
            yield Finding("bot", False, f"{words}, with {bot.dead_letters} dead letters", remedy)
        else:
            yield Finding("bot", True, f"{words}, no dead letters")


def _journal(place: Installation, unit: str) -> str:
    return f"look at {place.journalctl} -u {unit}" if place.manager else "look at what it printed"


def _readable(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _name(look_up: Callable[[], str], number: int) -> str:
    try:
        return look_up()
    except KeyError:
        return str(number)


def _me() -> str:
    return _name(lambda: pwd.getpwuid(os.geteuid()).pw_name, os.geteuid())


CHECKS: tuple[Check, ...] = (_nodes, _units, _socket, _disk, _bots)
