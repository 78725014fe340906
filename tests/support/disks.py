"""A disk without room."""

from __future__ import annotations

import contextlib
from pathlib import Path


def fill(ballast: Path) -> None:
    """Write until there is no room any more."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
