"""The table of faults, as the command and the documentation show it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from steembot.devnode.fault_kinds import KINDS, table
from tests.devnode.client import TIMEOUT_S


@pytest.mark.parametrize("option", [("--fault", "list"), ("--faults",)])
def test_command_lists_the_faults(option):
    """One line each, without needing a chain."""
    command = [sys.executable, "-m", "steembot.devnode", *option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stdout == table() + "\n"


def test_the_page_has_every_fault():
    """docs/faults.md tells the same names and deeds as the node itself."""
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
    _, _, page = page.partition("\n## The faults\n")
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.splitlines()
        if line.startswith("| `")
    ]
    told = {row[0]: row[1] for row in rows}
    assert told == {f"`{kind.usage}`": kind.what for kind in KINDS}
