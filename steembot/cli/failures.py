"""Why a unit is not well: the last error in its journal, or what systemd says of its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence

import msgspec

from steembot.text import one_line

ENTRIES = "20"
"""How many of a unit's newest errors are looked at: systemd's own come behind the process's."""


class _Entry(msgspec.Struct):
    """One line of ``journalctl --output=json``. A text that is no UTF-8 is a list of bytes."""

    message: str | list[int] | None = msgspec.field(name="MESSAGE", default=None)
    identifier: str | list[int] | None = msgspec.field(name="SYSLOG_IDENTIFIER", default=None)
    at_us: str = msgspec.field(name="__REALTIME_TIMESTAMP", default="0")


_decode = msgspec.json.Decoder(_Entry).decode


def last_error(
    journalctl: Sequence[str], unit: str, environ: Mapping[str, str] = os.environ
) -> str:
    """Return the last error that a unit's process wrote, on one line; empty if there is none."""
    try:
        found = subprocess.run(  # noqa: S603 (fixed words)
            [
                *journalctl,
                f"--unit={unit}",
                "--priority=err",
                f"--lines={ENTRIES}",
                "--output=json",
                "--all",
                "--quiet",
                "--no-pager",
            ],
            env=dict(environ),
            capture_output=True,
            check=False,
        )
    except OSError:  # no journalctl here: then there is no journal to look at
        return ""
    return newest(found.stdout.splitlines(), time.time())


def newest(lines: Sequence[bytes], now: float) -> str:
    """Return the newest error of a process in words: how old it is, and what it says."""
    entries = []
    for line in lines:
        try:
            entries.append(_decode(line))
        except msgspec.MsgspecError:
            continue  # a line that this journalctl writes otherwise is no reason for an error
    own = [entry for entry in entries if _text(entry.identifier).startswith("steembot-")]
    if not (chosen := own or entries):
        return ""
    entry = chosen[-1]
    age_s = max(0, now - int(entry.at_us) / 1e6) if entry.at_us.isdecimal() else 0
    return f"{_ago(age_s)}: {_summary(_text(entry.message))}"


def _text(given: str | list[int] | None) -> str:
    if isinstance(given, list):
        return bytes(number & 0xFF for number in given).decode("utf-8", "replace")
    return given or ""


def _summary(message: str) -> str:
    """Return a message's first line, and of a traceback the last one, which names the error."""
    first, *rest = [line for line in message.splitlines() if line.strip()] or [""]
    return one_line(f"{first}: {rest[-1]}" if rest else first)


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
