"""A swarm of real processes, driven by one seed: kill -9, SIGSTOP, forks, failing nodes.

A devnode, ``steembot-broadcaster`` and two bots, without systemd: what dies is started again here,
at once or some blocks later. In the end everything calms down, and then what each bot committed
must be what one clean run over the canonical chain computes, and the audit must agree.

    python -m tests.chaos.processes SEED [EVENTS]

The seed decides what happens and when by the chain's clock, not which instruction a kill hits.
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.progress import track

from steembot.bot.audit import Books
from steembot.bot.state import BotState
from steembot.devnode.chain import IRREVERSIBLE_LAG, Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from steembot.errors import StateError
from steembot.operation import Cursor
from tests.conftest import GENESIS
from tests.support.processes import Process, environment
from tests.support.waiting import wait_until

EVENTS = 60
INTERVAL_S = 0.05
OPERATIONS = 5
SETTLED_S = 180.0

FAULTS = (
    "http-502@0.3,for:0.5",
    "internal-error@0.3,for:0.5",
    "missing-block:3,for:0.4",
    "head-back:5:flap,for:0.5",
    "reset@0.3,for:0.5",
    "latency:80,for:0.5",
)

HANDLERS = '''
"""What was handled, in order, as a stack: one key a place, so that each commit is small."""

from steembot.bot import Bot

bot = Bot()


@bot.on("*")
def push(op, ctx):
    count = ctx.state.get("count", 0)
    ctx.state[f"at {count}"] = str(op.cursor)
    ctx.state["count"] = count + 1


@bot.undo("*")
def pop(op, ctx):
    count = ctx.state["count"] - 1
    assert ctx.state[f"at {count}"] == str(op.cursor), "not the newest one is undone"
    del ctx.state[f"at {count}"]
    ctx.state["count"] = count
    ctx.state["undone"] = ctx.state.get("undone", 0) + 1
'''


class PausableChain(Chain):
    """A chain that makes no blocks while it is told so, nor those of that time afterwards."""

    _paused_at: float | None = None
    _paused_s = 0.0

    def advance(self, now: float) -> None:
        if self._paused_at is None:
            super().advance(now - self._paused_s)

    def pause(self, now: float) -> None:
        """Make no blocks from now on."""
        self.advance(now)
        self._paused_at = now

    def go_on(self, now: float) -> None:
        """Make blocks again."""
        assert self._paused_at is not None
        self._paused_s += now - self._paused_at
        self._paused_at = None


class Member:
    """One process of the swarm, through all its lives."""

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self.process: Process | None = start()
        self.stopped = False
        self.back_at = 0
        self.lives = 1

    def kill(self, back_at: int) -> None:
        """Kill -9. It is to come back when the chain has reached that block."""
        assert self.process is not None
        self.process.signal(signal.SIGKILL)
        assert self.process.ended() == -signal.SIGKILL, self.process.lines[-20:]
        self.process.__exit__(None, None, None)
        self.process, self.stopped, self.back_at = None, False, back_at

    def stop(self, back_at: int) -> None:
        """Stop it as a debugger would. It is to go on when the chain has reached that block."""
        assert self.process is not None
        self.process.signal(signal.SIGSTOP)
        self.stopped, self.back_at = True, back_at

    def go_on(self) -> None:
        """Start it again, or let it go on."""
        if self.process is None:
            self.process = self._start()
            self.lives += 1
        elif self.stopped:
            self.process.signal(signal.SIGCONT)
        self.stopped = False

    @property
    def runs(self) -> bool:
        return self.process is not None and not self.stopped


class Swarm:
    """Everything, and the dice."""

    def __init__(self, seed: int, folder: Path, node: DevNode, chain: PausableChain) -> None:
        self.happened: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._folder = folder
        self._node = node
        self._chain = chain
        (folder / "stack.py").write_text(HANDLERS)
        self._env = environment(
            STEEMBOT_NODES=node.url,
            STEEMBOT_NODE_RATE=10_000,
            STEEMBOT_START=1,
            STEEMBOT_SOCKET=folder / "b.sock",
            STEEMBOT_STATE_DIR=folder,
            STEEMBOT_HANDLERS="stack",
        )
        self.members = {
            "broadcaster": Member(lambda: self._process("steembot-broadcaster")),
            "head": Member(lambda: self._bot("head")),
            "irreversible": Member(lambda: self._bot("irreversible")),
        }

    def run(self, events: Iterable[object]) -> None:
        """Live through an event for each item, calm down, check."""
        for _ in events:
            self._event()
            self._wait_for_head(self._head() + self._rng.choice((0, 0, 1, 2, 5, 8)))
        self._node.faults.clear()
        for member in self.members.values():
            member.go_on()
        self._fork(5)  # one at least takes back what was delivered
        goal = self._head() + 2
        self._wait_for_head(goal + IRREVERSIBLE_LAG)
        for mode in ("head", "irreversible"):
            self._wait_until(lambda m=mode: self._done_with(m) >= goal, f"{mode} at {goal}")
            self._audit(mode, goal)
        for mode in ("head", "irreversible"):
            self.members[mode].kill(0)
            self._check(mode, goal)

    def close(self) -> None:
        """Kill what runs."""
        for member in self.members.values():
            if member.process is not None:
                member.process.__exit__(None, None, None)

    # ---- what happens

    def _event(self) -> None:
        head = self._head()
        for name, member in self.members.items():
            if not member.runs and head >= member.back_at:
                self.happened[f"{name} back"] += 1
                member.go_on()
        dice = self._rng.random()
        name = self._rng.choice(list(self.members))
        back_at = head + self._rng.choice((0, 0, 0, 3, 10, 20))
        if dice < 0.40:
            if self.members[name].process is not None:
                self.happened[f"kill -9 {name}"] += 1
                self.members[name].kill(back_at)
                if back_at == head:
                    self.members[name].go_on()
        elif dice < 0.60:
            if self.members[name].runs:
                self.happened[f"stop {name}"] += 1
                self.members[name].stop(back_at + 1)
        elif dice < 0.85:
            self._fork(self._rng.choice((1, 1, 2, 3, 5, 8, 13)))
        else:
            self.happened["node fault"] += 1
            self._node.faults.set(self._rng.choice(FAULTS))

    def _fork(self, depth: int) -> None:
        self.happened["fork"] += 1
        chain, call = self._chain, self._node.call
        call(lambda: chain.pause(time.monotonic()))
        if self.members["broadcaster"].runs and self.members["head"].runs:
            # A fork of blocks that nobody has seen yet would be none. Who has to run after the
            # chain may never reach it on a busy machine.
            self._wait_until(lambda: self._done_with("head") >= chain.head.num - 1, "the head")
        call(lambda: chain.fork(min(depth, chain.head.num - chain.irreversible_num)))
        call(lambda: chain.go_on(time.monotonic()))

    def _process(self, name: str, *arguments: str, **more: str) -> Process:
        return Process(name, *arguments, env=self._env | more, cwd=self._folder)

    def _bot(self, mode: str) -> Process:
        return self._process("steembot-bot", STEEMBOT_BOT_NAME=mode, STEEMBOT_MODE=mode)

    # ---- waiting

    def _wait_for_head(self, num: int) -> None:
        self._wait_until(lambda: self._head() >= num, f"block {num}")

    def _head(self) -> int:
        # Nobody may be asking just now, and a chain grows when it is asked.
        self._node.call(lambda: self._chain.advance(time.monotonic()))
        return self._chain.head.num

    def _wait_until(self, holds: Callable[[], bool], what: str) -> None:
        def there() -> bool:
            if holds():
                return True
            # Whoever dies by themselves meanwhile has failed.
            for name, member in self.members.items():
                if member.process is not None:
                    assert member.process.runs, f"{name} ended by itself"
            return False

        try:
            wait_until(there, what, timeout_s=SETTLED_S)
        except AssertionError as error:
            error.add_note(self._said())
            raise

    def _said(self) -> str:
        return "\n".join(
            f"--- {name}:\n" + "\n".join(member.process.lines[-20:])
            for name, member in self.members.items()
            if member.process is not None
        )

    def _done_with(self, mode: str) -> int:
        try:
            with Books(self._folder / f"bot-{mode}.sqlite3") as books:
                return books.last
        except StateError:
            return 0  # not even begun

    # ---- what must hold

    def _audit(self, mode: str, last: int) -> None:
        with self._process("steembot", "audit", "1", str(last), "--bot", mode) as audit:
            assert audit.ended(SETTLED_S) == 0, audit.lines

    def _check(self, mode: str, goal: int) -> None:
        with BotState(self._folder / f"bot-{mode}.sqlite3", chain="steem") as state:
            position = state.position
            assert position is not None
            assert position.block_num >= goal
            assert state.dead_letters() == []
            count = state.values.get("count", 0)
            stack = [state.values[f"at {place}"] for place in range(count)]
            undone = state.values.get("undone", 0)
            more = set(state.values) - {f"at {place}" for place in range(count)}
        assert more <= {"count", "undone"}
        expected = [str(cursor) for cursor in self._canonical(position)]
        wrong = next(
            (pair for pair in zip(stack, expected, strict=False) if len(set(pair)) > 1), ""
        )
        assert stack == expected, f"{mode}: {len(stack)} for {len(expected)}, {wrong}"
        assert mode == "head" or not undone, "an undo in mode irreversible"
        self.happened[f"operations in {mode}"] = count
        self.happened[f"undone in {mode}"] = undone

    def _canonical(self, position: Cursor) -> list[Cursor]:
        chain = self._chain
        blocks = [chain.block(num) for num in range(1, position.block_num + 1)]
        assert blocks[-1].id == position.block_id, "the bot stands on a block that is not there"
        return [
            cursor
            for block in blocks
            for trx, transaction in enumerate(block.appbase_block()["transactions"])
            for op, _ in enumerate(transaction["operations"])
            if (cursor := Cursor(block.num, block.id, trx, op)).block_num < position.block_num
            or cursor.within_block <= position.within_block
        ]


def run(seed: int, events: int = EVENTS, *, progress: bool = False) -> Counter[str]:
    """Run one seed; returns what happened. Raises ``AssertionError`` with the seed."""
    turns = range(events)
    folder = Path(tempfile.mkdtemp(prefix=f"steembot-chaos-{seed}-"))
    source = GeneratedBlocks(f"chaos {seed}", genesis_time=GENESIS, operations=OPERATIONS)
    chain = PausableChain(source, start=time.monotonic(), ready=30, interval_s=INTERVAL_S)
    with in_thread(DevNode(chain)) as node:
        swarm = Swarm(seed, folder, node, chain)
        try:
            swarm.run(track(turns, f"disasters of seed {seed}") if progress else turns)
        except BaseException as error:
            error.add_note(f"seed {seed}, {events} events; the files are in {folder}")
            raise
        finally:
            swarm.close()
    shutil.rmtree(folder)
    swarm.happened["blocks"] = chain.head.num
    return swarm.happened


def main(arguments: list[str]) -> None:
    """``SEED [EVENTS]``: run a seed and say what happened."""
    seed = int(arguments[0])
    events = int(arguments[1]) if len(arguments) > 1 else EVENTS
    begun = time.monotonic()
    happened = run(seed, events, progress=True)
    told = ", ".join(f"{count} {what}" for what, count in sorted(happened.items()))
    print(f"seed {seed}, {events} events in {time.monotonic() - begun:.0f} s: {told}")  # noqa: T201
    print("nothing lost, doubled or out of order")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
