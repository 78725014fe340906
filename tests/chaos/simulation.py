"""A whole swarm in memory, driven by one seed: chain, node, broadcaster, feed, bots, crashes.

The deciding parts are the real ones (follower, session, wire, runner, the bot's SQLite state);
sockets, threads and the node are simulated. Everything random comes from the seed, so a failing
run is repeated by ``python -m tests.chaos.simulation SEED``.

What goes wrong: forks of depth 1 to 25, missing blocks under an announced head, heads that go
backwards, failing requests, answers out of order, a broadcaster or bot that dies between any two
durable steps or in a handler, messages lost with a connection, clients that sleep.

In the end everything calms down, and then each bot's committed state must be exactly what one
clean run over the canonical chain computes.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import msgspec

from steembot.bot.bot import Bot
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.chain.follower import Change, Follower, Span
from steembot.errors import FeedError, SteembotError
from steembot.feed import wire
from steembot.feed.session import Session
from steembot.operation import Cursor
from tests.chaos.world import FIRST, IRREVERSIBLE_LAG, DurableLog, Node


class Crash(BaseException):
    """A process dies here: nothing that it did not make durable survives."""


class Broadcaster:
    """One run of the broadcaster's process: dies and is made anew over the same log."""

    def __init__(self, swarm: Swarm) -> None:
        log = swarm.log
        self._swarm = swarm
        self._follower = Follower(
            log.head,
            FIRST,
            log.id_at,
            oldest=lambda: log.oldest,
            irreversible=log.irreversible,
            reversible_blocks=IRREVERSIBLE_LAG,
            span_blocks=swarm.rng.choice((1, 3, 10)),
            window_blocks=20,
        )
        self._under_way: list[Span] = []
        self.sessions: dict[Client, Session] = {}

    def ask(self) -> None:
        """Ask the node for its head and start what is to be fetched."""
        head, irreversible = self._swarm.node.properties()
        before = self._follower.irreversible
        self._follower.announce(head, irreversible)
        if self._follower.irreversible > before:
            self._apply(Change((), ()))
        while len(self._under_way) < 4 and (span := self._follower.wanted()) is not None:
            self._under_way.append(span)

    def answer(self) -> None:
        """Let one of the requests under way end, whichever."""
        rng = self._swarm.rng
        if not self._under_way:
            return
        span = self._under_way.pop(rng.randrange(len(self._under_way)))
        blocks = self._swarm.node.fetch(span)
        if blocks is None:
            self._follower.give_up(span)
            return
        change = self._follower.receive(span, blocks)
        while change is not None:
            self._apply(change)
            change = self._follower.pending()

    def _apply(self, change: Change) -> None:
        self._swarm.maybe_crash("before the log is written")
        self._swarm.log.apply(change, self._follower.irreversible)
        self._swarm.maybe_crash("after the log was written")

    def serve(self, client: Client) -> None:
        """Send one client what it has credit for, a few messages at a time."""
        session = self.sessions.get(client)
        if session is None:
            return
        for _ in range(self._swarm.rng.randrange(1, 6)):
            step = session.next()
            if step is None:
                return
            client.inbox.append(wire.encode(step.message))
            session.take(step)


class Client:
    """A bot and its connection. ``types`` and ``mode`` are what it subscribes to."""

    def __init__(self, swarm: Swarm, name: str, types: tuple[str, ...], mode: str) -> None:
        self.name = name
        self.types = types
        self.mode = mode
        self.inbox: deque[bytes] = deque()
        self.naps = 0
        self.runs = 0
        self._swarm = swarm
        self._path = swarm.folder / f"{name}.sqlite3"
        self._used = 0
        self.start()

    def start(self) -> None:
        """Start the bot's process, anew over the same state."""
        self.runs += 1
        self.inbox.clear()
        self.state = _CrashingState(self._path, self._maybe_crash)
        self._runner = Runner(
            self._swarm.make_bot(self.types, self._maybe_crash),
            self.state,
            pause=lambda _s: None,
            alive=lambda: None,
            clock=lambda: 0.0,
        )

    def _maybe_crash(self, where: str) -> None:
        # A third death in a row would park the operation, and rightly: it can't be known who did
        # it. Here it is never the operation's fault.
        if self.state.deaths_in_a_row < 2:
            self._swarm.maybe_crash(where)

    def stop(self) -> None:
        """The process is gone, and its connection with it."""
        self.inbox.clear()
        self.state.close()

    def connect(self, broadcaster: Broadcaster) -> None:
        """Subscribe behind the bot's own position; what was on the way is lost."""
        self.inbox.clear()
        self._used = 0
        position = self.state.position
        request = wire.Subscribe(
            version=wire.VERSION,
            name=self.name,
            types=list(self.types),
            mode="irreversible" if self.mode == "irreversible" else "head",
            after=str(FIRST - 1) if position is None else str(position),
            credit=self._swarm.rng.choice((1, 2, 8)),
        )
        received = wire.decode_request(wire.encode(request))
        assert isinstance(received, wire.Subscribe)
        broadcaster.sessions[self] = Session(received, self._swarm.log)

    def work(self, broadcaster: Broadcaster) -> None:
        """Take one message and be done with it."""
        if not self.inbox:
            return
        message = wire.decode_reply(self.inbox.popleft())
        match message:
            case wire.BlockMessage():
                self._runner.on_block(message)
                self._used += 1
            case wire.Undo():
                lied = self._swarm.node.lies
                assert self.mode == "head" or lied, "an undo in mode irreversible"
                self._runner.on_undo(message)
            case wire.Progress():
                self._runner.on_progress(message)
        if self._swarm.rng.random() < 0.3:
            self.state.commit()
        session = broadcaster.sessions.get(self)
        if self._used and session is not None:
            session.grant(self._used)
            self._used = 0


class _CrashingState(BotState):
    """The bot's real state, with a chance to die before and after each durable step."""

    def __init__(self, path: Path, maybe_crash: Callable[[str], None]) -> None:
        self.deaths_in_a_row = 0
        """How often the attempt under way was begun before and not ended."""
        self._maybe_crash: Callable[[str], None] = lambda _where: None
        super().__init__(path, chain="steem")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._maybe_crash = maybe_crash

    @contextmanager
    def _transaction(self):
        self._maybe_crash("before a commit of the bot")
        with super()._transaction():
            yield
            self._maybe_crash("in a commit of the bot")
        self._maybe_crash("after a commit of the bot")

    def begin(self, attempt: str) -> int:
        self.deaths_in_a_row = self._deaths if attempt == self._attempt else 0
        deaths = super().begin(attempt)
        self._maybe_crash("after an attempt was recorded")
        return deaths

    def finish(self, *args, **kwargs) -> None:
        super().finish(*args, **kwargs)
        self.deaths_in_a_row = 0
        self._maybe_crash("after the bot finished an operation")


class Swarm:
    """Everything, and the dice."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.crashes = 0
        self._crash_chance = self.rng.choice((0.0, 0.01, 0.05))
        self.node = Node(self.rng)
        self.log = DurableLog(keep_blocks=1000)
        self.log.believed = IRREVERSIBLE_LAG if self.node.lies else 0
        self.broadcaster = Broadcaster(self)
        self.clients = [
            Client(self, "all", ("*",), "head"),
            Client(self, "votes", ("vote",), "head"),
            Client(self, "safe", ("comment", "transfer"), "irreversible"),
        ]

    def maybe_crash(self, _where: str) -> None:
        """Die here, if the dice say so."""
        if self._crash_chance and self.rng.random() < self._crash_chance:
            raise Crash

    @staticmethod
    def make_bot(types: tuple[str, ...], maybe_crash: Callable[[str], None]) -> Bot:
        """A bot whose state is a stack of what it handled, in order."""
        bot = Bot()

        @bot.on(*types)
        def push(op, ctx) -> None:
            maybe_crash("at the beginning of a handler")
            count = ctx.state.get("count", 0)
            ctx.state["count"] = count + 1
            ctx.state[f"at {count}"] = str(op.cursor)
            maybe_crash("at the end of a handler")

        @bot.undo(*types)
        def pop(op, ctx) -> None:
            maybe_crash("at the beginning of an undo")
            count = ctx.state["count"] - 1
            assert ctx.state[f"at {count}"] == str(op.cursor), "not the newest one is undone"
            del ctx.state[f"at {count}"]
            ctx.state["count"] = count

        return bot

    def run(self, steps: int) -> int:
        """Live for so many steps, calm down, check. Returns how many blocks the chain made."""
        for _ in range(steps):
            self._step()
        self.node.calm = True
        self._crash_chance = 0.0
        # An orphaned tip that is irreversible by number needs a chain that grew past it.
        for _ in range(IRREVERSIBLE_LAG + 5):
            self.node.grow()
        for _ in range(10_000):
            if self._settled():
                break
            self.broadcaster.ask()
            self.broadcaster.answer()
            for client in self.clients:
                self._connected(client)
                self.broadcaster.serve(client)
                client.work(self.broadcaster)
        else:
            raise AssertionError("the swarm never settles")
        self._check()
        return self.node.head - FIRST + 1

    def close(self) -> None:
        """Close what is open."""
        for client in self.clients:
            client.stop()

    def _step(self) -> None:
        rng = self.rng
        event = rng.random()
        if event < 0.30:
            self.node.grow()
        elif event < 0.33:
            self._fork()
        elif event < 0.34:
            self._restart_broadcaster()
        elif event < 0.36:
            self._restart(rng.choice(self.clients))
        elif event < 0.38:
            rng.choice(self.clients).naps = rng.randrange(5, 60)
        try:
            self.broadcaster.ask()
            self.broadcaster.answer()
        except Crash:
            self._restart_broadcaster()
        for client in self.clients:
            if client.naps:
                client.naps -= 1
                continue
            self._connected(client)
            self.broadcaster.serve(client)
            try:
                client.work(self.broadcaster)
                client.work(self.broadcaster)
            except Crash:
                self._restart(client)

    def _fork(self) -> None:
        # A real chain never removes what it called irreversible.
        before = self.node.irreversible
        if self.node.head - before > 25 or before == 0:
            self.node.fork()

    def _connected(self, client: Client) -> None:
        if client in self.broadcaster.sessions:
            return
        try:
            client.connect(self.broadcaster)
        except FeedError as error:
            if error.code != wire.ErrorCode.ABOVE_HEAD:
                raise
            # The log of a broadcaster that is behind: the client asks again later.

    def _restart_broadcaster(self) -> None:
        self.crashes += 1
        for client in self.clients:
            if self.rng.random() < 0.5:
                client.inbox.clear()  # what the dead one had sent may have arrived, or not
        self.broadcaster = Broadcaster(self)

    def _restart(self, client: Client) -> None:
        self.crashes += 1
        self.broadcaster.sessions.pop(client, None)
        client.stop()
        client.start()

    def _settled(self) -> bool:
        head = self.node.blocks[-1].ref
        if self.log.head != head or self.log.irreversible != self.node.irreversible:
            return False
        for client in self.clients:
            goal = head.num if client.mode == "head" else self.node.irreversible
            position = client.state.position
            if position is None or client.inbox or position.block_num < goal:
                return False
            if not position.is_end and position.block_num == goal:
                session = self.broadcaster.sessions.get(client)
                if session is None or session.next() is not None:
                    return False
        return True

    def _check(self) -> None:
        for client in self.clients:
            last = self.node.head if client.mode == "head" else self.node.irreversible
            expected = [
                str(Cursor(b.num, b.id, op.trx_in_block, op.op_in_trx, op.virtual_op))
                for b in self.node.blocks
                if FIRST <= b.num <= last
                for op in b.operations
                if "*" in client.types or op.type in client.types
            ]
            clean: dict[str, object] = {f"at {i}": cursor for i, cursor in enumerate(expected)}
            if clean or client.state.values.get("count") is not None:
                clean["count"] = len(expected)
            committed = dict(client.state.values)
            assert committed == clean, f"{client.name}: {_difference(committed, clean)}"
            assert client.state.dead_letters() == []


def _difference(got: dict, wanted: dict) -> str:
    keys = [key for key in got.keys() | wanted.keys() if got.get(key) != wanted.get(key)]
    return f"{len(keys)} entries differ, such as {sorted(keys)[:3]}"


def run(seed: int, steps: int = 40) -> int:
    """Run one seed; returns the number of blocks. Raises ``AssertionError`` with the seed."""
    fast = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=fast if fast.is_dir() else None))
    swarm = Swarm(seed, folder)
    try:
        return swarm.run(steps)
    except (AssertionError, msgspec.MsgspecError, SteembotError) as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error
    finally:
        swarm.close()
        shutil.rmtree(folder)


def main(arguments: list[str]) -> None:
    """Run seeds: ``SEED`` or ``FIRST LAST``, and say how it goes."""
    import time  # noqa: PLC0415

    from rich.progress import track  # noqa: PLC0415

    first = int(arguments[0])
    last = int(arguments[1]) if len(arguments) > 1 else first
    begun = time.monotonic()
    blocks = 0
    for seed in track(range(first, last + 1), description="simulating"):
        blocks += run(seed, steps=random.Random(seed).choice((10, 40, 200)))
    seconds = time.monotonic() - begun
    print(  # noqa: T201
        f"{last - first + 1} runs, {blocks} blocks, {blocks / seconds:.0f} blocks/s, "
        "nothing lost, doubled or out of order"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
