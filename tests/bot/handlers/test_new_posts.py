"""New posts: each link once, in order; no replies, no edits."""

from __future__ import annotations

import itertools
import json

import pytest

from steembot.bot.handlers import new_posts
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.operation import RawOperation


@pytest.fixture
def deliver(tmp_path, caplog):
    """Deliver comments, one a block; return the log's messages. Each call is a new process."""
    caplog.set_level("INFO", "steembot.bot")
    nums = itertools.count(1)

    def run(*comments: dict[str, str]) -> list[str]:
        caplog.clear()
        with BotState(tmp_path / "s", chain="steem") as state:
            runner = Runner(new_posts.bot, state, pause=lambda _s: None, alive=lambda: None)
            for comment, num in zip(comments, nums, strict=False):
                value = {"parent_author": "", "parent_permlink": "life", "body": "x"} | comment
                op = RawOperation("comment", 0, 0, 0, "t" * 40, json.dumps(value).encode())
                block_id = f"{num:08x}" + "0" * 32
                runner.on_block(wire.BlockMessage(num, block_id, "", 0, 0, (op,)))
            assert state.dead_letters() == []
        return [record.getMessage() for record in caplog.records]

    return run


def post(author="alice", permlink="p", **more: str) -> dict[str, str]:
    return {"author": author, "permlink": permlink} | more


def test_the_link_is_the_whole_message(deliver):
    """One line a post, nothing around it."""
    assert deliver(post()) == ["https://steemit.com/@alice/p"]


def test_replies_are_silent(deliver):
    """A parent author makes it a reply."""
    assert deliver(post(parent_author="bob")) == []


def test_edits_are_silent(deliver):
    """The same author and permlink again is an edit, also after a restart."""
    assert len(deliver(post(), post(body="rewritten"))) == 1
    assert deliver(post(body="and again")) == []


def test_a_patch_of_an_older_post_is_an_edit(deliver):
    """A body that is a patch edits a post which was there before this bot."""
    assert deliver(post(body="@@ -1,9 +1,12 @@\n Hello%0A\n+!!!\n")) == []
    assert len(deliver(post(permlink="q", body="@@ is how I begin a post"))) == 1


def test_one_permlink_of_two_authors_is_two_posts(deliver):
    """The permlink alone does not name a post."""
    assert len(deliver(post("alice"), post("bob"))) == 2


def test_a_permlink_cannot_forge_a_log_line(deliver):
    """The chain allows any UTF-8 in a permlink; a link stays one line and a valid URL."""
    (line,) = deliver(post(permlink="a\nb é"))
    assert line == "https://steemit.com/@alice/a%0Ab%20%C3%A9"


def test_fields_name_the_post(deliver, caplog):
    """The journal entry can be found by author."""
    deliver(post())
    assert caplog.records[0].STEEM_AUTHOR == "alice"
    assert caplog.records[0].STEEM_PERMLINK == "p"
    assert caplog.records[0].STEEM_BLOCK == 1
