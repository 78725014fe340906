"""What there is to see of an installation from outside: its units, and what its bots set aside."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from steembot.bot import schema
from steembot.bot.dead_letters import DeadLetters
from steembot.cli import failures, installation
from steembot.cli.installation import Installation
from steembot.cli.ownership import as_owner
from steembot.errors import SteembotError
from steembot.storage import database

UNITS = (
    "steembot.target",
    "steembot-broadcaster.socket",
    "steembot-broadcaster.service",
    "steembot-bot.service",
    "steembot-bot@*.service",
)
_PROPERTIES = "Id,ActiveState,SubState,NRestarts,MainPID,StatusText,Result"


READABLE = "run this as root (sudo), or as the user whose it is"
"""What to do where a file or a folder of a process cannot be read."""


class Unit(msgspec.Struct, frozen=True):
    """One unit as systemd has it. ``status`` is what its process says of itself.

    ``failure`` says why it is not running, or was started again: the last error of its journal.
    """

    name: str
    state: str
    sub_state: str
    restarts: int
    pid: int
    status: str
    failure: str


class BotState(msgspec.Struct, frozen=True):
    """One bot's file: the block at which it stands, and how many dead letters it holds.

    Where the file cannot be read, both are null and ``trouble`` says why.
    """

    name: str
    block: int | None
    dead_letters: int | None
    trouble: str


def units(place: Installation) -> list[Unit]:
    """The installed units, the user's own or the system's; none where systemd runs neither.

    Raises :class:`OSError` when systemd does not answer.
    """
    if place.manager is None or shutil.which("systemctl") is None:
        return []
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(installation.runtime_dir(os.environ))}
    shown = subprocess.run(  # noqa: S603 (fixed words)
        [*place.systemctl.split(), "show", f"--property={_PROPERTIES}", *UNITS],
        env=environ,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if shown.returncode != 0:
        raise OSError("; ".join(shown.stderr.split("\n")).strip("; ") or "systemd does not answer")
    return [
        _unit(place, environ, block.splitlines())
        for block in shown.stdout.strip().split("\n\n")
        if block
    ]


def _unit(place: Installation, environ: Mapping[str, str], lines: Sequence[str]) -> Unit:
    has = dict(line.split("=", 1) for line in lines if "=" in line)
    failure = ""
    ill = has["ActiveState"] == "failed" or has["SubState"] == "auto-restart"
    if has["Id"].endswith(".service") and (ill or int(has.get("NRestarts") or 0)):
        failure = failures.last_error(place.journalctl.split(), has["Id"], environ)
        if not failure and ill and has.get("Result", "success") != "success":
            failure = f"its process ended by {has['Result']}"
    return Unit(
        name=has["Id"],
        state=has["ActiveState"],
        sub_state=has["SubState"],
        restarts=int(has.get("NRestarts") or 0),
        pid=int(has.get("MainPID") or 0),
        status=has.get("StatusText", ""),
        failure=failure,
    )


def bots(place: Installation) -> list[BotState]:
    """All bots that have a state here, and those of folders that this user may not see."""
    found = []
    for folder in place.bot_folders():
        try:
            found += [_bot(name, place.bot_state(name)) for name in place.bots_in(folder)]
        except FileNotFoundError:
            continue
        except OSError as error:
            name = folder.name.removeprefix("steembot-bot").removeprefix("-")
            if place.state is None or not name:
                name = place.settings.bot_name
            words = f"{folder} cannot be read: {error.strerror}; {READABLE}"
            found.append(BotState(name, None, None, words))
    return found


def _bot(name: str, path: Path) -> BotState:
    try:
        state: BotState = as_owner(path.parent, lambda: _look(name, path), BotState)
    except SteembotError as error:
        return BotState(name, None, None, str(error))
    return state


def _look(name: str, path: Path) -> BotState:
    try:
        with closing(database.connect(path, remedy=schema.REMEDY, read_only=True)) as connection:
            schema.check(connection, path)
            count = DeadLetters(connection).count()
            after = schema.read_progress(connection)[0]
    except SteembotError as error:
        return BotState(name, None, None, str(error))
    # A cursor begins with its block's number.
    block = after.split("-")[0] if after else ""
    return BotState(name, int(block) if block.isdecimal() else None, count, "")
