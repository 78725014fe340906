"""What can be wrong with the devnode's input.

DevNodeError
├── BlockError     a recorded block is not one that a node could have answered
├── BlocksError    a file of recorded blocks cannot be served
├── ChainError     something was asked of a chain that it cannot do
├── FaultError     a fault is not written as it must be
└── HttpsError     no certificate could be made
"""

from pathlib import Path


class DevNodeError(Exception):
    """Base of the devnode's own errors; `str()` is one line for a person."""


class BlockError(DevNodeError):
    """A recorded block is not one that a node could have answered."""


class BlocksError(DevNodeError):
    """A file of recorded blocks cannot be served.

    path: the file. line: its line, counted from 1, or None when it is about the file as a whole.
    """

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = path
        self.line = line


class ChainError(DevNodeError):
    """Something was asked of a chain that it cannot do, such as a fork of irreversible blocks."""


class FaultError(DevNodeError):
    """A fault is not written as it must be. text: how it was written."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"fault {text!r}: {reason}")
        self.text = text


class HttpsError(DevNodeError):
    """No certificate could be made for the HTTPS port."""
