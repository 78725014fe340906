"""A handler's secrets: files that systemd hands to one process alone.

systemd.exec(5), ``LoadCredential=``. A secret that was read is hidden in what the process says
(:mod:`steembot.bot.hiding`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from steembot.bot import hiding
from steembot.bot.later import Later

FOLDER = "CREDENTIALS_DIRECTORY"
"""The environment variable that names the folder: systemd's own, set by hand elsewhere."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")


class Secret(str):
    """A secret's text, which does not show itself in a ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show that it is one, and no more."""
        return f"Secret({hiding.HIDDEN!r})"


class SecretMissing(Later):
    """A secret is not there: the operation waits until somebody has set it."""


class Secrets:
    """The secrets of one bot's process. ``given`` takes the place of the files, in a test."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._given = given
        self._read: dict[str, Secret] = {}

    def get(self, name: str) -> Secret:
        """Return a secret without the line end behind it. Raises :class:`SecretMissing`."""
        if name not in self._read:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"secret({name!r}): allowed are up to 255 letters, digits, '_', '.', '-'"
                )
            text = _from_file(name) if self._given is None else self._given.get(name, "")
            if not text:
                raise SecretMissing(_remedy(name, in_test=self._given is not None))
            self._read[name] = Secret(text)
            hiding.hide(text)
        return self._read[name]


def _from_file(name: str) -> str:
    folder = os.environ.get(FOLDER)
    if not folder:
        return ""
    try:
        return Path(folder, name).read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise SecretMissing(f"the secret {name!r} cannot be read from {folder}: {why}") from error


def _remedy(name: str, *, in_test: bool) -> str:
    if in_test:
        return f"no secret {name!r}: give it to the test's BotRun(…, secrets={{{name!r}: …}})"
    return (
        f"no secret {name!r}: systemctl edit this bot's unit: LoadCredential="
        f"{name}:/etc/steembot/secrets/{name}; without systemd put the file {name} into the "
        f"folder that {FOLDER} names"
    )
