"""From a module's name or a file's path to a bot, and what is said when that fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from steembot.bot import Bot
from steembot.bot.loading import check_types, load_bot
from steembot.errors import HandlersError
from tests.support.programs import python

GOOD = 'from steembot.bot import Bot\nbot = Bot()\n@bot.on("vote")\ndef f(op, ctx): ...\n'


def test_the_default_is_there():
    """The handlers that come with steembot load by name."""
    assert load_bot("steembot.bot.handlers.new_posts").types == ("comment", "delete_comment")


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


# ---- modules beside a bot's file


def loaded(path, **variables) -> subprocess.CompletedProcess[str]:
    """Load a bot's file in a process of its own, and print which types it handles."""
    return python(
        f"""
        import logging
        from steembot.bot.loading import load_bot
        logging.basicConfig(format="%(message)s")
        print(*load_bot({str(path)!r}).types)
        """,
        **variables,
    )


def test_a_module_beside_the_file_is_imported(tmp_path):
    """At the start and later, also from a package, and where the bot's file is a link."""
    (tmp_path / "helpers.py").write_text("KIND = 'vote'\n")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "__init__.py").write_text("from helpers import KIND\n")
    path = tmp_path / "mine.py"
    path.write_text("import helpers, kit\n" + GOOD.replace('"vote"', "kit.KIND"))
    assert loaded(path).stdout == "vote\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.py").symlink_to(path)
    assert loaded(elsewhere / "linked.py").stdout == "vote\n"


def test_a_module_beside_the_file_replaces_none_of_pythons_or_steembots(tmp_path):
    """Whatever a helper is called, everything else goes on importing what it did."""
    for name in ("json", "steembot", "msgspec", "colorsys"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    path = tmp_path / "mine.py"
    path.write_text("import json, steembot, msgspec, colorsys\n" + GOOD)
    assert loaded(path).stdout == "vote\n"


def test_a_module_beside_the_file_registers_with_the_same_bot(tmp_path):
    """A helper that imports the bot's file gets that bot, not a second one that never runs."""
    (tmp_path / "more.py").write_text(
        "from mine import bot\n@bot.on('transfer')\ndef f(op, ctx): ...\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(GOOD + "import more\n")
    assert loaded(path).stdout == "transfer vote\n"


def test_a_folder_that_everybody_can_write_is_not_searched(tmp_path):
    """A stranger cannot offer a module there, and it is said."""
    (tmp_path / "helpers.py").write_text("")
    path = tmp_path / "mine.py"
    path.write_text("import helpers\n" + GOOD)
    tmp_path.chmod(0o1777)
    result = loaded(path)
    assert f"modules in {tmp_path} cannot be imported: everybody can write it" in result.stderr
    assert "No module named 'helpers'" in result.stderr
    path.write_text(GOOD)
    assert loaded(path).stdout == "vote\n"


def test_each_file_that_is_loaded_finds_its_own_helper(tmp_path):
    """In one process, as tests do it: another folder's, and the same one's after it changed."""
    for folder, kind in (("a", "vote"), ("b", "transfer"), ("a", "comment")):
        path = tmp_path / folder / "mine.py"
        path.parent.mkdir(exist_ok=True)
        path.with_name("helper_of_mine.py").write_text(
            f"from mine import bot\n@bot.on('{kind}')\ndef f(op, ctx): ...\n"
        )
        path.write_text("from steembot.bot import Bot\nbot = Bot()\nimport helper_of_mine\n")
        for _ in range(2):
            assert load_bot(str(path)).types == (kind,)


@pytest.mark.parametrize("name", ["syslog", "colorsys", "antigravity", "votes-2", "a.b"])
def test_a_file_of_any_name_loads(tmp_path, name):
    """Also one that is called like a module of Python, built in or not."""
    path = tmp_path / f"{name}.py"
    path.write_text(GOOD)
    assert loaded(path).stdout == "vote\n"


@pytest.mark.parametrize(("mode", "owner"), [(0o1777, 0), (0o755, 12345)])
def test_a_working_directory_of_others_is_not_searched(tmp_path, mode, owner):
    """A module's name finds nothing that somebody else put where a command was started."""
    if owner and os.geteuid() != 0:
        pytest.skip("only root gives a folder away")
    (tmp_path / "beside.py").write_text(GOOD)
    tmp_path.chmod(mode)
    if owner:
        os.chown(tmp_path, owner, owner)
    code = "from steembot.bot.loading import load_bot; load_bot('beside')"
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"modules in {tmp_path} cannot be imported" in result.stderr
    assert "No module named 'beside'" in result.stderr
