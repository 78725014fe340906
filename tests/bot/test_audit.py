"""The comparison of what a bot handled with what the chain has."""

from __future__ import annotations

import msgspec
import pytest

from steembot.bot.audit import Books, Finding, compare
from steembot.bot.bot import Bot
from steembot.bot.handled import AUDIT_BLOCKS
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.errors import StateError
from steembot.feed import wire
from steembot.operation import Cursor
from tests.bot.conftest import message, undo
from tests.support.blocks import fork, make_chain, with_operations
from tests.support.records import change_record, remove_records, without


class Handled:
    """A bot's file, as a bot writes it that handles these blocks; and the audit of it."""

    def __init__(self, path):
        self.path = path
        self.fails = False

    def run(self, *types, after=0, blocks=(), undone=(), whole=True):
        """Let a bot that wants these types run, undo and handle blocks, and end.

        With ``whole`` it hears that there is nothing more in the last block.
        """
        bot = Bot()
        bot.on(*types)(self._handle)
        with BotState(self.path, chain="steem") as state:
            state.subscribe(types, after)
            runner = Runner(bot, state, pause=lambda _s: None, alive=lambda: None)
            wanted = () if "*" in types else types
            for block in undone:
                runner.on_undo(undo(block, *wanted))
            for block in blocks:
                runner.on_block(message(block, *wanted))
            if whole and blocks:
                end = Cursor.end_of(blocks[-1].num, blocks[-1].id)
                runner.on_progress(wire.Progress(cursor=end, irreversible=0, timestamp=0))

    def audit(self, chain):
        """Return what is wrong, as (what, block), and how many operations there were."""
        with Books(self.path) as books:
            told = list(compare(books, chain))
        found = [each for each in told if isinstance(each, Finding)]
        assert all(str(finding.block_num) in finding.words for finding in found)
        return [(f.what, f.block_num) for f in found], sum(n for n in told if isinstance(n, int))

    def _handle(self, _op, _ctx):
        if self.fails:
            raise RuntimeError("no")


@pytest.fixture
def handled(tmp_path):
    return Handled(tmp_path / "bot-b.sqlite3")


CHAIN = make_chain(1, 6, types=("comment", "vote", "comment"))


def test_all_that_was_wanted_was_handled(handled):
    """Nothing is found, and operations of other types are not counted."""
    handled.run("comment", blocks=CHAIN)
    assert handled.audit(CHAIN) == ([], 12)
    with Books(handled.path) as books:
        assert (books.first(AUDIT_BLOCKS), books.last) == (1, 6)


def test_what_was_not_handled_is_missing(handled):
    """An operation without a record is named, whether its block has others or not."""
    handled.run("*", blocks=CHAIN)
    change_record(handled.path, 3, without((0, 0, 1)))
    remove_records(handled.path, 5, 5)
    assert handled.audit(CHAIN) == ([("missing", 3), *3 * [("missing", 5)]], 18)


def test_what_was_handled_twice_is_double(handled):
    """A bot that was given a block again has it twice, and that is said."""
    handled.run("vote", blocks=CHAIN)
    handled.run("vote", blocks=CHAIN[3:4])
    assert handled.audit(CHAIN) == ([("double", 4)], 6)


def test_another_block_of_that_number_is_foreign(handled):
    """What was handled and then removed by a fork, and never undone, is found."""
    branch = fork(CHAIN, 2, 1, "other")
    handled.run("*", blocks=CHAIN)
    assert handled.audit(branch[:6]) == ([("foreign", 5), ("foreign", 6)], 18 - 2 * 3 + 2 * 2)


def test_a_record_without_an_operation_is_foreign(handled):
    """A place that the block does not have, and a type that nobody wanted."""
    handled.run("comment", blocks=CHAIN)
    change_record(handled.path, 2, lambda places: [*places, (7, 0, 0)])
    change_record(handled.path, 4, lambda places: [*places, (0, 0, 1)])  # a vote
    assert handled.audit(CHAIN) == ([("foreign", 2), ("foreign", 4)], 12)


def test_blocks_that_do_not_join_are_broken(handled):
    """A node that gives blocks of two branches proves nothing."""
    handled.run("vote", blocks=CHAIN)
    torn = [*CHAIN[:3], msgspec.structs.replace(CHAIN[3], previous="0" * 40), *CHAIN[4:]]
    assert handled.audit(torn) == ([("broken", 4)], 6)


def test_undone_blocks_leave_no_trace(handled):
    """After a fork the record is that of the branch that won."""
    branch = fork(CHAIN, 2, 1, "other")
    handled.run("*", blocks=CHAIN, after=0)
    handled.run("*", after=6, undone=CHAIN[:3:-1], blocks=branch[4:])
    assert handled.audit(branch) == ([], 4 * 3 + 3 * 2)


def test_dead_letters_count_as_handled_and_are_counted(handled):
    """An operation that was set aside is not lost; one that was undone is no more."""
    handled.run("comment", blocks=CHAIN[:2])
    handled.fails = True
    handled.run("comment", after=2, blocks=CHAIN[2:4])
    handled.fails = False
    handled.run("comment", after=4, blocks=CHAIN[4:])
    assert handled.audit(CHAIN) == ([], 12)
    with Books(handled.path) as books:
        assert (books.dead_letters(1, 6), books.dead_letters(1, 3)) == (4, 2)
    handled.run("comment", after=6, undone=CHAIN[:2:-1])
    with Books(handled.path) as books:
        assert books.dead_letters(1, 6) == 2


def test_each_block_is_measured_by_the_types_wanted_then(handled):
    """A bot that learns another type is not accused of what it was never given.

    The first block with it does not count: the bot may have stood within it.
    """
    handled.run("comment", blocks=CHAIN[:3])
    handled.run("comment", "vote", after=3, blocks=CHAIN[3:])
    assert handled.audit(CHAIN) == ([], 3 * 2 + 2 + 2 * 3)
    for num in (4, 5):
        change_record(handled.path, num, without((0, 0, 1)))
    assert handled.audit(CHAIN) == ([("missing", 5)], 14)


def test_types_that_change_within_a_block_accuse_nobody(handled):
    """Stopped between two operations and started with another type: both were right then."""
    handled.run("comment", blocks=CHAIN[:2])
    whole = message(CHAIN[2], "comment")
    handled.run(
        "comment",
        after=2,
        blocks=[with_operations(CHAIN[2], whole.operations[:1])],
        whole=False,
    )
    rest = with_operations(CHAIN[2], CHAIN[2].operations[1:])
    handled.run("vote", "comment", after=2, blocks=[rest, *CHAIN[3:]])
    change_record(handled.path, 3, without((0, 0, 1)))
    assert handled.audit(CHAIN) == ([], 3 * 2 + 3 * 3)


def test_a_bot_that_is_put_back_is_on_record_from_there(handled):
    """What lies behind its new place is measured by what it wants now."""
    handled.run("comment", after=3, blocks=CHAIN[3:])
    with BotState(handled.path, chain="steem") as state:
        state.move(0)
    handled.run("vote", after=0, blocks=CHAIN)
    with Books(handled.path) as books:
        assert books.first(AUDIT_BLOCKS) == 1
        assert [books.wanted(num).surely("vote") for num in (1, 6)] == [True, True]


def test_the_record_ends_before_a_block_that_is_under_way(handled):
    """In the middle of a block, that block is not yet part of the record."""
    handled.run("*", blocks=CHAIN[:2])
    with BotState(handled.path, chain="steem") as state:
        state.finish(Cursor(3, CHAIN[2].id, 0, 0))
    with Books(handled.path) as books:
        assert books.last == 2


def test_the_record_is_bounded(handled):
    """Of the oldest blocks nothing is claimed once their rows are gone."""
    handled.run("*", blocks=CHAIN)
    later = make_chain(AUDIT_BLOCKS + 5, 1)
    handled.run("*", after=6, blocks=later)
    with Books(handled.path) as books:
        first = books.first(AUDIT_BLOCKS)
        assert first == later[0].num - AUDIT_BLOCKS + 1
        assert books.handled(first - 3).times == {}
        assert books.handled(first).times != {}


def test_what_the_bot_does_meanwhile_is_not_seen(handled):
    """Books are of one moment, and keep nobody from working."""
    handled.run("*", blocks=CHAIN[:2])
    with Books(handled.path) as books:
        handled.run("*", after=2, blocks=CHAIN[2:])
        assert books.last == 2
        assert books.handled(5).times == {}
        told = list(compare(books, CHAIN[:2]))
    assert told == [3, 3]


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be read" * 50])
def test_what_is_no_state_is_refused(tmp_path, content):
    """An empty or foreign file, or none, is said in words."""
    path = tmp_path / "x.sqlite3"
    with pytest.raises(StateError, match="no bot's state"):
        Books(path)
    path.write_bytes(content)
    with pytest.raises(StateError, match=r"x\.sqlite3"):
        Books(path)
