"""What the devnode says, and where it cannot say or read it: one line each."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.processes import SCRIPTS, environment


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--generate", "1", "--ready", "3"], "standard output cannot be written: No space left"),
        (["--blocks", "/proc/self/mem"], "/proc/self/mem: cannot be read: Input/output error"),
        (["--blocks", "/none/b.jsonl"], "/none/b.jsonl: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line(tmp_path, arguments, words):
    """It names the file or the stream, and the status is 78."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a descriptor, as a shell's > gives it)
        result = subprocess.run(
            [SCRIPTS / "steembot-devnode", *arguments, "--port", "0"],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 78
    assert result.stderr.splitlines()[-1].startswith(f"steembot-devnode: {words}")
    assert "Traceback" not in result.stderr
