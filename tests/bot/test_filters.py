"""The ready-made conditions, each on what it means and on what it must not take for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.bot import Bot, Context, filters
from steembot.operation import Operation


def operation(kind: str, **value) -> Operation:
    return Operation(kind, value, 7, "0" * 40, datetime(2020, 9, 13, tzinfo=UTC), "t", 0, 0, 0)


def comment(**value) -> Operation:
    usual = {"parent_author": "", "parent_permlink": "life", "author": "alice", "permlink": "p"}
    return operation("comment", **(usual | {"title": "", "body": "x", "json_metadata": ""} | value))


def holds(condition, op: Operation) -> bool:
    context = Context({})
    context.enter(op)
    answer = condition(op, context)
    assert isinstance(answer, bool)
    return answer


POST, REPLY = comment(), comment(parent_author="bob")
PATCH = comment(body="@@ -1,3 +1,4 @@\n abc\n+d\n")
VOTE = operation("vote", voter="alice", author="bob", permlink="p", weight=1)


def test_posts_replies_and_edits():
    """The same operation type, told apart."""
    table = {
        filters.post: (True, False, True),
        filters.reply: (False, True, False),
        filters.new_post: (True, False, False),
        filters.new_reply: (False, True, False),
        filters.edit: (False, False, True),
        filters.reply_to("bob"): (False, True, False),
        filters.reply_to("alice"): (False, False, False),
    }
    for condition, expected in table.items():
        assert tuple(holds(condition, op) for op in (POST, REPLY, PATCH)) == expected, condition
        assert not holds(condition, VOTE)


def test_by_knows_who_acts():
    """As author, voter, sender or signer; with and without @, whatever the case."""
    assert holds(filters.by("alice"), POST)
    assert holds(filters.by("@Alice"), VOTE)
    assert not holds(filters.by("bob"), VOTE)
    assert holds(filters.by("bob", "alice"), operation("transfer", **{"from": "alice", "to": "x"}))
    signed = operation("custom_json", required_auths=[], required_posting_auths=["alice"], id="x")
    assert holds(filters.by("alice"), signed)
    assert not holds(filters.by("alice"), operation("curation_reward", curator="alice"))


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [
        ('{"tags":["Art","steem"]}', ("life", "art", "steem")),
        ('{"tags":"art, steem"}', ("life", "art", "steem")),
        ('{"tags":"#art"}', ("life", "art")),
        ('{"tags":["art",7,null,["x"],"life"," "]}', ("life", "art")),
        ('{"tags":{"a":1}}', ("life",)),
        ("", ("life",)),
        ("{", ("life",)),
        ("[]", ("life",)),
        ('"text"', ("life",)),
        ("[" * 100_000, ("life",)),
        (None, ("life",)),
    ],
)
def test_tags_of_whatever_a_client_wrote(metadata, tags):
    """The category and the tags; what cannot be read counts as none."""
    assert filters.tags_of(comment(json_metadata=metadata)) == tags
    assert filters.tags_of(VOTE) == ()


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists) | st.text())
def test_no_metadata_makes_a_condition_raise(metadata):
    """Whatever JSON or text stands there."""
    for text in (metadata, json.dumps(metadata), json.dumps({"tags": metadata})):
        holds(filters.tagged("art") | filters.mentions("bob"), comment(json_metadata=text))


def test_tags_and_communities():
    """A community is the category of a root post."""
    assert holds(filters.tagged("#LIFE"), POST)
    assert not holds(filters.tagged("life"), REPLY)
    there = comment(parent_permlink="hive-123456")
    assert holds(filters.in_community("hive-123456", "hive-111111"), there)
    assert holds(filters.tagged("hive-123456"), there)
    assert not holds(filters.in_community("hive-123456"), POST)
    with pytest.raises(ValueError, match="hive-123456"):
        filters.in_community("photography")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("hi @bob!", ("bob",)),
        ("@bob, @carol.c and @Bob", ("bob", "carol.c")),
        ("(@bob) **@carol**", ("bob", "carol")),
        ("see https://steemit.com/@bob/p and a@bob.example", ()),
        ("@@bob @bo @7up @averyveryverylongname", ()),
        ("thanks @bob.", ("bob",)),
        ("@bob-", ("bob",)),
        ("안녕하세요@bob님, é@carol", ("bob", "carol")),
        ("ok-@bob", ("bob",)),
        ("\uff20bob", ("bob",)),
        ("x.@bob !@carol =@dave", ("bob", "carol", "dave")),
        ("1@bob _@bob #@bob /@bob", ()),
        ("@\u212aen @\u017fam", ()),  # no ASCII letters, though like k and s in small
    ],
)
def test_mentions_are_accounts_and_no_addresses(body, names):
    """Only names that an account can have, not in web or mail addresses."""
    assert filters.mentions_of(comment(body=body)) == names
    assert holds(filters.mentions("bob"), comment(body=body)) == ("bob" in names)


def test_a_mention_in_the_title_counts():
    """Title and body are one text."""
    assert holds(filters.mentions("bob"), comment(title="For @bob"))


def test_transfers_and_custom_json():
    """To whom, and with which id."""
    paid = operation("transfer", **{"from": "bob", "to": "alice", "amount": "1.000 STEEM"})
    assert holds(filters.transfer_to("alice"), paid)
    assert not holds(filters.transfer_to("bob"), paid)
    follow = operation("custom_json", id="follow", json="[]")
    assert holds(filters.custom_json_id("reblog", "follow"), follow)
    assert not holds(filters.custom_json_id("reblog"), follow)


@pytest.mark.parametrize(
    "make", [filters.by, filters.tagged, filters.mentions, filters.transfer_to, filters.reply_to]
)
@pytest.mark.parametrize("wrong", [(), ("",), (None,), (["alice"],)])
def test_a_condition_without_a_name_is_refused(make, wrong):
    """``by()`` would never hold."""
    with pytest.raises(ValueError, match="one or more"):
        make(*wrong)


def test_conditions_combine():
    """``&``, ``|`` and ``~``, also with a plain function on either side."""
    yes, no = (lambda _op, _ctx: 1), (lambda _op, _ctx: 0)
    alice = filters.by("alice")
    assert holds(alice & yes & ~filters.reply, POST)
    assert holds(yes & alice, POST)
    assert not holds(no & alice, POST)
    assert holds(no | alice, POST)
    assert holds(~alice | yes, POST)
    assert not holds(~(alice | no), POST)


def test_a_condition_says_how_it_was_made():
    """For a log or a failing test."""
    assert repr(filters.new_post & ~filters.by("alice")) == "(new_post & ~by('alice',))"


def test_a_bot_knows_whether_it_must_remember_posts():
    """Where nobody asks if a post is new, none is stored."""
    bot = Bot()
    bot.on("comment", where=filters.reply & filters.by("alice"))(print)
    assert not bot.remembers_posts
    bot.on("comment", where=filters.by("alice") & (filters.reply | ~filters.new_post))(print)
    assert bot.remembers_posts


def test_conditions_decide_which_handlers_run(run):
    """Each handler has its own; one that raises counts as the handler's failure."""
    from tests.bot.conftest import message  # noqa: PLC0415
    from tests.support.blocks import make_block  # noqa: PLC0415

    seen = []
    bot = Bot()
    bot.on("vote", where=lambda op, _ctx: op.value["n"] == "5/1")(lambda op, _: seen.append(op))
    bot.on("comment", where=lambda op, _ctx: op.value["absent"])(lambda op, _: seen.append(op))
    runner, state = run(bot)
    runner.on_block(message(make_block(5, "0" * 40, types=("vote", "vote", "comment", "vote"))))
    assert [op.value["n"] for op in seen] == ["5/1"]
    (letter,) = state.dead_letters()
    assert "KeyError: 'absent'" in letter.error


@pytest.mark.parametrize("max_age", [60, timedelta(minutes=1)])
def test_what_is_too_old_is_passed_over(run, max_age):
    """A bot that wakes up does not answer yesterday, and goes on behind it."""
    from tests.bot.conftest import message  # noqa: PLC0415
    from tests.support.blocks import make_chain  # noqa: PLC0415

    seen = []
    bot = Bot()
    bot.on("vote", max_age=max_age)(lambda op, ctx: seen.append((op.block_num, ctx.age)))
    blocks = make_chain(1, 30, types=("vote",))
    now = blocks[-1].timestamp + 1
    runner, state = run(bot, now=lambda: now)
    for block in blocks:
        runner.on_block(message(block))
    assert [num for num, _ in seen] == list(range(11, 31))
    assert seen[0][1] == 58
    assert state.position.block_num == 30
