"""``steembot new``: what it writes passes its own test and the linters, as it is."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from steembot import settings
from steembot.bot.loading import load_bot
from steembot.cli.__main__ import steembot

REPOSITORY = Path(__file__).parents[2]


def new(*arguments):
    result = CliRunner().invoke(steembot, ["new", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run(folder, *argv):
    """Run a Python module where a person would, and return what it printed."""
    env = {n: v for n, v in os.environ.items() if not n.startswith("STEEMBOT_")}
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=folder,
        capture_output=True,
        text=True,
        env=env | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["greeter", "my-bot2", "a_very_long_name_for_a_bot"])
def test_a_new_bot_passes_its_own_test_and_the_linters(tmp_path, name):
    """Handlers, test and settings, of any name that a unit may have."""
    said = new(name, "--into", tmp_path).output
    module = name.replace("-", "_")
    written = {f"{name}.py", f"test_{module}.py", f"{name}.env"}
    assert {path.name for path in tmp_path.iterdir()} == written
    assert f"systemctl enable --now steembot-bot@{name}" in said
    assert load_bot(str(tmp_path / f"{name}.py")).types == ("comment", "delete_comment")
    assert "2 passed" in run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", ".")
    run(tmp_path, "ruff", "check", "--no-cache", ".")
    run(tmp_path, "ruff", "format", "--no-cache", "--check", "--line-length", "100", ".")
    # By our own rules too.
    rules = ("--config", str(REPOSITORY / "pyproject.toml"))
    run(tmp_path, "ruff", "check", "--no-cache", *rules, ".")


def test_the_settings_of_a_new_bot_are_settings(tmp_path):
    """With every # taken away they load."""
    new("greeter", "--into", tmp_path)
    lines = [
        line[1:]
        for line in (tmp_path / "greeter.env").read_text().splitlines()
        if line.startswith("#") and "=" in line and " " not in line
    ]
    given = dict(line.split("=", 1) for line in lines)
    assert settings.load(given, tmp_path) == settings.load({}, tmp_path)
    assert "WATCHED_ACCOUNT" in given


def test_nothing_is_replaced(tmp_path):
    """Not even in part."""
    (tmp_path / "test_greeter.py").write_text("mine")
    with pytest.raises(Exception, match="exists already"):
        new("greeter", "--into", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_greeter.py"]


@pytest.mark.parametrize("name", ["", "Greeter", "9lives", "a b", "../up", "a" * 27, "a--b", "ä"])
def test_a_name_that_no_unit_can_have_is_refused(tmp_path, name):
    """Before anything is written."""
    assert new(name, "--into", tmp_path).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def clone(tmp_path):
    """A copy of the repository, as far as the command looks at it."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for part in ("steembot", "deploy"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignored)
    (folder / "tests").mkdir()
    for part in ("tests/test_layers.py", "Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / part, folder / part)
    return folder


@pytest.mark.parametrize("folder", [".", "bots", "examples"])
@pytest.mark.parametrize("name", ["greeter", "my-bot2"])
def test_a_new_bot_in_a_clone_passes_its_linters(clone, folder, name):
    """Wherever in it a bot is begun: what it writes is no fault of the repository's."""
    (clone / folder).mkdir(exist_ok=True)
    new(name, "--into", clone / folder)
    run(clone, "ruff", "check", "--no-cache", ".")
    run(clone, "ruff", "format", "--no-cache", "--check", folder)
    assert "2 passed" in run(
        clone / folder,
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"test_{name.replace('-', '_')}.py",
    )


def test_a_new_process_takes_part_in_the_target(clone):
    """Console script, unit, user, place in the target and among the layers; tests and lint pass."""
    new("relay", "--process", "--into", clone)
    project = tomllib.loads((clone / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["steembot-relay"] == "steembot.relay.__main__:main"
    systemd = clone / "deploy/systemd"
    target = (systemd / "steembot.target").read_text()
    assert target.count("steembot-relay.service") == 2
    unit = configparser.RawConfigParser(strict=False, delimiters="=")
    unit.read(systemd / "steembot-relay.service")
    assert unit["Service"]["ExecStart"] == "@PREFIX@/bin/steembot-relay"
    assert unit["Service"]["User"] == "steembot-relay"
    text = (systemd / "steembot-relay.service").read_text()
    assert "steembot-bot" not in text
    assert "\nRuntimeDirectory=steembot/metrics/relay\n" in text
    users = (systemd / "steembot.sysusers").read_text()
    assert "u steembot-relay " in users
    assert "m steembot-relay steembot" in users
    commands = run_make(clone, "COMMANDS")
    assert commands.split()[-1] == "steembot-relay"
    tested = run(clone, "pytest", "-q", "-p", "no:cacheprovider", "tests/relay")
    assert "3 passed" in tested
    run(clone, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_layers.py")
    run(clone, "ruff", "check", "--no-cache", ".")
    run(clone, "ruff", "format", "--no-cache", "--check", "steembot", "tests")
    run(clone, "mypy", "--cache-dir", os.devnull, "steembot/relay")
    again = new("relay", "--process", "--into", clone)
    assert again.exit_code == 2
    assert "exists already" in again.output


def run_make(folder, variable):
    """Return the value of a Makefile's variable."""
    done = subprocess.run(
        ["make", "-pn", "help"], cwd=folder, capture_output=True, text=True, check=False
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{variable} := ")]
    return line.partition(":= ")[2]


def test_a_process_needs_a_clone(tmp_path):
    """Elsewhere there is nothing that it could be part of."""
    result = new("relay", "--process", "--into", tmp_path)
    assert result.exit_code == 2
    assert "no clone of steembot" in result.output
