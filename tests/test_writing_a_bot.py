"""The page for authors: its commands, run as a new user would, and its handlers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from steembot.bot import Later
from steembot.testing import BotRun, Chain
from tests.support.processes import SCRIPTS, Process, environment

PAGE = (Path(__file__).parents[1] / "docs/writing-a-bot.md").read_text()


def test_the_ten_minutes_of_a_new_user(tmp_path):
    """Every command for a user's terminal, in one shell, in their order."""
    section = PAGE.partition("## Ten minutes")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ (.+)$", section, re.MULTILINE)
    assert len(commands) == 8
    # The node in the background is ours here, on whatever port is free.
    assert commands[3].startswith("steembot-devnode --generate demo --ready 200 ")
    assert commands[3].endswith(" &")
    assert commands[-1] == "kill %1"
    node_arguments = ("--generate", "demo", "--ready", "200")
    with Process("steembot-devnode", *node_arguments, env=environment(), cwd=tmp_path) as node:
        node.says("http://127.0.0.1:")
        url = next(re.search(r"http://[0-9.:]+", line)[0] for line in node.lines if "//" in line)
        script = "\n".join([*commands[:3], *commands[4:-1]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8090", url)],
            env=environment(HOME=tmp_path) | {"PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "blocks 1 to 200 in past.jsonl" in done.stdout
    assert "200 blocks from 1" in done.stderr


def test_the_handlers_of_the_page(tmp_path):
    """The example does what it seems to do."""
    code, sending = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "page.py").write_text(code)
    chain = Chain()
    run = BotRun(tmp_path / "page.py", chain, tmp_path)
    chain.post("bob", "sea", title="The sea", tags=["art"])
    chain.post("alice", "own", title="Mine", tags=["art"])
    assert run.catch_up().log == ["1. @bob: The sea"]
    names: dict = {}
    exec("import urllib.request\n" + sending, names)
    with pytest.raises(Later, match="the webhook does not answer"):
        names["send"]("http://127.0.0.1:9/", b"")


def test_the_page_names_every_condition_and_helper():
    """None that does not exist, and none is left out."""
    from steembot import testing  # noqa: PLC0415
    from steembot.bot import filters  # noqa: PLC0415

    section = PAGE.partition("## Conditions")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([a-z_]+)(?:\(\"|`)", section)) - {"where", "op", "ctx", "comment"}
    helpers = {"tags_of", "metadata_of", "mentions_of"}
    there = {
        name
        for name, value in vars(filters).items()
        if name[0] != "_"
        and (
            isinstance(value, filters.Filter)
            or getattr(value, "__module__", "") == filters.__name__
        )
        and name != "Filter"
    } - helpers
    assert told - {"custom_json", "json_metadata"} == there
    section = PAGE.partition("## Tests")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| `")]
    for name in re.findall(r"`([a-z_]+)[(`]", " ".join(row.split("|")[1] for row in rows)):
        assert hasattr(testing.Chain, name) or hasattr(testing.BotRun, name) or name in (
            "log", "journal", "restarts",
        ), name  # fmt: skip
