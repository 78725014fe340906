"""Text as a stranger writes it who wants to control a terminal, and how to tell that it cannot."""

from __future__ import annotations

from hypothesis import strategies as st

anything = st.text(st.characters(exclude_categories=()))
"""Any text that Python holds, lone surrogates too."""

HOSTILE = (
    "\x1b]0;mine\x07\x1b[2J\x9b31m\x00\r\n12:00:00 broadcaster critical: forged"
    "\u202egpj\u2028\ud83d"
)
"""A window's title, an emptied screen, a C1 control, a NUL, a forged line, a text that runs
backwards, another line end and half an emoji."""

SENDABLE = HOSTILE.replace("\ud83d", "")
"""The same, as far as UTF-8 can hold it."""


def controls(text: str, *, ends: str = "\n\t") -> set[str]:
    """What in a text controls a terminal, or cannot be written; ``ends`` are allowed."""
    return {
        c
        for c in text
        if c not in ends
        and (
            c < " "
            or "\x7f" <= c <= "\x9f"
            or "\ud800" <= c <= "\udfff"
            or c in "\u061c\u200e\u200f\u2028\u2029\ufeff"
            or "\u202a" <= c <= "\u202e"
            or "\u2066" <= c <= "\u206f"
        )
    }
