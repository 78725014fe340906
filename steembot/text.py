"""Text from strangers, made safe to show and to store. Pure.

A node's error, an operation's body, a client's name and an exception's message are written by
people we do not know. Sent raw to a terminal, a control sequence in them sets the window's title or
hides lines; a line end forges a log entry or an sd_notify(3) assignment; a NUL ends a C string; a
lone surrogate cannot be encoded as UTF-8. Every place where such text leaves the process calls one
of these functions.
"""

from __future__ import annotations

import re

LINE_CHARACTERS = 500
"""How much of a stranger's text one line shows, unless the caller says otherwise."""

_CUT = "…"

# C0 and C1 controls, line and paragraph separators, what changes the direction of text (Unicode
# 15.0, UAX #9), and other invisible ones; noncharacters and joiners of emoji are harmless and stay.
_CONTROL = (
    "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u206f"
    "\\ufeff\\ufff9-\\ufffb"
)
_SURROGATE = "\\ud800-\\udfff"

_UNSAFE_IN_LINE = re.compile(f"[{_CONTROL}{_SURROGATE}]")
_UNSAFE_IN_LINES = re.compile(f"(?![\\n\\t])[{_CONTROL}{_SURROGATE}]")
_UNSAFE_IN_JSON = re.compile(f"(?!\\n)[{_CONTROL}{_SURROGATE}]")
_LONE_SURROGATE = re.compile(f"[{_SURROGATE}]")


def one_line(text: str, limit: int = LINE_CHARACTERS) -> str:
    r"""Return the text on one line, with control characters as escapes such as ``\x1b``.

    ``limit`` is how many characters the result may have. A text that is cut ends in ``…``.
    """
    if len(text) <= limit and text.isprintable():  # by far the most, and ten times as fast
        return text
    # Cut before and after: escapes are longer, and a text of megabytes is not to be searched whole.
    shown = _UNSAFE_IN_LINE.sub(_escape, text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + _CUT


def lines(text: str, limit: int = 64 * 1024) -> str:
    """Do the same for text of several lines, such as a traceback: line ends and tabs stay."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = _UNSAFE_IN_LINES.sub(_escape, text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + _CUT


def json_escaped(json: str) -> str:
    """Return a JSON text that means the same, with escapes for what controls a terminal.

    JSON itself wants escapes for the controls below U+0020 alone. Line ends between tokens stay.
    """
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def storable(text: str) -> str:
    """Return the text with U+FFFD for each lone surrogate, so that UTF-8 can hold it."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(found[0])
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
