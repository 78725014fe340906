"""From a module's name or a file's path to a bot, and what is said when that fails."""

from __future__ import annotations

import pytest

from steembot.bot import Bot
from steembot.bot.loading import check_types, load_bot
from steembot.errors import HandlersError

GOOD = 'from steembot.bot import Bot\nbot = Bot()\n@bot.on("vote")\ndef f(op, ctx): ...\n'


def test_the_default_is_there():
    """The handlers that come with steembot load by name."""
    assert load_bot("steembot.bot.handlers.new_posts").types == ("comment",)


def test_a_file_loads_by_its_path(tmp_path):
    """An administrator's own file needs no package."""
    (tmp_path / "mine.py").write_text(GOOD)
    assert load_bot(str(tmp_path / "mine.py")).types == ("vote",)


def test_a_module_beside_the_author_loads(tmp_path, monkeypatch):
    """In a terminal, a module in the working directory is found."""
    (tmp_path / "beside_me.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert load_bot("beside_me").types == ("vote",)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_module", "does not import"),
        ("def f(:", "does not import"),
        ("1/0", "does not import"),
        ('from steembot.bot import Bot\nbot = Bot()\nbot.on("coment")', "does not import"),
        ("", "holds 0 bots"),
        ("from steembot.bot import Bot\na = Bot()\nb = Bot()", "holds 2 bots"),
        ("from steembot.bot import Bot\nbot = Bot()", "handles nothing"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, code, words):
    """The error names the setting and its value, and keeps the author's own traceback."""
    path = tmp_path / "bad.py"
    path.write_text(code)
    with pytest.raises(HandlersError, match=words) as caught:
        load_bot(str(path))
    assert f"STEEMBOT_HANDLERS='{path}'" in str(caught.value)
    assert (caught.value.__cause__ is not None) == (words == "does not import")


def test_a_missing_file_is_named(tmp_path):
    """A path that leads nowhere."""
    with pytest.raises(HandlersError, match="does not import"):
        load_bot(str(tmp_path / "none.py"))


def test_a_bot_for_the_other_chain_is_refused(caplog):
    """Where nothing would ever come that is an error; where some of it would, a warning."""
    bot = Bot()
    bot.on("recurrent_transfer")(print)
    with pytest.raises(HandlersError, match="Steem has no recurrent_transfer"):
        check_types(bot, "mine", "steem", virtual_ops=False)
    bot.on("transfer")(print)
    check_types(bot, "mine", "hive", virtual_ops=False)
    assert caplog.messages == []
    check_types(bot, "mine", "steem", virtual_ops=False)
    assert "recurrent_transfer" in caplog.text


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize(
    ("named", "chain", "missing", "not_missing"),
    [
        (["curation_reward", "vote"], "steem", ["curation_reward"], ["author_reward", "transfer"]),
        (["*"], "steem", ["curation_reward", "author_reward"], ["transfer", "proposal_fee"]),
        (["*"], "hive", ["curation_reward", "proposal_fee"], ["transfer"]),
        (["*", "curation_reward"], "hive", ["curation_reward", "proposal_fee"], ["transfer"]),
    ],
)
def test_virtual_operations_need_the_broadcasters_setting(
    caplog, undo, named, chain, missing, not_missing
):
    """A bot that waits for them in vain is told at the start, in one line that names the types."""
    bot = Bot()
    (bot.undo if undo else bot.on)(*named)(print)
    check_types(bot, "mine", chain, virtual_ops=True)
    assert caplog.messages == []
    check_types(bot, "mine", chain, virtual_ops=False)
    (line,) = caplog.messages
    assert "STEEMBOT_VIRTUAL_OPS=1" in line
    told = line.rpartition("never come: ")[2].split(", ")
    assert set(missing) <= set(told)
    assert not set(not_missing) & set(told)


def test_a_type_of_the_other_chain_is_named_beside_a_handler_for_all(caplog):
    """That ``"*"`` brings everything does not hide a handler that is never called."""
    bot = Bot()
    bot.on("recurrent_transfer", "*")(print)
    check_types(bot, "mine", "steem", virtual_ops=True)
    (line,) = caplog.messages
    assert "recurrent_transfer" in line
