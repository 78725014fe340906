"""The ``steembot`` command as a whole: help, unknown commands, wrong settings."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from steembot.cli.__main__ import COMMANDS


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command_with_what_it_does(steembot, flag):
    """All of them, each with its one line, without a broadcaster or any state."""
    status, lines = steembot(flag)
    assert status == 0
    page = re.sub(r"\s+", " ", " ".join(lines))
    for name, summary in COMMANDS.items():
        assert f" {name} {summary}" in page


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_has_help_of_its_own(steembot, command):
    """Its module exists and its help begins as a manual does."""
    status, lines = steembot(command, "--help")
    assert status == 0
    assert lines[0].startswith(f"Usage: steembot {command} ")


def test_the_version_is_the_package_s(steembot):
    """``--version`` is what pip knows."""
    status, (line,) = steembot("--version")
    assert (status, line.split()[-1]) == (0, version("steembot"))


def test_an_unknown_command_is_refused(steembot):
    """Status 2, its name in the line."""
    status, lines = steembot("audits")
    assert status == 2
    assert "audits" in lines[-1]
    assert "Traceback" not in "\n".join(lines)


@pytest.mark.parametrize("command", [("audit", "1", "2"), ("position",), ("tail",), ("nodes",)])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"STEEMBOT_CHAIN": "bitcoin"}, ["STEEMBOT_CHAIN='bitcoin'", "steem, hive"]),
        ({"STEEMBOT_NODE": "x"}, ["STEEMBOT_NODE='x'", "STEEMBOT_NODES"]),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_78(steembot, command, setting, words):
    """As with the processes: the setting, the value and what is allowed."""
    status, lines = steembot(*command, **setting)
    assert (status, len(lines)) == (78, 1), lines
    for word in words:
        assert word in lines[0]


def test_it_says_which_settings_files_were_read(steembot, tmp_path):
    """With --verbose on standard error, and in what the doctor finds."""
    _, lines = steembot("--verbose", "position")
    assert "steembot: settings come from the environment; no file was read" in lines
    (tmp_path / ".env").write_text("STEEMBOT_LOG_LEVEL=debug\n")
    _, lines = steembot("-v", "position")
    assert f"steembot: settings come from the environment and {tmp_path}/.env" in lines
    _, lines = steembot("position")
    assert not any(".env" in line for line in lines)
    _, lines = steembot("doctor")
    assert any(f"settings: from the environment and {tmp_path}/.env" in line for line in lines)
