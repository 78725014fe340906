"""``steembot position``: where a bot stands, and putting it elsewhere."""

from __future__ import annotations

import pytest

from steembot.bot.state import BotState
from steembot.operation import Cursor
from tests.support.processes import Process

CURSOR = Cursor(7, "00000007" + "a" * 32, 1, 2)


@pytest.fixture
def state(tmp_path):
    """The place of a stopped bot's file."""
    path = tmp_path / "state" / "bot-bot.sqlite3"
    path.parent.mkdir()
    with BotState(path, chain="steem") as state:
        state.values["kept"] = 1
        state.finish(CURSOR)
    return path


def position_of(path):
    with BotState(path, chain="steem") as state:
        return state.after, dict(state.values)


def test_it_shows_the_cursor(state, steembot):
    """One line, which is what --set takes."""
    assert steembot("position") == (0, [str(CURSOR)])
    assert steembot("position", "--bot", "bot") == (0, [str(CURSOR)])


def test_a_new_bot_has_none(state, steembot):
    """A state without a position says so."""
    with BotState(state.with_name("bot-new.sqlite3"), chain="steem"):
        pass
    assert steembot("position", "--bot", "new") == (0, ["no operation yet"])


@pytest.mark.parametrize("after", ["12", "0", str(Cursor.end_of(3, "00000003" + "b" * 32))])
def test_it_is_put_behind_a_block_or_an_operation(state, steembot, after):
    """Both positions are told, and the bot's own values stay."""
    assert steembot("position", "--set", after) == (0, [f"was {CURSOR}", after])
    assert position_of(state) == (after, {"kept": 1})
    assert steembot("position") == (0, [after])


@pytest.mark.parametrize("after", ["-1", "head", "7-abc-0-0-0", "99999999999", "4294967296", ""])
def test_what_is_no_position_is_refused(state, steembot, after):
    """Status 2, and nothing has changed."""
    status, lines = steembot("position", f"--set={after}")
    assert status == 2
    assert any(line.startswith("Error: ") for line in lines)
    assert position_of(state)[0] == str(CURSOR)


def test_a_running_bot_is_not_moved(tmp_path, settings, steembot):
    """It would overwrite its place: the words say to stop it. Its place can be shown."""
    with Process("steembot-bot", env=settings, cwd=tmp_path) as bot:
        bot.wait_for(lambda _: (tmp_path / "state" / "bot-bot.sqlite3").exists())
        bot.wait_for(lambda _: steembot("position") == (0, ["no operation yet"]))
        status, (line,) = steembot("position", "--set", "5")
        assert status == 1
        assert "another process uses the bot's state" in line
        bot.signal(15)
        assert bot.ended() == 0
    assert steembot("position", "--set", "5") == (0, ["was no operation yet", "5"])


def test_without_a_state_it_says_where_it_looked(tmp_path, steembot):
    """One line with the path, and no file is made by asking."""
    for words in ((), ("--set", "5")):
        status, (line,) = steembot("position", *words)
        assert status == 1
        assert f"{tmp_path}/state/bot-bot.sqlite3" in line
    assert not (tmp_path / "state").exists()


def test_a_moved_bot_goes_on_there(tmp_path, settings, broadcaster, steembot):
    """Put back, it is given again what follows; the audit then tells the doubles."""
    (tmp_path / "every.py").write_text(
        "from steembot.bot import Bot\n"
        "bot = Bot()\n"
        "@bot.on('*')\n"
        "def every(op, ctx): ctx.log.info('saw %s', op.cursor)\n"
    )
    env = settings | {"STEEMBOT_HANDLERS": "every"}
    for place in (None, "117"):
        if place:
            assert steembot("position", "--set", place)[0] == 0
        with Process("steembot-bot", env=env, cwd=tmp_path) as bot:
            bot.says(" saw 120-")
            bot.signal(15)
            assert bot.ended() == 0
    assert next(line for line in bot.lines if " saw " in line).split(" saw ")[1].startswith("118-")
    assert steembot("audit", "1", "117")[0] == 0
    status, lines = steembot("audit", "1", "119")
    assert status == 1
    assert {line.split(":")[0] for line in lines[:-1]} == {"double"}
