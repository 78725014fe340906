"""Hides a handler's secrets in what its process says.

In handlers' log lines, in their exceptions and so in dead letters, and in the reason of a
:class:`~steembot.bot.later.Later`: a library's exception often names the URL that it called.
"""

from __future__ import annotations

import logging
import traceback

HIDDEN = "***"

LEAST_CHARACTERS = 6
"""A shorter text is not hidden: it stands in other words too, and guessing it is no work."""

_values: set[str] = set()
"""What is hidden: each secret, and the same as ``repr()`` writes it, since exceptions do."""


def hide(value: str) -> None:
    """Hide this text from now on."""
    if len(value) >= LEAST_CHARACTERS:
        _values.update((value, repr(str(value))[1:-1]))


def hidden(text: str) -> str:
    """Return the text without the secrets that this process has read."""
    for value in sorted(_values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def hide_in_record(record: logging.LogRecord) -> bool:
    """Take secrets out of a log record: a filter of the logger that handlers write to."""
    if _values:
        record.msg, record.args = hidden(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = hidden("".join(traceback.format_exception(*record.exc_info))).rstrip()
    return True
