"""For a bot author's own tests: a chain to script, and a bot run against it in this process.

::

    from steembot.testing import BotRun, Chain

    def test_it_announces_new_posts(tmp_path):
        chain = Chain()
        run = BotRun("my_bot.py", chain, tmp_path)
        chain.post("alice", "hello", body="Hi @bob!")
        run.catch_up()
        assert run.log == ["https://steemit.com/@alice/hello"]

No node, no network, no waiting: blocks go through the same code as in service (the feed's session,
the bot's runner, its state on disk), but sockets and processes are left out, and the clock is the
chain's. A :class:`BotRun` dies where it is told to and is started again, as systemd would do it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import msgspec

from steembot.bot import dead_letters
from steembot.bot.bot import Bot
from steembot.bot.dead_letters import DeadLetter
from steembot.bot.loading import load_bot
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.feed.session import Session
from steembot.operation import Block, BlockRef, Cursor, Operation, RawOperation

SLOT_S = 3
"""From one block to the next, in seconds."""

START = datetime(2020, 9, 13, 12, 26, 42, tzinfo=UTC)

CrashPoint = Literal["before handler", "before commit", "after commit"]

_T = TypeVar("_T")

_encode = msgspec.json.Encoder().encode


class Killed(BaseException):
    """Raise it in a handler to have the process die there, as by ``kill -9`` or a hang."""


class Chain:
    """A blockchain that does what the test says.

    Operations wait for the next block, which :meth:`next_block` makes; :meth:`BotRun.catch_up`
    makes one if any wait. ``now`` is the time on the chain's clock, in seconds since 1970.
    ``irreversible_lag`` is the number of blocks from the last irreversible one to the head.
    """

    def __init__(
        self,
        name: str = "steem",
        *,
        first: int = 1,
        start: datetime = START,
        irreversible_lag: int = 15,
    ) -> None:
        self.name = name
        self.now = start.timestamp()
        self.forks = 0
        self._lag = irreversible_lag
        self._first = first
        self._chain: list[Block] = []
        self._removed: dict[str, Block] = {}
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._posts = 0
        self._seal()

    # ---- what people do

    def post(
        self,
        author: str,
        permlink: str | None = None,
        *,
        title: str = "",
        body: str = "A post.",
        tags: Sequence[str] = (),
        community: str | None = None,
        json_metadata: str | Mapping[str, Any] | None = None,
    ) -> str:
        """Write a post, or write it anew: an edit with a whole new body. Returns its permlink."""
        category = community or (tags[0] if tags else "life")
        metadata = {"tags": list(tags)} if json_metadata is None else json_metadata
        return self._comment(
            author, permlink, parent=("", category), title=title, body=body, metadata=metadata
        )

    def reply(
        self,
        author: str,
        parent_author: str,
        parent_permlink: str,
        body: str = "A reply.",
        permlink: str | None = None,
    ) -> str:
        """Reply to a post or a reply. Returns the reply's permlink."""
        parent = (parent_author, parent_permlink)
        return self._comment(author, permlink, parent=parent, title="", body=body, metadata={})

    def edit(
        self,
        author: str,
        permlink: str,
        patch: str = "@@ -1,3 +1,4 @@\n abc\n+d\n",
        *,
        tags: Sequence[str] = (),
    ) -> str:
        """Edit a post as most clients do, by a patch. Returns its permlink."""
        return self.post(author, permlink, body=patch, tags=tags)

    def vote(self, voter: str, author: str, permlink: str, weight: int = 10_000) -> None:
        """Vote; ``weight`` is in hundredths of a percent."""
        self.operation("vote", voter=voter, author=author, permlink=permlink, weight=weight)

    def transfer(self, sender: str, to: str, amount: str, memo: str = "") -> None:
        """Send ``amount``, such as ``"1.000 STEEM"``."""
        self.operation("transfer", **{"from": sender, "to": to, "amount": amount, "memo": memo})

    def custom_json(self, identity: str, payload: Any, *, by: str, active: bool = False) -> None:
        """Send a ``custom_json``, signed with ``by``'s posting or active key."""
        self.operation(
            "custom_json",
            required_auths=[by] if active else [],
            required_posting_auths=[] if active else [by],
            id=identity,
            json=payload if isinstance(payload, str) else _encode(payload).decode(),
        )

    def operation(self, kind: str, **value: Any) -> None:
        """Do anything else: an operation with this body, in a transaction of its own."""
        self._waiting.append((kind, value))

    # ---- time

    def next_block(self) -> BlockRef:
        """Make the next block, of what waits. Returns its number and id."""
        self.now += SLOT_S
        return self._seal()

    def wait(self, seconds: float = SLOT_S) -> None:
        """Let time pass: what waits comes with the first block, the others are empty."""
        for _ in range(max(1, round(seconds / SLOT_S))):
            self.next_block()

    def miss(self, seconds: float) -> None:
        """Let time pass without blocks, as if witnesses missed their slots."""
        self.now += seconds - seconds % SLOT_S

    def fork(self, depth: int, *, again: bool = False) -> None:
        """Take back the newest blocks; another branch, longer by one block, replaces them.

        With ``again`` its first block holds the operations that were taken back, as it mostly is
        on the real chain; otherwise they are gone.
        """
        self._seal_waiting()
        if not 0 < depth < len(self._chain):
            raise ValueError(f"fork({depth}): 1 to {len(self._chain) - 1} blocks can be taken back")
        if depth > self._lag:
            raise ValueError(f"fork({depth}): all but {self._lag} blocks are irreversible")
        gone = self._chain[-depth:]
        del self._chain[-depth:]
        self.forks += 1
        self._removed |= {block.id: block for block in gone}
        if again:
            self._waiting = [
                (op.type, msgspec.json.decode(op.value))
                for block in gone
                for op in block.operations
            ]
        self.now -= SLOT_S * depth
        for _ in range(depth + 1):
            self.next_block()

    # ---- what the feed's session reads (feed.session.BlockSource)

    @property
    def head(self) -> BlockRef:
        """The newest block."""
        return self._chain[-1].ref

    @property
    def irreversible(self) -> int:
        """The number of the last irreversible block."""
        return max(self._first, self.head.num - self._lag)

    @property
    def oldest(self) -> int:
        """The number of the first block."""
        return self._first

    @property
    def first_wanted(self) -> int:
        """The number of the first block."""
        return self._first

    def id_at(self, num: int) -> str | None:
        """The id of the block of that number."""
        block = self.block(num)
        return None if block is None else block.id

    def block(self, num: int) -> Block | None:
        """The block of that number."""
        index = num - self._first
        return self._chain[index] if 0 <= index < len(self._chain) else None

    def older(self, num: int) -> Block | None:
        """Nothing is older than the first block."""
        raise LookupError(num)

    def removed(self, block_id: str) -> Block | None:
        """A block that a fork took back."""
        return self._removed.get(block_id)

    # ---- within

    def _comment(
        self,
        author: str,
        permlink: str | None,
        *,
        parent: tuple[str, str],
        title: str,
        body: str,
        metadata: str | Mapping[str, Any],
    ) -> str:
        self._posts += 1
        name = f"{author}-{self._posts}" if permlink is None else permlink
        self.operation(
            "comment",
            parent_author=parent[0],
            parent_permlink=parent[1],
            author=author,
            permlink=name,
            title=title,
            body=body,
            json_metadata=metadata if isinstance(metadata, str) else _encode(metadata).decode(),
        )
        return name

    def _seal_waiting(self) -> None:
        if self._waiting:
            self.next_block()

    def _seal(self) -> BlockRef:
        previous = self._chain[-1] if self._chain else None
        num = self._first if previous is None else previous.num + 1
        before = f"{num - 1:08x}" + "0" * 32 if previous is None else previous.id
        digest = hashlib.blake2b(f"{num} {before} {self.forks}".encode(), digest_size=16)
        block_id = f"{num:08x}{digest.hexdigest()}"
        operations = tuple(
            RawOperation(
                type=kind,
                trx_in_block=index,
                op_in_trx=0,
                virtual_op=0,
                trx_id=hashlib.blake2b(f"{index} {block_id}".encode(), digest_size=20).hexdigest(),
                value=_encode(value),
            )
            for index, (kind, value) in enumerate(self._waiting)
        )
        self._waiting = []
        self._chain.append(Block(num, block_id, before, int(self.now), operations))
        return self.head


class BotRun:
    """One bot on a scripted chain, from the chain's first block on.

    ``bot`` is a :class:`~steembot.bot.Bot`, the module that holds one, its name, or a file's path;
    ``folder`` is where its state is kept, such as pytest's ``tmp_path``. ``mode`` is as in
    ``STEEMBOT_MODE``.

    ``log`` holds the lines that handlers logged, ``journal`` also what steembot said about the
    bot. ``restarts`` counts how often it died.
    """

    def __init__(
        self,
        bot: Bot | ModuleType | str | Path,
        chain: Chain,
        folder: Path,
        *,
        mode: Literal["head", "irreversible"] = "head",
    ) -> None:
        self.bot = _bot(bot)
        self.chain = chain
        self.log: list[str] = []
        self.journal: list[str] = []
        self.restarts = 0
        self._path = folder / "bot.sqlite3"
        self._mode = mode
        self._crashes: list[tuple[CrashPoint, int]] = []
        self._process: _Process | None = None

    def catch_up(self) -> BotRun:
        """Run the bot until it has handled everything that is there.

        Timers whose time has come on the chain's clock run once.
        """
        self.chain._seal_waiting()  # noqa: SLF001 (one thing in two classes)
        handler = _Journal(self)
        logger = logging.getLogger("steembot.bot")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(min(before or logging.INFO, logging.INFO))
        try:
            while True:
                if self._process is None:
                    self._process = _Process(
                        self.bot, self.chain, self._path, self._mode, self._crashes
                    )
                try:
                    self._process.work()
                except (Killed, SystemExit, KeyboardInterrupt):
                    self.stop()
                    self.restarts += 1
                else:
                    break
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
        return self

    def crash(self, point: CrashPoint = "before commit", *, after: int = 0) -> None:
        """Have the process die at this point of the next operation, or ``after`` so many more.

        It is started again, as systemd would, until it is through.
        """
        self._crashes.append((point, after))

    def mend(self, bot: Bot | ModuleType | str | Path) -> None:
        """Go on with other handlers, as after an installation; state and position stay."""
        self.stop()
        self.bot = _bot(bot)

    def stop(self) -> None:
        """End the bot's process, as ``systemctl stop`` does; :meth:`catch_up` starts it again."""
        if self._process is not None:
            self._process.state.__exit__(None)
            self._process = None

    def __del__(self) -> None:
        self.stop()

    def redrive(self, *letters: DeadLetter) -> BotRun:
        """Have these dead letters handled once more, or all."""
        numbers = [letter.id for letter in letters] or None
        with dead_letters.opened(self._path) as held:
            held.want(numbers)
        return self.catch_up()

    @property
    def state(self) -> dict[str, Any]:
        """What the handlers stored, as it is committed."""
        return self._look(lambda state: dict(state.values))

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The operations that the handlers failed on for good, oldest first."""
        return self._look(lambda state: state.dead_letters())

    @property
    def position(self) -> Cursor | None:
        """Behind which operation the bot stands."""
        return self._look(lambda state: state.position)

    def _look(self, what: Callable[[BotState], _T]) -> _T:
        if self._process is not None:  # it holds the bot's lock
            return what(self._process.state)
        with BotState(self._path, chain=self.chain.name) as state:
            return what(state)


class _Process:
    """One life of the bot's process."""

    def __init__(
        self,
        bot: Bot,
        chain: Chain,
        path: Path,
        mode: Literal["head", "irreversible"],
        crashes: list[tuple[CrashPoint, int]],
    ) -> None:
        self._chain = chain
        self.state = _DyingState(path, chain.name, crashes)
        self._session = Session(
            wire.Subscribe(
                version=wire.VERSION,
                name="test",
                types=list(bot.types),
                mode=mode,
                after=self.state.after or str(chain.oldest - 1),
                credit=1,
            ),
            chain,
        )
        self._runner = Runner(
            bot,
            self.state,
            pause=lambda _s: None,
            alive=lambda: None,
            clock=lambda: chain.now,
            now=lambda: chain.now,
            chain=chain.name,
        )

    def work(self) -> None:
        """Do what there is to do."""
        runner, session = self._runner, self._session
        runner.announce(self._chain.head.num, self._chain.irreversible)
        runner.redrive()
        runner.run_timers()
        while (step := session.next()) is not None:
            session.take(step)
            match step.message:
                case wire.BlockMessage():
                    session.grant(1)
                    runner.on_block(step.message)
                case wire.Undo():
                    runner.on_undo(step.message)
                case wire.Progress():
                    runner.on_progress(step.message)


class _DyingState(BotState):
    """A bot's state whose process dies where the test says."""

    def __init__(self, path: Path, chain: str, crashes: list[tuple[CrashPoint, int]]) -> None:
        super().__init__(path, chain=chain)
        self._crashes = crashes

    def begin(self, attempt: str) -> int:
        deaths = super().begin(attempt)
        self._pass("before handler")
        return deaths

    def is_begun(self, attempt: str) -> bool:
        begun = super().is_begun(attempt)
        if begun:
            self._pass("before handler")
        return begun

    def finish(self, position: Cursor, then: str | None = None, **more: Any) -> None:
        works = more.get("handled") is not None or more.get("undone") is not None
        if works:
            self._pass("before commit")
        super().finish(position, then, **more)
        if works:
            self._pass("after commit")

    def park(
        self, operation: Operation, error: str, position: Cursor, *, undo: bool, **more: Any
    ) -> None:
        self._pass("before commit")
        super().park(operation, error, position, undo=undo, **more)
        self._pass("after commit")

    def finish_redrive(self, letter: DeadLetter, **more: Any) -> None:
        self._pass("before commit")
        super().finish_redrive(letter, **more)
        self._pass("after commit")

    def _pass(self, point: CrashPoint) -> None:
        for index, (where, left) in enumerate(self._crashes):
            if where != point:
                continue
            if left == 0:
                del self._crashes[index]
                raise Killed(point)
            self._crashes[index] = (where, left - 1)


class _Journal(logging.Handler):
    """Collects what the bot and steembot say."""

    def __init__(self, run: BotRun) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        self._run.journal.append(record.getMessage())
        if record.name == "steembot.bot":  # ctx.log's
            self._run.log.append(record.getMessage())


def _bot(given: Bot | ModuleType | str | Path) -> Bot:
    if isinstance(given, Bot):
        return given
    if isinstance(given, ModuleType):
        return load_bot(given.__name__)
    return load_bot(str(Path(given).resolve()) if str(given).endswith(".py") else str(given))
