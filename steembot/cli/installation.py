"""Which installation a command speaks of: the developer's here, the user's own, or the system's.

In a folder with ``.env``, or with a STEEMBOT_ variable set, it is that one. Otherwise it is what
was installed: by this user for themselves, where there is ``~/.config/steembot/steembot.env``; else
for the system, where there is ``/etc/steembot/steembot.env``. What is installed keeps the
state of each process in a folder of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from steembot import settings
from steembot.cli.wanted import nearest
from steembot.errors import SettingsError, StartError, StateError
from steembot.settings import Settings

log = logging.getLogger(__name__)

SETTINGS_FILE = Path("/etc/steembot/steembot.env")
BROADCASTER_FILE = SETTINGS_FILE.with_name("broadcaster.env")
"""What the broadcaster reads besides, and no bot may."""

STATE = Path("/var/lib")


class Installation(msgspec.Struct, frozen=True):
    """Settings, whose systemd runs it, and where each process keeps its state.

    ``manager``: the system's systemd or the user's own runs its units; ``None``: a person does.
    ``state``: below it each process has a folder of its own; ``None``: all share the one that the
    settings name.
    """

    settings: Settings
    manager: Literal["system", "user"] | None
    state: Path | None

    @property
    def sources(self) -> str:
        """Where its settings come from, in words."""
        files = ", ".join(map(str, self.settings.files))
        unread = f"; {BROADCASTER_FILE} is for root to read" if self._lacks_broadcasters() else ""
        return (
            f"the environment and {files}{unread}" if files else "the environment; no file was read"
        )

    def _lacks_broadcasters(self) -> bool:
        there = self.manager == "system" and BROADCASTER_FILE.exists()
        return there and BROADCASTER_FILE not in self.settings.files

    @property
    def systemctl(self) -> str:
        """The command that speaks to the systemd that runs it."""
        return "systemctl --user" if self.manager == "user" else "systemctl"

    @property
    def journalctl(self) -> str:
        """The command that shows what its units wrote."""
        return "journalctl --user" if self.manager == "user" else "journalctl"

    def block_log(self) -> Path:
        """The broadcaster's block log."""
        own = self.state and self.state / "steembot-broadcaster"
        return (own or self.settings.state_dir) / "block-log.sqlite3"

    def bot_state(self, name: str | None) -> Path:
        """The state of the bot of that name, or of the one that the settings name."""
        return self.bot_folder(name) / f"bot-{name or self.settings.bot_name}.sqlite3"

    def bot_folder(self, name: str | None) -> Path:
        """The folder in which a bot keeps its state."""
        if self.state is None:
            return self.settings.state_dir
        own = self.state / f"steembot-bot-{name}"
        return own if name and own.is_dir() else self.state / "steembot-bot"

    def bot_folders(self) -> list[Path]:
        """All folders in which bots keep their state."""
        if self.state is None:
            return [self.settings.state_dir]
        return sorted(self.state.glob("steembot-bot*"))

    def bots_in(self, folder: Path) -> list[str]:
        """The names of the bots that keep their state there. Raises :class:`OSError`."""
        names = (
            name.removeprefix("bot-").removesuffix(".sqlite3")
            for name in (entry.name for entry in folder.iterdir())  # glob() hides errors
            if name.startswith("bot-") and name.endswith(".sqlite3")
        )
        # Who owns such a folder may call a file there what they like.
        return sorted(name for name in names if settings.BOT_NAME.fullmatch(name))

    def check_bot(self, name: str | None) -> None:
        """Refuse the name of a bot that has no state here, and suggest another one.

        Raises :class:`~steembot.errors.StateError`. Nothing happens where not all can be seen.
        """
        if name is None:
            return
        known: set[str] = set()
        for folder in self.bot_folders():
            try:
                known.update(self.bots_in(folder))
            except FileNotFoundError:
                continue
            except OSError:
                return
        if known and name not in known:
            raise StateError(
                f"there is no bot's state at {self.bot_state(name)}; {nearest(name, known)}"
            )


def find(
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    *,
    wrong: list[SettingsError] | None = None,
) -> Installation:
    """Find the installation that a person means, from where they stand.

    Raises :class:`~steembot.errors.SettingsError`, or adds it to what is ``wrong``: then that
    setting counts as not given.
    """
    found = _find(os.environ if environ is None else environ, directory or _here(), wrong)
    log.info("settings come from %s", found.sources)
    return found


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise StartError("the folder that you are in is gone; go to another one: cd") from error


def _find(
    environ: Mapping[str, str], here: Path, wrong: list[SettingsError] | None
) -> Installation:
    if any(name.startswith(settings.PREFIX) for name in environ) or (here / ".env").is_file():
        return Installation(settings.load(environ, here, wrong=wrong), manager=None, state=None)
    own = _own_settings_file(environ)
    if own.is_file():
        return _own(own, environ, wrong)
    if SETTINGS_FILE.is_file():
        readable = os.access(BROADCASTER_FILE, os.R_OK)
        files = (SETTINGS_FILE, BROADCASTER_FILE) if readable else (SETTINGS_FILE,)
        given = settings.load({**environ, settings.FILES: ":".join(map(str, files))}, wrong=wrong)
        return Installation(given, manager="system", state=STATE)
    return Installation(settings.load(environ, here, wrong=wrong), manager=None, state=None)


def _own_settings_file(environ: Mapping[str, str]) -> Path:
    return _home(environ, "XDG_CONFIG_HOME", ".config") / "steembot/steembot.env"


def _own(file: Path, environ: Mapping[str, str], wrong: list[SettingsError] | None) -> Installation:
    """What ``make install-user`` installed: its units say where the socket and the state are."""
    socket = runtime_dir(environ) / "steembot/broadcaster.sock"
    with_socket = {**environ, "STEEMBOT_SOCKET": str(socket)}
    given = settings.load(with_socket, file=file, wrong=wrong)
    # A user's StateDirectory= lies below the settings up to systemd 253, and apart since then.
    apart = _home(environ, "XDG_STATE_HOME", ".local/state")
    old = file.parents[1]
    state = old if (old / "steembot-broadcaster").is_dir() else apart
    return Installation(given, manager="user", state=state)


def runtime_dir(environ: Mapping[str, str]) -> Path:
    """Where this user's systemd has its sockets, also where no login set the variable."""
    return Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")


def _home(environ: Mapping[str, str], variable: str, below: str) -> Path:
    named = environ.get(variable)
    return Path(named) if named else Path(environ.get("HOME") or Path.home()) / below
