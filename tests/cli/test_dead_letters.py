"""``steembot dead-letters`` on a bot's file, with and without the bot running."""

from __future__ import annotations

import json
import threading

import pytest
from click.testing import CliRunner

from steembot.bot import Bot
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.cli.__main__ import steembot
from tests.bot.conftest import message
from tests.support.blocks import make_block


@pytest.fixture
def state_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEEMBOT_STATE_DIR", str(tmp_path))
    return tmp_path


class Failing:
    """A bot named mine with two dead letters, whose handler can be mended."""

    def __init__(self, folder):
        self._path = folder / "bot-mine.sqlite3"
        self._broken = True
        self.bot = Bot()
        self.bot.on("*")(self._handle)
        self.run(lambda runner: runner.on_block(message(make_block(5, "0" * 40))))
        self._broken = False

    def _handle(self, _op, _ctx):
        if self._broken:
            raise RuntimeError("the reason")

    def run(self, what):
        with BotState(self._path, chain="steem") as state:
            what(Runner(self.bot, state, pause=lambda _s: None, alive=lambda: None))


@pytest.fixture
def failing(state_dir):
    return Failing(state_dir)


def ask(*arguments):
    result = CliRunner().invoke(steembot, ["dead-letters", *arguments, "--bot", "mine"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_list_and_show(failing):
    """The list names each with its error, and one alone is shown whole."""
    _, listed = ask("list")
    assert "RuntimeError: the reason" in listed
    assert "comment" in listed
    _, shown = ask("show", "2")
    assert "Traceback" in shown
    assert '"n": "5/1"' in shown


def test_json_for_programs(failing):
    """List, show and redrive answer with objects on request."""
    letters = json.loads(ask("list", "--json")[1])
    assert [letter["id"] for letter in letters] == [1, 2]
    assert letters[0]["operation"]["value"]["n"] == "5/0"
    assert json.loads(ask("show", "1", "--json")[1]) == letters[0]
    code, answer = ask("redrive", "1", "--wait", "0", "--json")
    assert (code, json.loads(answer)) == (1, {"handled": 0, "failed": [], "waiting": [1]})


def test_a_stopped_bot_takes_it_up_at_its_start(failing):
    """The request is kept; the command says that it waits."""
    code, said = ask("redrive", "--all", "--wait", "0")
    assert code == 1
    assert "2 still to be run" in said
    failing.run(Runner.redrive)
    assert "no dead letters" in ask("list")[1]


def test_a_running_bot_takes_it_up_while_the_command_waits(failing):
    """Both at once on one file, and the command tells what came of it."""
    stop = threading.Event()

    def turn(runner):
        while not stop.wait(0.01):
            runner.redrive()

    bot = threading.Thread(target=failing.run, args=(turn,))
    bot.start()
    try:
        assert ask("redrive", "2") == (0, "1 handled, 0 failed again, 0 still to be run\n")
        failing._broken = True
        code, said = ask("redrive", "--all")
    finally:
        stop.set()
        bot.join()
    assert code == 1
    assert said.splitlines() == [
        "0 handled, 1 failed again, 0 still to be run",
        "1: RuntimeError: the reason",
    ]


def test_drop(failing):
    """It is gone, and dropping it twice is an error."""
    assert ask("drop", "1") == (0, "dropped 1\n")
    assert "1" not in [str(letter["id"]) for letter in json.loads(ask("list", "--json")[1])]
    with pytest.raises(Exception, match="no dead letter 1"):
        ask("drop", "1")


@pytest.mark.parametrize("arguments", [("redrive",), ("redrive", "1", "--all"), ("show",)])
def test_wrong_use(failing, arguments):
    """One ID or all of them, not both and not neither."""
    assert ask(*arguments)[0] == 2


def test_a_bot_that_is_not_there_is_named(state_dir):
    """With the folders that were looked at."""
    with pytest.raises(Exception, match=f"no bot's state at {state_dir}"):
        ask("list")


def test_a_bot_that_is_not_there_is_told_with_the_nearest(failing):
    """A slip in the name is no empty box."""
    for command in (["dead-letters", "list"], ["position"], ["audit", "1", "2"]):
        result = CliRunner().invoke(steembot, [*command, "--bot", "mime"])
        assert "bot-mime.sqlite3; did you mean 'mine'? there are: mine" in str(result.exception)
