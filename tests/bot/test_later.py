"""A handler that cannot work now: its operation waits, in order, and becomes no dead letter."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.bot import Bot, Later
from steembot.bot.later import FIRST_PAUSE_S, MAX_ASKED_S, MAX_PAUSE_S
from steembot.bot.runner import Runner, Stopped
from steembot.bot.state import BotState
from steembot.repeats import REPEAT_S
from tests.bot.conftest import message, undo
from tests.support.blocks import make_block, make_chain, with_operations


class Service:
    """A service that is away for a while, and a clock that only waiting moves on."""

    def __init__(self, back_at_s: float = 0.0, **later) -> None:
        self.now = 0.0
        self.back_at_s = back_at_s
        self.later = later
        self.rests: list[float] = []
        self.calls = 0

    def use(self, why: str = "the service is away") -> None:
        """What a handler does."""
        self.calls += 1
        if self.now < self.back_at_s:
            raise Later(why, **self.later)

    def rest(self, seconds: float) -> None:
        """How the runner waits."""
        self.rests.append(seconds)
        self.now += seconds

    def options(self) -> dict:
        """The runner's clock and pauses."""
        return {"clock": lambda: self.now, "rest": self.rest}


def using_bot(service: Service, seen: list[str]) -> Bot:
    bot = Bot()

    @bot.on("*")
    def use(op, ctx):
        ctx.state["count"] = ctx.state.get("count", 0) + 1
        service.use()
        seen.append(op.value["n"])

    return bot


def block(*types: str):
    return make_block(5, "0" * 40, types=types or ("vote", "vote"))


def test_an_operation_waits_for_a_service_and_those_behind_it_too(run, caplog):
    """In order, however long it takes; no dead letter, and no state of a try that was given up."""
    service, seen = Service(back_at_s=7 * 3600), []
    runner, state = run(using_bot(service, seen), **service.options())
    runner.on_block(message(block()))
    assert seen == ["5/0", "5/1"]
    assert service.now >= 7 * 3600
    assert state.values["count"] == 2
    assert state.dead_letters() == []
    assert runner.waiting is None


def test_waiting_is_said_at_once_then_once_a_minute_and_its_end_once(run, caplog):
    """With what is away, and when it is tried again."""
    caplog.set_level("INFO")
    service = Service(back_at_s=10 * REPEAT_S)
    runner, _ = run(using_bot(service, []), **service.options())
    runner.on_block(message(block()))
    waits = [line for line in caplog.messages if " waits: " in line]
    assert waits[0] == "vote of block 5 waits: the service is away; it is tried again in 1 s"
    assert 9 <= len(waits) <= 10
    (end,) = [line for line in caplog.messages if "waits no longer" in line]
    assert end.startswith("vote of block 5 waits no longer, after 6")
    assert len(caplog.messages) == len(waits) + 1


def test_pauses_grow_to_a_bound(run):
    """From a second to a minute, so that nobody calls a service that is away again and again."""
    service = Service(back_at_s=1000)
    runner, _ = run(using_bot(service, []), **service.options())
    runner.on_block(message(block("vote")))
    assert service.rests[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert max(service.rests) == MAX_PAUSE_S


@pytest.mark.parametrize(
    ("asked", "pause_s"),
    [
        (30, 30),
        (2.5, 2.5),
        (timedelta(minutes=5), 300),
        (0, FIRST_PAUSE_S),
        (1e9, MAX_ASKED_S),
        (float("inf"), MAX_ASKED_S),
    ],
)
def test_a_handler_says_how_long(run, asked, pause_s):
    """Each pause is the one that it asks for, within bounds."""
    service = Service(back_at_s=3 * pause_s, after_s=asked)
    runner, _ = run(using_bot(service, []), **service.options())
    runner.on_block(message(block("vote")))
    assert service.rests == [pause_s] * 3


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        ((), {"after_s": -1}, "0 seconds or more"),
        ((), {"after_s": float("nan")}, "0 seconds or more"),
        ((), {"after_s": "30"}, "a number of seconds"),
        ((30,), {}, "after_s=30"),
        ((timedelta(seconds=3),), {}, "after_s="),
    ],
)
def test_what_cannot_be_a_pause_is_refused(arguments, named, words):
    """The handler's author is told what to write."""
    with pytest.raises((TypeError, ValueError), match=words):
        Later(*arguments, **named)


def test_later_tells_the_error_behind_it():
    """On one line, whatever a stranger put into it."""
    with pytest.raises(Later) as caught:
        raise Later from OSError("no\x1b[31m route\nto \ud83d host")
    assert caught.value.words == r"OSError: no\x1b[31m route\nto \ud83d host"
    assert Later("the webhook").words == "the webhook"
    assert Later().words


@pytest.mark.parametrize("raiser", ["handler", "condition", "undo", "a class of its own"])
def test_everything_that_is_called_for_an_operation_may_say_it(run, raiser):
    """Conditions and undo handlers too."""
    service, bot, seen = Service(back_at_s=100), Bot(), []

    class Down(Later):
        def __init__(self, code):
            self.code = code

    def handle(op, ctx):
        if raiser == "a class of its own" and service.now < 100:
            raise Down(503)
        if raiser != "condition":
            service.use()
        seen.append(op.value["n"])

    def where(op, ctx):
        if raiser == "condition":
            service.use()
        return True

    (bot.undo if raiser == "undo" else bot.on)("vote", where=where)(handle)
    if raiser == "undo":
        bot.on("vote")(lambda op, ctx: None)
    runner, state = run(bot, **service.options())
    runner.on_block(message(block()))
    if raiser == "undo":
        runner.on_undo(undo(block()))
    assert sorted(seen) == ["5/0", "5/1"]
    assert service.now >= 100
    assert state.dead_letters() == []


def test_timers_go_on_while_an_operation_waits(run):
    """On time, and what they store lasts; the operation's own state does not get mixed in."""
    service, seen, ticks = Service(back_at_s=120), [], []
    bot = using_bot(service, seen)

    @bot.every(10)
    def tick(ctx):
        ticks.append(service.now)
        ctx.state["ticks"] = ctx.state.get("ticks", 0) + 1
        assert "count" not in ctx.state

    runner, state = run(bot, **service.options())
    runner.on_block(message(block("vote")))
    assert ticks[:11] == [10.0 * n for n in range(1, 12)]
    assert state.values["ticks"] == len(ticks)
    assert state.values["count"] == 1


def test_a_timer_that_says_later_is_called_again_soon_and_keeps_nobody(run, caplog):
    """Not only a whole period later, and it counts as no failure."""
    service, bot, seen = Service(back_at_s=5), Bot(), []
    bot.on("vote")(lambda op, ctx: seen.append(op.value["n"]))

    @bot.every(60)
    def report(ctx):
        ctx.state["reports"] = ctx.state.get("reports", 0) + 1
        service.use()

    runner, state = run(bot, **service.options())
    service.now, service.back_at_s = 60, 65
    for _ in range(20):
        service.now += runner.run_timers()
        if service.calls == 4:
            break
    assert service.now == 60 + 1 + 2 + 4 + 60  # tried after 1, 2 and 4 s, then every 60 s
    assert state.values["reports"] == 1
    runner.on_block(message(block("vote")))
    assert seen == ["5/0"]
    assert "failed" not in caplog.text
    assert "the timer report waits: the service is away; it is tried again in 1 s" in caplog.text


def test_a_stop_ends_the_waiting_at_once_and_the_next_process_goes_on(run):
    """No death is counted, however often, and nothing is lost."""
    service, seen = Service(back_at_s=1e9), []

    def stop(_seconds):
        raise Stopped

    for _ in range(10):
        runner, state = run(using_bot(service, seen), **service.options() | {"rest": stop})
        with pytest.raises(Stopped):
            runner.on_block(message(block()))
        assert runner.waiting == "vote of block 5 waits: the service is away"
        assert state.position is None
    service.back_at_s = 0
    runner, state = run(using_bot(service, seen))
    runner.on_block(message(block()))
    assert seen == ["5/0", "5/1"]
    assert state.values["count"] == 2
    assert state.dead_letters() == []


def test_a_kill_while_an_operation_waits_is_no_death_of_it(run):
    """The handler had returned: it is not to blame."""

    class Killed(BaseException):
        pass

    def kill(_seconds):
        raise Killed

    service, seen = Service(back_at_s=1e9), []
    for _ in range(10):
        runner, _ = run(using_bot(service, seen), **service.options() | {"rest": kill})
        with pytest.raises(Killed):
            runner.on_block(message(block()))
    service.back_at_s = 0
    runner, state = run(using_bot(service, seen))
    runner.on_block(message(block()))
    assert (seen, state.dead_letters()) == (["5/0", "5/1"], [])


def test_a_failure_after_waiting_has_all_its_tries(run):
    """What fails for good becomes a dead letter, and the bot no longer waits."""
    service, bot, tries = Service(back_at_s=10), Bot(), []

    @bot.on("vote")
    def use(op, ctx):
        service.use()
        tries.append(op.value["n"])
        raise RuntimeError("by intent")

    runner, state = run(bot, **service.options())
    runner.on_block(message(block("vote")))
    assert tries == ["5/0"] * 3
    assert len(state.dead_letters()) == 1
    assert runner.waiting is None


def test_an_operation_that_grows_too_old_while_it_waits_is_left_out(run):
    """``max_age`` holds for what waits too, so a night's outage is not answered in the morning."""
    service, bot, seen = Service(back_at_s=1e9), Bot(), []
    made = block("vote")

    @bot.on("vote", max_age=600)
    def use(op, ctx):
        service.use()
        seen.append(op)

    options = service.options() | {"now": lambda: made.timestamp + service.now}
    runner, state = run(bot, **options)
    runner.on_block(message(made))
    assert 600 < service.now < 700
    assert seen == []
    assert state.position is not None


def test_a_dead_letter_that_is_redriven_waits_by_itself(run):
    """It stays wanted until it succeeds, and operations go on meanwhile."""
    service, bot, broken = Service(), Bot(), [True]

    @bot.on("vote")
    def use(op, ctx):
        if op.value["n"] == "5/0":
            ctx.state["count"] = ctx.state.get("count", 0) + 1
            service.use()
            if broken[0]:
                raise RuntimeError("by intent")

    runner, state = run(bot, **service.options())
    runner.on_block(message(block("vote")))
    broken[0], service.back_at_s = False, 100
    state.letters.want(None)
    for _ in range(200):
        runner.redrive()
        if not state.dead_letters():
            break
        assert runner.waiting == "the dead letter 1 waits: the service is away"
        (letter,) = state.dead_letters()
        assert (letter.wanted, letter.redriven) == (True, 0)
        service.now += 1
    assert 100 <= service.now < 200
    assert state.dead_letters() == []
    assert state.values["count"] == 1
    assert runner.waiting is None
    assert service.calls < 20


@settings(max_examples=40)
@given(
    answers=st.lists(st.sampled_from(["well", "later", "fail", "kill"]), max_size=30),
    length=st.integers(1, 6),
)
def test_whatever_a_service_does_each_operation_is_handled_once_in_order(
    tmp_path_factory, answers, length
):
    """Through waiting, failures and kills; what was counted is what was handled."""
    path = tmp_path_factory.mktemp("later") / "bot.sqlite3"
    left = list(answers)

    class Killed(BaseException):
        pass

    bot = Bot()

    @bot.on("*")
    def use(op, ctx):
        ctx.state["seen"] = [*ctx.state.get("seen", []), op.value["n"]]
        match left.pop(0) if left else "well":
            case "later":
                raise Later
            case "fail":
                raise RuntimeError
            case "kill":
                raise Killed

    chain = make_chain(1, length)
    wanted = [op for each in chain for op in message(each).operations]
    while True:
        with BotState(path, chain="steem") as state:
            runner = Runner(
                bot, state, pause=lambda _s: None, alive=lambda: None, clock=lambda: 0.0
            )
            position = state.position
            try:
                for each in chain:
                    if position is None or each.num > position.block_num:
                        runner.on_block(message(each))
                    elif each.num == position.block_num:
                        rest = [
                            op for op in each.operations if op.within_block > position.within_block
                        ]
                        runner.on_block(message(with_operations(each, tuple(rest))))
            except Killed:
                continue
            handled = state.values.get("seen", [])
            parked = state.dead_letters()
            break
    assert len(handled) + len(parked) == len(wanted)
    assert handled == sorted(handled, key=lambda n: [int(part) for part in n.split("/")])
    assert len(set(handled)) == len(handled)
