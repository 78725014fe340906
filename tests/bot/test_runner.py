"""Delivery: in order, once, with tries, deaths, dead letters and undos."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.bot.bot import Bot
from steembot.bot.calls import TRIES
from steembot.bot.filters import Filter
from steembot.bot.runner import DEATHS, Runner, Stopped
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.operation import Cursor, RawOperation
from tests.bot.conftest import message, undo
from tests.support.blocks import make_block, make_chain


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs in this process."""


def counting_bot(seen: list[str], fail=None) -> Bot:
    bot = Bot()

    @bot.on("*")
    def count(op, ctx):
        seen.append(op.value["n"])
        ctx.state["count"] = ctx.state.get("count", 0) + 1
        if fail is not None:
            fail(op)

    return bot


def test_operations_come_in_chain_order_with_their_place(run):
    """Each operation once, its fields as the chain has them."""
    ops = []
    bot = Bot()
    bot.on("comment")(lambda op, _ctx: ops.append(op))
    runner, state = run(bot)
    block = make_block(5, "0" * 40, types=("comment", "comment", "comment"))
    runner.on_block(message(block))
    assert [op.value["n"] for op in ops] == ["5/0", "5/1", "5/2"]
    assert [(op.trx_in_block, op.op_in_trx) for op in ops] == [(0, 0), (0, 1), (1, 0)]
    assert ops[0].timestamp.isoformat() == "2017-07-14T02:40:15+00:00"
    assert state.position == ops[-1].cursor


def test_an_operation_is_immutable(run):
    """A handler can't change what the next one sees."""
    ops = []
    bot = Bot()
    bot.on("*")(lambda op, _ctx: ops.append(op))
    runner, _ = run(bot)
    runner.on_block(message(make_block(5, "0" * 40)))
    with pytest.raises(AttributeError):
        ops[0].type = "vote"


def test_the_context_knows_head_and_irreversible(run):
    """``ctx`` tells how far the chain is."""
    seen = []
    bot = Bot()
    bot.on("*")(lambda _op, ctx: seen.append((ctx.head, ctx.irreversible, ctx.age > 1e6)))
    runner, _ = run(bot)
    runner.announce(100, 80)
    runner.on_block(message(make_block(90, "0" * 40, types=("vote",))))
    assert seen == [(100, 80, True)]


def test_a_raising_handler_is_tried_again_and_leaves_no_state(run):
    """State of a failed try is dropped; the try that succeeds counts once."""
    seen: list[str] = []
    pauses: list[float] = []

    def fail(op):
        if len(seen) < TRIES:
            raise RuntimeError("not yet")

    runner, state = run(counting_bot(seen, fail), pause=pauses.append)
    runner.on_block(message(make_block(5, "0" * 40, types=("vote",))))
    assert seen == ["5/0"] * TRIES
    assert state.values["count"] == 1
    assert state.dead_letters() == []
    assert pauses == sorted(pauses)


def test_a_handler_that_goes_on_raising_parks_the_operation(run, caplog):
    """After the last try the operation is a dead letter with its body, and the bot goes on."""
    seen: list[str] = []

    def fail(op):
        if op.type == "comment":
            raise RuntimeError("never")

    runner, state = run(counting_bot(seen, fail))
    runner.on_block(message(make_block(5, "0" * 40, types=("comment", "vote"))))
    (letter,) = state.dead_letters()
    assert letter.type == "comment"
    assert '"n":"5/0"' in letter.operation
    assert "RuntimeError: never" in letter.error
    assert Cursor.parse(letter.cursor).op_in_trx == 0
    assert seen == ["5/0"] * TRIES + ["5/1"]
    assert state.values["count"] == 1
    assert "parked comment of block 5" in caplog.text


def one_block(*bodies: bytes, kind: str = "custom_json", num: int = 5) -> wire.BlockMessage:
    """A block with operations of these bodies, as the feed carries it."""
    operations = tuple(
        RawOperation(kind, index, 0, 0, f"{index:040x}", body) for index, body in enumerate(bodies)
    )
    block = make_block(num, "0" * 40)
    return msgspec.structs.replace(message(block), operations=operations)


UNREADABLE = [b"", b"[1]", b'"text"', b"{", b"\xff", b"[" * 9000, b'{"n":' + b"9" * 5000 + b"}"]


def test_a_body_that_nobody_can_read_is_passed_by(run, caplog):
    """No handler could have read it, so it is nobody's failure: counted, said once, on record."""
    seen: list[str] = []
    passed: list[str] = []
    runner, state = run(counting_bot(seen), passed_by=passed.append)
    runner.on_block(one_block(*UNREADABLE, b'{"n":"last"}'))
    assert seen == ["last"]
    assert passed == ["custom_json"] * len(UNREADABLE)
    assert state.dead_letters() == []
    assert state.position.trx_in_block == len(UNREADABLE)
    assert sum("passed by custom_json of block 5" in line for line in caplog.messages) == 1


def test_no_number_of_unreadable_bodies_stops_a_bot(run, monkeypatch):
    """A stranger writes what he likes: more of it than there may be dead letters."""
    monkeypatch.setattr("steembot.bot.dead_letters.MAX_DEAD_LETTERS", 3)
    seen: list[str] = []
    runner, state = run(counting_bot(seen))
    runner.on_block(one_block(*[b'{"id":"\xff","n":"a"}', b"[]"] * 10, b'{"n":"last"}'))
    assert seen == ["a"] * 10 + ["last"]
    assert state.dead_letters() == []


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"id":"a\xffb"}', {"id": "a\ufffdb"}),
        (b'{"json":"cut \\ud83d"}', {"json": "cut \ufffd"}),
        (
            b'{"\\udc00":["\\ud83d\\ude00",{"k":"\\ud83d"}]}',
            {"\ufffd": ["\U0001f600", {"k": "\ufffd"}]},
        ),
        (b'{"n":1e999}', {"n": float("inf")}),
    ],
)
def test_a_body_with_what_is_no_text_is_handed_over_readable(run, body, value):
    """U+FFFD stands for it, and the operation says that it is not exact."""
    seen = []
    bot = Bot()
    bot.on("*")(lambda op, _ctx: seen.append((op.value, op.exact)))
    runner, _ = run(bot)
    runner.on_block(one_block(body, b'{"n":1}'))
    assert seen == [(value, False), ({"n": 1}, True)]


SURROGATE = "x\ud83d"


def into_state(ctx):
    ctx.state[SURROGATE] = 1


def into_a_value(ctx):
    ctx.state.setdefault("l", []).append(SURROGATE)


def into_an_exception(_ctx):
    raise RuntimeError(SURROGATE)


@pytest.mark.parametrize("fail", [into_state, into_a_value, into_an_exception])
def test_a_text_that_cannot_be_stored_is_a_dead_letter_with_the_authors_traceback(run, fail):
    """Out of handlers, undo handlers and conditions: no death of the process."""
    bot = Bot()
    bot.on("vote")(lambda _op, ctx: fail(ctx))
    bot.on("comment", where=lambda _op, ctx: fail(ctx) or True)(lambda _op, _ctx: None)
    bot.undo("transfer")(lambda _op, ctx: fail(ctx))
    runner, state = run(bot)
    block = make_block(5, "0" * 40, types=("vote", "comment"))
    runner.on_block(message(block))
    runner.on_undo(undo(make_block(6, "0" * 40, types=("transfer",))))
    letters = state.dead_letters()
    assert [letter.type for letter in letters] == ["vote", "comment", "transfer"]
    for letter in letters:
        letter.error.encode()
        assert "Traceback" in letter.error
        assert "killed" not in letter.error
    assert dict(state.values) == {}


def test_a_timer_whose_text_cannot_be_stored_fails_alone(run, caplog):
    """It is said with its traceback, and the bot goes on."""
    bot = Bot()
    bot.on("vote")(lambda _op, _ctx: None)
    bot.every(1)(into_state)
    runner, state = run(bot, clock=iter([0.0, 10.0, 10.0, 11.0]).__next__)
    runner.run_timers()
    assert "lone surrogate" in caplog.text
    assert dict(state.values) == {}


def test_each_try_gets_the_operation_as_the_chain_has_it(run):
    """What a handler changed in it reaches neither the next try nor the dead letter."""
    seen = []
    bot = Bot()

    @bot.on("*")
    def spoil(op, _ctx):
        seen.append(dict(op.value))
        op.value["n"] = object()
        raise RuntimeError

    runner, state = run(bot)
    runner.on_block(one_block(b'{"n":"a"}'))
    assert seen == [{"n": "a"}] * TRIES
    assert state.dead_letters()[0].to_operation().value == {"n": "a"}


async def later():
    pass


@pytest.mark.parametrize("made", [later, lambda: (n for n in ())])
def test_a_function_that_returns_work_undone_has_failed(run, made):
    """A wrapper around an async function, which the start cannot tell from others."""
    bot = Bot()
    bot.on("vote")(lambda _op, _ctx: made())
    bot.on("comment", where=lambda _op, _ctx: made())(lambda _op, _ctx: None)
    bot.on("transfer", where=~Filter(lambda _op, _ctx: made(), "mine"))(lambda _op, _ctx: None)
    bot.on("custom_json", where=lambda _op, _ctx: print)(lambda _op, _ctx: None)
    runner, state = run(bot)
    types = ("vote", "comment", "transfer", "custom_json")
    runner.on_block(message(make_block(5, "0" * 40, types=types)))
    letters = state.dead_letters()
    assert [letter.type for letter in letters] == [*types]
    assert all("TypeError" in letter.summary for letter in letters)


def test_an_operation_that_kills_the_process_is_parked(run):
    """After three deaths on one operation it is set aside without being run again."""
    seen: list[str] = []

    def fail(op):
        if op.value["n"] == "5/1":
            raise Killed

    bot = counting_bot(seen, fail)
    block = message(make_block(5, "0" * 40, types=("vote", "vote", "vote")))
    restarts = 0
    while True:
        runner, state = run(bot)
        left = [
            op
            for op in block.operations
            if state.position is None or op.within_block > state.position.within_block
        ]
        try:
            runner.on_block(msgspec.structs.replace(block, operations=tuple(left)))
        except Killed:
            restarts += 1
            continue
        break
    assert restarts == DEATHS
    assert seen.count("5/1") == DEATHS
    assert "killed or hung the process 3 times" in state.dead_letters()[0].error
    assert state.values["count"] == 2


def test_a_stop_between_tries_is_no_death_and_no_loss(run):
    """A process asked to end leaves the operation to the next start."""
    seen: list[str] = []

    def fail(_op):
        raise RuntimeError("x")

    def stop(_seconds):
        raise Stopped

    runner, state = run(counting_bot(seen, fail), pause=stop)
    with pytest.raises(Stopped):
        runner.on_block(message(make_block(5, "0" * 40, types=("vote",))))
    assert state.position is None
    again: list[str] = []
    runner, state = run(counting_bot(again))
    runner.on_block(message(make_block(5, "0" * 40, types=("vote",))))
    assert again == ["5/0"]
    assert state.dead_letters() == []


def test_undo_runs_newest_first_and_moves_back(run):
    """Undo handlers see the delivered operations in reverse, and the position follows."""
    told: list[tuple[str, str]] = []
    bot = Bot()
    bot.on("*")(lambda op, _ctx: told.append(("do", op.value["n"])))
    bot.undo("*")(lambda op, _ctx: told.append(("undo", op.value["n"])))
    chain = make_chain(5, 2)
    runner, state = run(bot)
    for block in chain:
        runner.on_block(message(block))
    for block in reversed(chain):
        runner.on_undo(undo(block))
    does = [n for what, n in told if what == "do"]
    undone = [n for what, n in told if what == "undo"]
    assert undone == list(reversed(does))
    assert state.position == Cursor.end_of(4, chain[0].previous)


def test_the_undo_of_a_dead_letter_drops_it(run):
    """What never succeeded is not undone, and its dead letter is gone with the block."""
    undone: list[str] = []

    def fail(op):
        if op.type == "comment":
            raise RuntimeError("never")

    bot = counting_bot([], fail)
    bot.undo("*")(lambda op, _ctx: undone.append(op.type))
    runner, state = run(bot)
    block = make_block(5, "0" * 40, types=("comment", "vote"))
    runner.on_block(message(block))
    assert len(state.dead_letters()) == 1
    runner.on_undo(undo(block))
    assert undone == ["vote"]
    assert state.dead_letters() == []


def test_progress_moves_the_position(run):
    """Where nothing matched, the place is remembered all the same."""
    runner, state = run(counting_bot([]))
    end = Cursor.end_of(9, f"{9:08x}" + "c" * 32)
    runner.on_progress(wire.Progress(cursor=end, irreversible=1, timestamp=0))
    assert state.position == end


def test_timers_run_between_operations_and_commit(run):
    """A timer's state is kept; one that raises costs itself only."""
    now = [0.0]
    bot = counting_bot([])
    bot.every(10)(lambda ctx: ctx.state.update(ticks=ctx.state.get("ticks", 0) + 1))
    bot.every(10)(lambda ctx: ctx.state.update(bad=1 / 0))
    runner, state = run(bot, clock=lambda: now[0])
    assert runner.run_timers() == 10
    for now[0] in (10.0, 15.0, 20.0, 45.0):
        runner.run_timers()
    assert state.values["ticks"] == 3
    assert "bad" not in state.values


@settings(max_examples=150, deadline=None)
@given(data=st.data(), length=st.integers(1, 6))
def test_killed_anywhere_nothing_is_skipped_and_nothing_counts_twice(
    tmp_path_factory, data, length
):
    """Kill the bot at drawn points, restart behind its position: the end is one clean run's."""
    chain = make_chain(1, length, types=("vote", "comment", "vote"))
    path = tmp_path_factory.mktemp("bot") / "s"
    handled: list[str] = []
    kills = 0

    def fail(_op):
        nonlocal kills
        if kills < 8 and data.draw(st.integers(0, 5)) == 0:
            kills += 1
            raise Killed

    seen: list[str] = []
    bot = counting_bot(seen, fail)
    for _ in range(100):
        with BotState(path, chain="steem") as state:
            runner = Runner(bot, state, pause=lambda _s: None, alive=lambda: None)
            try:
                for block in chain:
                    position = state.position
                    if position is not None and position.block_num > block.num:
                        continue
                    operations = tuple(
                        op
                        for op in block.operations
                        if position is None
                        or position.block_num < block.num
                        or op.within_block > position.within_block
                    )
                    whole = message(block)
                    runner.on_block(msgspec.structs.replace(whole, operations=operations))
            except Killed:
                continue
            handled = list(dict.fromkeys(seen))
            parked = len(state.dead_letters())
            assert state.values.get("count", 0) + parked == 3 * length
            break
    assert handled == [f"{num}/{i}" for num in range(1, length + 1) for i in range(3)]
    assert len(seen) <= 3 * length + kills


def test_a_fork_below_the_bots_beginning_does_not_concern_it(run):
    """What was before its first block is neither undone nor delivered, over restarts too."""
    told: list[tuple[str, str]] = []
    bot = Bot()
    bot.on("*")(lambda op, _ctx: told.append(("do", op.value["n"])))
    bot.undo("*")(lambda op, _ctx: told.append(("undo", op.value["n"])))
    chain = make_chain(8, 4, types=("vote",))
    _, state = run(bot)
    state.finish(Cursor.end_of(9, chain[1].id))
    state.subscribe(["*"], 9)
    runner, _ = run(bot)
    runner.on_block(message(chain[2]))
    runner, state = run(bot)
    for block in reversed(chain[:3]):
        runner.on_undo(undo(block))
    assert state.position == Cursor.end_of(7, chain[0].previous)
    for block in make_chain(8, 3, previous=chain[0].previous, salt="new", types=("vote",)):
        runner.on_block(message(block))
    assert told == [("do", "10/0"), ("undo", "10/0"), ("do", "10/0")]


def test_a_bot_moved_back_before_its_beginning_is_given_what_lies_between(run):
    """An administrator who puts a bot further back wants those operations."""
    seen: list[str] = []
    _, state = run(counting_bot(seen))
    chain = make_chain(8, 2, types=("vote",))
    state.subscribe(["*"], 9)
    state.move(7)
    runner, _ = run(counting_bot(seen))
    for block in chain:
        runner.on_block(message(block))
    assert seen == ["8/0", "9/0"]
