"""Dead letters: bounded, redriven in one transaction, and true to what forks undo."""

from __future__ import annotations

import pytest

from steembot.bot import Bot, dead_letters
from steembot.bot.calls import TRIES
from steembot.bot.runner import DEATHS, Runner, Stopped
from steembot.errors import StateError
from tests.bot.conftest import message, undo
from tests.support.blocks import make_block, make_chain


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs in this process."""


class Handler:
    """A handler that fails as it is told, and counts in the bot's state what it did."""

    def __init__(self) -> None:
        self.fails: BaseException | None = RuntimeError("broken")
        self.calls = 0
        self.bot = Bot()
        self.bot.on("*", max_age=1e9)(self.handle)
        self.bot.undo("*")(self.undo)

    def handle(self, op, ctx):
        self.calls += 1
        ctx.state["sum"] = ctx.state.get("sum", 0) + 1
        if self.fails is not None:
            raise self.fails

    def undo(self, op, ctx):
        ctx.state["sum"] = ctx.state.get("sum", 0) - 1
        if self.fails is not None:
            raise self.fails


BLOCK = make_block(5, "0" * 40, types=("vote", "comment"))


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def parked(run, handler):
    """A runner whose bot has two dead letters, and its state."""
    runner, state = run(handler.bot)
    runner.on_block(message(BLOCK))
    assert [letter.type for letter in state.dead_letters()] == ["vote", "comment"]
    return runner, state


def test_nothing_is_redriven_that_nobody_asked_for(parked, handler):
    """They lie there until a person says so."""
    runner, state = parked
    handler.fails = None
    runner.redrive()
    assert len(state.dead_letters()) == 2
    assert handler.calls == 2 * TRIES


def test_redriving_after_the_mend_empties_them(parked, handler, tmp_path):
    """Asked for by another connection, as the command does; state and removal are one commit."""
    runner, state = parked
    handler.fails = None
    runner.redrive()
    with dead_letters.opened(tmp_path / "bot.sqlite3") as theirs:
        assert theirs.want([1]) == 1
    runner.redrive()
    assert [letter.id for letter in state.dead_letters()] == [2]
    with dead_letters.opened(tmp_path / "bot.sqlite3") as theirs:
        assert theirs.want(None) == 1
    runner.redrive()
    assert state.dead_letters() == []
    assert state.values["sum"] == 2
    assert state.position.block_num == 5


def test_what_fails_again_stays_with_its_new_error(parked, handler, caplog):
    """Once a request: it is not tried for ever."""
    runner, state = parked
    handler.fails = ValueError("still broken")
    state.letters.want([1])
    runner.redrive()
    runner.redrive()
    first = state.letters.get(1)
    assert (first.redriven, first.wanted) == (1, False)
    assert first.summary == "ValueError: still broken"
    assert handler.calls == 3 * TRIES
    assert "sum" not in state.values
    assert "failed again" in caplog.text


def test_a_redrive_that_kills_the_process_ends_after_three(run, parked, handler):
    """Counted apart from the operation that the bot stands before."""
    _, state = parked
    state.letters.want([2])
    handler.fails = Killed()
    for _ in range(DEATHS):
        runner, state = run(handler.bot)
        with pytest.raises(Killed):
            runner.redrive()
    runner, state = run(handler.bot)
    runner.redrive()
    letter = state.letters.get(2)
    assert "killed or hung the process 3 times" in letter.error
    assert not letter.wanted
    handler.fails = None
    runner.on_block(message(make_block(6, BLOCK.id)))
    assert state.position.block_num == 6


def test_a_stop_in_a_redrive_leaves_it_to_the_next_start(run, parked, handler):
    """An orderly end is no death, and the request stands."""
    _, state = parked
    state.letters.want([1])

    def stop(_seconds):
        raise Stopped

    runner, state = run(handler.bot, pause=stop)
    with pytest.raises(Stopped):
        runner.redrive()
    handler.fails = None
    runner, state = run(handler.bot)
    runner.redrive()
    assert [letter.id for letter in state.dead_letters()] == [2]


def test_a_fork_takes_dead_letters_back(parked, handler):
    """What never succeeded is not undone, whether it was asked for or dropped."""
    runner, state = parked
    state.letters.want([1])
    state.letters.drop(2)
    handler.fails = None
    runner.on_undo(undo(BLOCK))
    runner.redrive()
    assert state.dead_letters() == []
    assert "sum" not in state.values
    assert not state.letters.has(_cursor_of(BLOCK, 1))


def _cursor_of(block, index):
    from steembot.operation import Cursor  # noqa: PLC0415

    op = block.operations[index]
    return Cursor(block.num, block.id, op.trx_in_block, op.op_in_trx, op.virtual_op)


def test_what_was_redriven_is_undone_as_anything_else(parked, handler):
    """After its redrive an operation counts as handled."""
    runner, state = parked
    handler.fails = None
    state.letters.want([1])
    runner.redrive()
    assert state.values["sum"] == 1
    runner.on_undo(undo(BLOCK))
    assert state.values["sum"] == 0
    assert state.dead_letters() == []


def test_an_undo_that_failed_is_redriven_as_an_undo(run, handler):
    """The undo handlers get it, not the handlers."""
    runner, state = run(handler.bot)
    handler.fails = None
    runner.on_block(message(BLOCK))
    handler.fails = RuntimeError("broken")
    runner.on_undo(undo(BLOCK))
    assert [letter.undo for letter in state.dead_letters()] == [True, True]
    assert state.values["sum"] == 2
    handler.fails = None
    state.letters.want(None)
    runner.redrive()
    assert state.values["sum"] == 0


def test_a_dropped_one_leaves_the_file_when_no_fork_can_undo_it(parked, tmp_path):
    """Its place is kept only as long as it is needed."""
    runner, state = parked
    assert state.letters.drop(1)
    assert not state.letters.drop(1)
    assert state.letters.get(1) is None
    runner.redrive()
    assert state.letters.has(_cursor_of(BLOCK, 0))
    runner.announce(9, 5)
    with dead_letters.opened(tmp_path / "bot.sqlite3") as theirs:
        theirs.want([2])
    runner.redrive()
    assert not state.letters.has(_cursor_of(BLOCK, 0))


def test_a_full_box_stops_the_bot_and_loses_nothing(run, handler, monkeypatch, caplog):
    """It tries the operation again and again until there is room or the handler is mended."""
    monkeypatch.setattr(dead_letters, "MAX_DEAD_LETTERS", 2)
    chain = make_chain(5, 3, types=("vote",))
    rounds = []

    def pause(seconds):
        if seconds == 10:
            rounds.append(state.position.block_num)
            if len(rounds) == 3:
                state.letters.drop(1)

    now = [0.0]
    runner, state = run(handler.bot, pause=pause, clock=lambda: now[0])
    for block in chain:
        runner.on_block(message(block))
    assert rounds == [6, 6, 6]
    assert [letter.id for letter in state.dead_letters()] == [2, 3]
    assert state.position.block_num == 7
    assert caplog.text.count("the bot waits here") == 1


def test_a_full_box_and_a_mended_handler_go_on_without_room(run, handler, monkeypatch):
    """What succeeds at last needs no place among the dead letters."""
    monkeypatch.setattr(dead_letters, "MAX_DEAD_LETTERS", 1)

    def pause(seconds):
        if seconds == 10:
            handler.fails = None

    runner, state = run(handler.bot, pause=pause)
    for block in make_chain(5, 2, types=("vote",)):
        runner.on_block(message(block))
    assert len(state.dead_letters()) == 1
    assert state.values["sum"] == 1


def test_a_stop_while_waiting_for_room_is_no_death(run, handler, monkeypatch):
    """However often the bot is restarted before the full box, the operation is not blamed."""
    monkeypatch.setattr(dead_letters, "MAX_DEAD_LETTERS", 0)

    def stop(seconds):
        if seconds == 10:
            raise Stopped

    block = message(make_block(5, "0" * 40, types=("vote",)))
    for _ in range(DEATHS + 2):
        runner, state = run(handler.bot, pause=stop)
        with pytest.raises(Stopped):
            runner.on_block(block)
    handler.fails = None
    runner, state = run(handler.bot)
    runner.on_block(block)
    assert state.values["sum"] == 1


def test_a_long_traceback_is_cut_in_the_middle(run, handler):
    """Its beginning and its end are what tells."""
    handler.fails = RuntimeError("x" * 100_000 + "the end")
    runner, state = run(handler.bot)
    runner.on_block(message(BLOCK))
    error = state.dead_letters()[0].error
    assert len(error) < dead_letters.MAX_ERROR_CHARS + 100
    assert error.startswith("Traceback")
    assert error.rstrip().endswith("the end")


def test_a_file_that_is_no_bots_is_refused(tmp_path):
    """Nothing is made where there was nothing, and no other database is touched."""
    with pytest.raises(StateError, match="no bot's state"), dead_letters.opened(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()
    (tmp_path / "other").write_bytes(b"")
    with pytest.raises(StateError, match="no bot's state"), dead_letters.opened(tmp_path / "other"):
        pass
    (tmp_path / "text").write_bytes(b"x" * 5000)
    with pytest.raises(StateError, match="is damaged"), dead_letters.opened(tmp_path / "text"):
        pass


def test_the_runner_is_not_slowed_by_looking(parked):
    """Looking for requests when nobody wrote is one question to SQLite."""
    runner, state = parked
    runner.redrive()
    asked = []
    state.letters._connection.set_trace_callback(asked.append)
    runner.redrive()
    assert asked == ["PRAGMA data_version"]
    assert isinstance(runner, Runner)
