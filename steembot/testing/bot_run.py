"""A bot run against a scripted chain, in this process, through as many lives as the test wants."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from steembot.bot import dead_letters
from steembot.bot.bot import Bot
from steembot.bot.credentials import Secrets
from steembot.bot.dead_letters import DeadLetter
from steembot.bot.loading import load_bot
from steembot.bot.runner import Runner, Stopped
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.feed.session import Session
from steembot.operation import Cursor, Operation
from steembot.testing.chain import Chain

CrashPoint = Literal["before handler", "before commit", "after commit"]

MAX_RESTS = 10
"""Pauses at one operation that a run leaves out before it says that the operation waits."""

_T = TypeVar("_T")


class Killed(BaseException):
    """Raise it in a handler to have the process die there, as by ``kill -9`` or a hang."""


class BotRun:
    """One bot on a scripted chain, from the chain's first block on.

    ``bot`` is a :class:`~steembot.bot.Bot`, the module that holds one, its name, or a file's path;
    ``folder`` is where its state is kept, such as pytest's ``tmp_path``. ``mode`` is as in
    ``STEEMBOT_MODE``, ``secrets`` what ``ctx.secret`` gives.

    ``log`` holds the lines that handlers logged, ``journal`` also what steembot said about the
    bot. ``restarts`` counts how often it died. ``waiting`` says which operation waits, and why,
    where a handler raised :class:`~steembot.bot.Later`.
    """

    def __init__(
        self,
        bot: Bot | ModuleType | str | Path,
        chain: Chain,
        folder: Path,
        *,
        mode: Literal["head", "irreversible"] = "head",
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self.bot = _bot(bot)
        self.chain = chain
        self.log: list[str] = []
        self.journal: list[str] = []
        self.restarts = 0
        self.waiting: str | None = None
        self._path = folder / "bot.sqlite3"
        self._mode = mode
        self._secrets = Secrets(secrets or {})
        self._crashes: list[tuple[CrashPoint, int]] = []
        self._process: _Process | None = None

    def catch_up(self) -> BotRun:
        """Run the bot until it has handled everything that is there.

        Timers whose time has come on the chain's clock run once. Where a handler raises
        :class:`~steembot.bot.Later` it is tried again without a pause; one that goes on raising it
        ends the call there, with the reason in ``waiting``, and the next call tries again.
        """
        self.waiting = None
        self.chain.seal_waiting()
        handler = _Journal(self)
        logger = logging.getLogger("steembot.bot")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(min(before or logging.INFO, logging.INFO))
        try:
            while True:
                if self._process is None:
                    self._process = _Process(
                        self.bot,
                        self.chain,
                        self._path,
                        self._mode,
                        self._crashes,
                        secrets=self._secrets,
                    )
                try:
                    self._process.work()
                except (Killed, SystemExit, KeyboardInterrupt):
                    self._die()
                    self.restarts += 1
                except Stopped:  # an operation waits
                    break
                else:
                    break
            self.waiting = self._process.waiting
            if self.waiting is not None:
                self.stop()
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
            self._process.state.commit()
            self._die()

    def _die(self) -> None:
        if self._process is not None:
            self._process.state.close()
            self._process = None

    def __del__(self) -> None:
        self._die()

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
        *,
        secrets: Secrets | None = None,
    ) -> None:
        self._chain = chain
        self._rests = 0
        self._rests_at: str | None = None
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
            rest=self._rest,
            alive=lambda: None,
            clock=lambda: chain.now,
            now=lambda: chain.now,
            chain=chain.name,
            secrets=secrets,
        )

    def _rest(self, _seconds: float) -> None:
        """Wait no time, and end where something waits for longer."""
        position = self.state.after
        self._rests = self._rests + 1 if position == self._rests_at else 1
        self._rests_at = position
        if self._rests > MAX_RESTS:
            raise Stopped

    @property
    def waiting(self) -> str | None:
        """What waits, and why."""
        return self._runner.waiting

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
