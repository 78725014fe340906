"""Where the file of a bot lies that somebody names."""

from __future__ import annotations

import os
from pathlib import Path

from steembot.errors import StateError
from steembot.settings import Settings

SYSTEM_STATE = Path("/var/lib")
"""Where systemd keeps the StateDirectory= of a service."""


def find_state(given: Settings, name: str | None) -> Path:
    """Return the file of the bot with that name, or of the one that the settings name.

    In ``STEEMBOT_STATE_DIR`` if that is set, else also where the units of an installation keep it.
    Raises :class:`~steembot.errors.StateError` if there is none.
    """
    bot = name or given.bot_name
    folders = [given.state_dir]
    if not os.environ.get("STEEMBOT_STATE_DIR"):
        folders += [SYSTEM_STATE / f"steembot-bot-{bot}", SYSTEM_STATE / "steembot-bot"]
    places = [folder / f"bot-{bot}.sqlite3" for folder in folders]
    for place in places:
        if place.exists():
            return place
    raise StateError(
        f"no bot {bot!r} has a state in {', '.join(map(str, folders))}; name the bot with --bot, "
        "and its folder with STEEMBOT_STATE_DIR"
    )
