"""What a bot author's tests import: it must behave as the real thing does, or it proves nothing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.bot import Bot, Later, filters
from steembot.bot.handlers import new_posts
from steembot.bot.runner import DEATHS
from steembot.testing import BotRun, Chain, Killed
from steembot.testing.bot_run import _Process

POINTS = ("before handler", "before commit", "after commit")


def counting(outcome=lambda op: None) -> Bot:
    """A bot that counts votes in its state, by voter; ``outcome`` says how each call ends."""
    bot = Bot()

    @bot.on("vote")
    def count(op, ctx):
        voter = op.value["voter"]
        ctx.state[voter] = ctx.state.get(voter, 0) + 1
        outcome(op)

    @bot.undo("vote")
    def take_back(op, ctx):
        ctx.state[op.value["voter"]] -= 1

    return bot


def test_a_bot_by_any_name(tmp_path):
    """An object, a module, a module's name or a file."""
    chain = Chain()
    chain.post("alice", "hello")
    (tmp_path / "mine.py").write_text("from steembot.bot.handlers.new_posts import bot\n")
    for number, given_bot in enumerate(
        (new_posts.bot, new_posts, "steembot.bot.handlers.new_posts", tmp_path / "mine.py")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = BotRun(given_bot, chain, folder).catch_up()
        assert run.log == ["https://steemit.com/@alice/hello"]


def test_everything_that_people_do(tmp_path):
    """Each helper makes the operation that it says, in the chain's own shape."""
    seen = []
    bot = Bot()
    bot.on("*")(lambda op, _ctx: seen.append((op.type, op.value)))
    chain = Chain(first=1000)
    chain.post("alice", "p", title="T", body="B", tags=["art", "x"])
    chain.post("alice", "c", community="hive-123456", json_metadata="{")
    chain.edit("alice", "p")
    assert chain.reply("bob", "alice", "p", "Nice") == "bob-4"
    chain.vote("bob", "alice", "p")
    chain.transfer("bob", "alice", "1.000 STEEM", "hi")
    chain.custom_json("follow", ["follow", {}], by="bob")
    chain.custom_json("game", "{}", by="bob", active=True)
    BotRun(bot, chain, tmp_path).catch_up()
    post, community, edit, reply, vote, transfer, follow, game = (value for _, value in seen)
    assert post["parent_permlink"] == "art"
    assert post["json_metadata"] == '{"tags":["art","x"]}'
    assert community["parent_permlink"] == "hive-123456"
    assert edit["body"].startswith("@@ ")
    assert (reply["parent_author"], reply["parent_permlink"]) == ("alice", "p")
    assert vote["weight"] == 10_000
    assert transfer == {"from": "bob", "to": "alice", "amount": "1.000 STEEM", "memo": "hi"}
    assert follow["required_posting_auths"] == ["bob"]
    assert follow["json"] == '["follow",{}]'
    assert game["required_auths"] == ["bob"]


def test_a_fork_is_undone_and_done_again(tmp_path):
    """Undos reach the handlers, and what comes again is counted again."""
    chain = Chain()
    run = BotRun(counting(), chain, tmp_path)
    chain.vote("bob", "alice", "p")
    chain.next_block()
    chain.vote("carol", "alice", "p")
    run.catch_up()
    assert run.state == {"bob": 1, "carol": 1}
    chain.fork(1)
    assert run.catch_up().state == {"bob": 1, "carol": 0}
    chain.fork(3, again=True)
    assert run.catch_up().state == {"bob": 1, "carol": 0}
    run.stop()
    chain.fork(2, again=True)
    assert run.catch_up().state == {"bob": 1, "carol": 0}
    with pytest.raises(ValueError, match="can be taken back"):
        chain.fork(100)
    final = Chain(irreversible_lag=0)
    final.wait()
    with pytest.raises(ValueError, match="irreversible"):
        final.fork(1)


def test_irreversible_mode_comes_later(tmp_path):
    """Nothing is delivered before it is irreversible."""
    chain = Chain(irreversible_lag=5)
    run = BotRun(counting(), chain, tmp_path, mode="irreversible")
    chain.vote("bob", "alice", "p")
    assert run.catch_up().state == {}
    chain.wait(15)
    assert run.catch_up().state == {"bob": 1}


def test_time_is_the_chains(tmp_path):
    """Ages and timers follow the scripted clock; nothing is waited for."""
    seen = []
    bot = Bot()
    bot.on("vote", max_age=60)(lambda op, ctx: seen.append((op.value["voter"], ctx.age)))
    bot.every(30)(lambda ctx: seen.append("tick"))
    chain = Chain()
    run = BotRun(bot, chain, tmp_path)
    chain.vote("early", "alice", "p")
    chain.wait(3600)
    chain.vote("late", "alice", "p")
    run.catch_up()
    assert seen == [("late", 0.0)]
    chain.miss(30)
    run.catch_up()
    run.catch_up()
    assert seen == [("late", 0.0), "tick"]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_each_point_counts_once(tmp_path, point):
    """Killed and started again: state, dead letters and position as if nothing had happened."""
    chain = Chain()
    run = BotRun(counting(), chain, tmp_path)
    for voter in ("a", "b", "c"):
        chain.vote(voter, "alice", "p")
    run.crash(point, after=1)
    run.catch_up()
    assert run.restarts == 1
    assert run.state == {"a": 1, "b": 1, "c": 1}
    assert run.dead_letters == []


def test_dead_letters_mended_and_redriven(tmp_path):
    """The whole life of a mistake."""

    def broken(op):
        if op.value["voter"] == "b":
            raise RuntimeError("no b")

    chain = Chain()
    run = BotRun(counting(broken), chain, tmp_path)
    for voter in ("a", "b", "c"):
        chain.vote(voter, "alice", "p")
    run.catch_up()
    (letter,) = run.dead_letters
    assert letter.summary == "RuntimeError: no b"
    assert "parked vote of block 2" in run.journal[-1]
    run.mend(counting())
    run.crash("before commit")
    run.redrive(letter)
    assert run.dead_letters == []
    assert run.state == {"a": 1, "b": 1, "c": 1}
    assert run.restarts == 1


def test_an_operation_that_kills_is_parked(tmp_path):
    """Three deaths, then the bot goes on."""

    def kill(op):
        if op.value["voter"] == "b":
            raise Killed

    chain = Chain()
    run = BotRun(counting(kill), chain, tmp_path)
    for voter in ("a", "b", "c"):
        chain.vote(voter, "alice", "p")
    run.catch_up()
    assert run.restarts == DEATHS
    assert run.state == {"a": 1, "c": 1}
    assert [letter.type for letter in run.dead_letters] == ["vote"]


class Outcome:
    """How the calls for one operation end, one after the other; later ones return."""

    def __init__(self, plan: dict[str, list[str]]) -> None:
        self._plan = {voter: list(ends) for voter, ends in plan.items()}

    def __call__(self, op) -> None:
        ends = self._plan.get(op.value["voter"])
        end = ends.pop(0) if ends else "return"
        if end == "raise":
            raise RuntimeError(end)
        if end == "exit":
            raise SystemExit(1)
        if end in ("hang", "kill"):
            raise Killed(end)
        if end == "later":
            raise Later


ENDS = st.sampled_from(["return", "raise", "hang", "exit", "kill", "later"])
VOTERS = [f"v{number}" for number in range(5)]


@settings(max_examples=100, deadline=None)
@given(
    plan=st.dictionaries(st.sampled_from(VOTERS), st.lists(ENDS, max_size=12)),
    crashes=st.lists(st.tuples(st.sampled_from(POINTS), st.integers(0, 8)), max_size=4),
    forks=st.lists(st.integers(0, 3), max_size=2),
)
def test_every_operation_is_handled_once_or_parked_once(tmp_path_factory, plan, crashes, forks):
    """Whatever a handler does and wherever the process dies: once in the state, or one letter."""
    chain = Chain()
    run = BotRun(counting(Outcome(plan)), chain, tmp_path_factory.mktemp("bot"))
    for point, after in crashes:
        run.crash(point, after=after)
    for number, voter in enumerate(VOTERS):
        chain.vote(voter, "alice", "p")
        if number % 2:
            chain.next_block()
    for depth in forks:
        run.catch_up()
        if depth:
            chain.fork(depth, again=True)
    while run.catch_up().waiting:
        pass
    parked = [
        letter.to_operation().value["voter"] for letter in run.dead_letters if not letter.undo
    ]
    assert len(parked) == len(set(parked))
    # An undo that a crash hit three times is parked as well, and its operation counts twice.
    undone = [letter.to_operation().value["voter"] for letter in run.dead_letters if letter.undo]
    state = run.state
    for voter in VOTERS:
        assert state.get(voter, 0) + parked.count(voter) - undone.count(voter) == 1, voter
    # After the mend everything is in the state, once.
    run.mend(counting())
    # A redrive that the rest of the planned crashes hit three times is asked for again.
    for _ in range(len(crashes) + 1):
        run.redrive()
    assert run.dead_letters == []
    assert run.state == dict.fromkeys(VOTERS, 1)


def end_for_real(what: str, hangs: int) -> None:
    """End a handler, or the process around it, in one of the ways there are."""
    if what == "raise":
        raise RuntimeError(what)
    if what == "later":
        raise Later
    if what == "exit":
        raise SystemExit(1)
    if what == "_exit":
        os._exit(1)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while what == "hang":
        os.write(hangs, b"h")
        signal.pause()


def in_a_process(live: Callable[[], None], hung: int) -> int:
    """Run something in a process of its own, killed if it says that it hangs."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            live()
            status = 0
        finally:
            os._exit(status)
    ended = os.pidfd_open(pid)
    readable, _, _ = select.select([hung, ended], [], [], 30)
    assert readable
    if hung in readable:
        os.read(hung, 1)
        os.kill(pid, signal.SIGKILL)
    os.close(ended)
    return os.waitpid(pid, 0)[1]


@settings(max_examples=10, deadline=None)
@given(
    plan=st.dictionaries(
        st.sampled_from(VOTERS),
        st.lists(st.sampled_from(["raise", "later", "exit", "_exit", "kill", "hang"]), max_size=4),
        min_size=1,
    )
)
def test_the_same_in_real_processes(tmp_path_factory, plan):
    """With processes that really exit, are killed, or hang until somebody kills them."""
    folder = tmp_path_factory.mktemp("bot")
    chain = Chain()
    for voter in VOTERS:
        chain.vote(voter, "alice", "p")
    chain.next_block()
    hung, hangs = os.pipe()

    def end(op):
        # Each call leaves a mark that outlives the process.
        marks = folder / op.value["voter"]
        count = len(marks.read_bytes()) if marks.exists() else 0
        marks.write_bytes(b"." * (count + 1))
        ends = plan.get(op.value["voter"], [])
        if count < len(ends):
            end_for_real(ends[count], hangs)

    def live():
        process = _Process(counting(end), chain, folder / "bot.sqlite3", "head", [])
        process.work()
        process.state.close()

    while in_a_process(live, hung) != 0:
        pass
    os.close(hung)
    os.close(hangs)
    run = BotRun(counting(), chain, folder)
    parked = [letter.to_operation().value["voter"] for letter in run.dead_letters]
    assert sorted([*parked, *run.state]) == VOTERS
    assert set(run.state.values()) <= {1}
    run.redrive()
    assert run.state == dict.fromkeys(VOTERS, 1)


def test_it_stays_light():
    """A test of a bot needs no beem, no sockets and no web server."""
    code = (
        "import sys, steembot.testing; "
        "print([m for m in ('beem', 'zmq', 'aiohttp', 'requests', 'click', 'pytest') "
        "if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert printed.stdout.strip() == b"[]"


def test_an_operation_that_waits_is_seen_and_tried_again(tmp_path):
    """``Later`` ends the run there; the next one goes on, in order, without waiting for real."""
    away = [True]

    def use(op):
        if away[0]:
            raise Later("the webhook")

    chain = Chain()
    run = BotRun(counting(use), chain, tmp_path)
    for voter in ("alice", "bob"):
        chain.vote(voter, "x", "y")
    for _ in range(20):
        run.catch_up()
        assert run.waiting == "vote of block 2 waits: the webhook"
        assert (run.state, run.dead_letters, run.restarts) == ({}, [], 0)
    assert "it is tried again in 1 s" in run.journal[0]
    chain.fork(1, again=True)
    away[0] = False
    assert run.catch_up().waiting is None
    assert run.state == {"alice": 1, "bob": 1}


def test_a_service_that_comes_back_soon_needs_one_run(tmp_path):
    """Pauses are left out: what is there at the third try is handled in the same call."""
    answers = iter([False, False, True] * 5)

    def use(op):
        if not next(answers):
            raise Later("the webhook")

    chain = Chain()
    for _ in range(5):
        chain.vote("alice", "x", "y")
    run = BotRun(counting(use), chain, tmp_path).catch_up()
    assert (run.waiting, run.state, run.dead_letters) == (None, {"alice": 5}, [])


def test_conditions_see_the_same_context(tmp_path):
    """A filter that needs the bot's memory works as in service."""
    chain = Chain()
    bot = Bot()
    bot.on("comment", where=filters.edit)(lambda op, ctx: ctx.log.info("edit %s", ctx.chain.name))
    chain.post("alice", "p")
    chain.post("alice", "p", body="rewritten")
    run = BotRun(bot, chain, tmp_path).catch_up()
    assert run.log == ["edit steem"]
