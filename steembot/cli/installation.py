"""Which installation a command speaks of: the developer's here, or the system's.

In a folder with ``.env``, or with a STEEMBOT_ variable set, it is that one. Otherwise, where
``/etc/steembot/steembot.env`` exists, it is the installed one, whose processes keep their state
below ``/var/lib``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from steembot import settings
from steembot.settings import Settings

SETTINGS_FILE = Path("/etc/steembot/steembot.env")
STATE = Path("/var/lib")


class Installation(msgspec.Struct, frozen=True):
    """Settings, and where each process keeps its state."""

    settings: Settings
    system: bool

    def block_log(self) -> Path:
        """The broadcaster's block log."""
        folder = STATE / "steembot-broadcaster" if self.system else self.settings.state_dir
        return folder / "block-log.sqlite3"

    def bot_state(self, name: str | None) -> Path:
        """The state of the bot of that name, or of the one that the settings name."""
        return self.bot_folder(name) / f"bot-{name or self.settings.bot_name}.sqlite3"

    def bot_folder(self, name: str | None) -> Path:
        """The folder in which a bot keeps its state."""
        if not self.system:
            return self.settings.state_dir
        own = STATE / f"steembot-bot-{name}"
        return own if name and own.is_dir() else STATE / "steembot-bot"

    def bots(self) -> list[str]:
        """The names of all bots that have a state."""
        folders = sorted(STATE.glob("steembot-bot*")) if self.system else [self.settings.state_dir]
        return sorted(
            path.name.removeprefix("bot-").removesuffix(".sqlite3")
            for folder in folders
            for path in folder.glob("bot-*.sqlite3")
        )


def find(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Installation:
    """Find the installation that a person means, from where they stand.

    Raises :class:`~steembot.errors.SettingsError`.
    """
    environ = os.environ if environ is None else environ
    here = directory or Path.cwd()
    told = any(name.startswith(settings.PREFIX) for name in environ)
    if told or (here / ".env").is_file() or not SETTINGS_FILE.is_file():
        return Installation(settings.load(environ, here), system=False)
    given = settings.load(environ, SETTINGS_FILE.parent, SETTINGS_FILE.name)
    return Installation(given, system="STEEMBOT_STATE_DIR" not in environ)
