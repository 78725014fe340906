"""New or edited: what a bot remembers, forgets, and how forks count."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.bot import Bot, filters
from steembot.bot.handlers import new_posts
from steembot.bot.posts import Posts, is_patch
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.operation import Block, RawOperation
from steembot.storage.database import Connection
from tests.bot.conftest import message, undo
from tests.support.blocks import block_id


def block(num: int, *posts: str, salt: str = "", body: str = "x") -> Block:
    """A block with these posts of alice."""
    value = {"parent_author": "", "parent_permlink": "life", "author": "alice", "body": body}
    return Block.of(
        num,
        block_id(num, "", salt),
        block_id(num - 1, "", ""),
        1_500_000_000 + 3 * num,
        tuple(
            RawOperation("comment", i, 0, 0, "t", json.dumps(value | {"permlink": p}).encode())
            for i, p in enumerate(posts)
        ),
    )


def watching(seen: list[str], where=filters.new_post) -> Bot:
    bot = Bot()
    bot.on("comment", where=where)(lambda op, _ctx: seen.append(op.value["permlink"]))
    return bot


def test_a_rewritten_body_of_a_known_post_is_an_edit(run):
    """Over restarts too: the memory is on disk, and committed with the position."""
    seen: list[str] = []
    bot = watching(seen)
    run(bot)[0].on_block(message(block(1, "a", "b")))
    run(bot)[0].on_block(message(block(2, "a", "c", body="all new")))
    assert seen == ["a", "b", "c"]


def test_an_edit_of_an_older_post_is_remembered(run):
    """After its patch, a post from before the bot is known; its whole rewriting is an edit."""
    seen: list[str] = []
    runner, _ = run(watching(seen))
    runner.on_block(message(block(1, "old", body="@@ -1,2 +1,2 @@\n-a\n+b\n")))
    runner.on_block(message(block(2, "old", body="rewritten")))
    assert seen == []


def test_posts_are_noted_whatever_the_conditions_ask(run):
    """A post that was too old when it came is not new when it is edited."""
    seen: list[str] = []
    bot = Bot()
    bot.on("comment", max_age=10, where=filters.by("alice") & filters.new_post)(
        lambda op, _ctx: seen.append(op.value["permlink"])
    )
    now = [1_500_000_100.0]
    runner, _ = run(bot, now=lambda: now[0])
    runner.on_block(message(block(1, "late")))
    now[0] = 1_500_000_007.0
    runner.on_block(message(block(2, "late", "timely", body="rewritten")))
    assert seen == ["timely"]


def test_a_post_that_comes_again_after_a_fork_is_announced_once(tmp_path, caplog):
    """The bot that comes with steembot has no undo handler: what it said stays said."""
    caplog.set_level("INFO", "steembot.bot")
    with BotState(tmp_path / "s", chain="steem") as state:
        runner = Runner(new_posts.bot, state, pause=lambda _s: None, alive=lambda: None)
        for salt in ("", "x", "y"):
            runner.on_block(message(block(5, "a", salt=salt)))
            runner.on_undo(undo(block(5, "a", salt=salt)))
        runner.on_block(message(block(5, "b", salt="z")))
        runner.on_block(message(block(6, "a", salt="z")))
    assert caplog.messages == ["https://steemit.com/@alice/a", "https://steemit.com/@alice/b"]


def test_a_bot_that_takes_posts_back_is_given_them_again(run):
    """With an undo handler the post is new, undone, and new again; then it is known."""
    told: list[str] = []
    bot = Bot()
    bot.on("comment", where=filters.new_post)(lambda op, _ctx: told.append("+"))
    bot.undo("comment", where=filters.new_post)(lambda op, _ctx: told.append("-"))
    runner, _ = run(bot)
    for salt in ("", "x"):
        runner.on_block(message(block(5, "a", salt=salt)))
        runner.on_undo(undo(block(5, "a", salt=salt)))
    runner.on_block(message(block(5, "a", salt="y")))
    edit = block(6, "a", body="edited")
    runner.on_block(message(edit))
    runner.on_undo(undo(edit))
    runner.on_block(message(block(6, "a", salt="z", body="edited")))
    assert told == ["+", "-", "+", "-", "+"]


def failing(key: str) -> tuple[Bot, list[str], list[bool]]:
    """A bot for new posts, what it has announced by that key, and whether it fails instead."""
    bot, announced, fails = Bot(), [], [True]

    @bot.on("comment", where=filters.new_post)
    def announce(op, _ctx):
        if fails[0]:
            raise RuntimeError
        announced.append(op.value[key])

    return bot, announced, fails


def test_a_post_that_was_never_announced_is_new_after_a_fork(run):
    """Its handler failed for good, and the fork took the dead letter back."""
    bot, announced, fails = failing("permlink")
    runner, state = run(bot)
    runner.on_block(message(block(5, "a")))
    assert len(state.dead_letters()) == 1
    runner.on_undo(undo(block(5, "a")))
    assert state.dead_letters() == []
    fails[0] = False
    runner.on_block(message(block(5, "a", salt="x")))
    assert announced == ["a"]


def test_a_parked_new_post_is_still_new_when_it_is_redriven(run):
    """An edit that came meanwhile is an edit all the same."""
    bot, announced, fails = failing("body")
    runner, state = run(bot)
    runner.on_block(message(block(5, "a")))
    fails[0] = False
    runner.on_block(message(block(6, "a", body="edited")))
    assert announced == []
    state.letters.want(None)
    runner.redrive()
    assert announced == ["x"]


def deletion(num: int, permlink: str = "a", salt: str = "") -> Block:
    """A block in which alice deletes a post."""
    value = json.dumps({"author": "alice", "permlink": permlink}).encode()
    return Block.of(
        num,
        block_id(num, "", salt),
        block_id(num - 1, "", ""),
        1_500_000_000 + 3 * num,
        (RawOperation("delete_comment", 0, 0, 0, "t", value),),
    )


def test_a_deleted_post_is_new_when_it_is_posted_again(run):
    """Once, over a restart too; what is posted then has edits of its own."""
    seen: list[str] = []
    bot = watching(seen)
    assert bot.types == ("comment", "delete_comment")
    run(bot)[0].on_block(message(block(1, "a")))
    run(bot)[0].on_block(message(deletion(2)))
    runner, _ = run(bot)
    runner.on_block(message(block(3, "a", body="another")))
    runner.on_block(message(block(4, "a", body="an edit of it")))
    assert seen == ["a", "a"]


def test_to_delete_an_unknown_post_changes_nothing(run):
    """It is new when it is posted, as it would have been."""
    seen: list[str] = []
    runner, _ = run(watching(seen))
    runner.on_block(message(deletion(1)))
    runner.on_block(message(block(2, "a")))
    runner.on_block(message(block(3, "a", body="edit")))
    assert seen == ["a"]


@pytest.mark.parametrize("told", [False, True])
def test_a_deletion_that_a_fork_takes_back_was_none(run, told):
    """The post is there again, so what comes is an edit; so also after it had been posted anew."""
    seen: list[str] = []
    bot = watching(seen)
    if told:
        bot.undo("comment")(lambda op, _ctx: seen.append("undo"))
    runner, state = run(bot)
    runner.on_block(message(block(1, "a")))
    runner.on_block(message(deletion(2)))
    runner.on_undo(undo(deletion(2)))
    runner.on_block(message(block(2, "a", body="edit", salt="b")))
    assert seen == ["a"]
    runner.on_block(message(deletion(3, salt="b")))
    runner.on_block(message(block(4, "a", body="another", salt="b")))
    assert seen == ["a", "a"]
    runner.on_undo(undo(block(4, "a", body="another", salt="b")))
    runner.on_undo(undo(deletion(3, salt="b")))
    runner.on_block(message(block(3, "a", body="edit", salt="c")))
    assert seen == ["a", "a"] + ["undo"] * told
    state.commit()


def test_memory_is_bounded_and_forgets_the_oldest(tmp_path):
    """Beyond the bound those go whose last version is the oldest."""
    connection = sqlite3.connect(tmp_path / "s", isolation_level=None, factory=Connection)
    from steembot.bot import schema  # noqa: PLC0415
    from steembot.operation import unpack  # noqa: PLC0415

    schema.prepare(connection, tmp_path / "s", "steem")
    posts = Posts(connection, max_posts=100)
    for num in range(1, 400):
        # "kept" is edited again and again.
        for raw in block(num, f"p{num}", "kept").operations:
            made = block(num, f"p{num}", "kept")
            is_edit = posts.note(unpack(raw, made.ref, made.timestamp))
            assert is_edit == (b"kept" in raw.value and num > 1)
        posts.settle()
        posts.write()
        posts.written()
        (count,) = connection.execute("SELECT count(*) FROM post").fetchone()
        assert count <= 100
    assert count > 80
    made = block(400, "p399", "p1")
    last, first = (unpack(raw, made.ref, made.timestamp) for raw in made.operations)
    assert posts.note(last)
    assert not posts.note(first), "forgotten, and so it looks new"
    connection.close()


@pytest.mark.parametrize(
    ("body", "patch"),
    [
        ("@@ -1,9 +1,12 @@\n Hello%0A\n+!!!\n", True),
        ("@@ -1 +1,2 @@\n-a\n+ab", True),
        ("@@ -1,3 +1,4 @@\n abc\n+d\n@@ -9,3 +10,4 @@\n xyz\n+!\n", True),
        ("@@ -1,3 +1,4 @@\n abc\nand then I wrote this", False),
        ("@@ -1,3 +1,4 @@", False),
        ("@@ -a +b @@\n x", False),
        ("@@ is how I begin", False),
        (" @@ -1,3 +1,4 @@\n abc", False),
        ("", False),
    ],
)
def test_what_is_a_patch(body, patch):
    """Only what steemd would apply as one, from end to end."""
    assert is_patch(body) is patch


@given(old=st.text(), new=st.text())
def test_every_patch_of_a_real_client_is_one(old, new):
    """What diff-match-patch makes of any two texts, as clients do."""
    differ = pytest.importorskip("diff_match_patch").diff_match_patch()
    text = differ.patch_toText(differ.patch_make(old, new))
    assert is_patch(text) == bool(text)
