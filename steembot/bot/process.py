"""The bot's wiring: the feed's events in, the runner's calls out, until a signal."""

from __future__ import annotations

import faulthandler
import logging
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steembot import events, service, settings
from steembot.bot.bot import Bot
from steembot.bot.chain_clock import ChainClock
from steembot.bot.loading import check_types, load_bot
from steembot.bot.runner import Runner, Stopped
from steembot.bot.state import BotState
from steembot.errors import SettingsError, StateError
from steembot.feed import wire
from steembot.feed.client import Connected, Disconnected, Event, FeedClient, Refused
from steembot.feed.wire import ErrorCode
from steembot.repeats import Repeats
from steembot.settings import Settings

if TYPE_CHECKING:
    from steembot.bot.meters import Meters

log = logging.getLogger(__name__)

TURN_S = 1.0
"""The longest wait for an event, and so how often an idle bot feeds the watchdog."""

AT_START = (
    "chain",
    "chain_id",
    "socket",
    "state_dir",
    "virtual_ops",
    "bot_name",
    "handlers",
    "mode",
    "metrics",
)
"""Settings that only a start takes up; ``start`` is one too before the first operation."""


def run() -> None:
    """Run the bot named by the settings until a signal ends it.

    Raises :class:`~steembot.errors.SteembotError`.
    """
    given = settings.load()
    service.set_up_logging("bot", given.log_level, STEEMBOT_BOT=given.bot_name)
    # The watchdog ends a hung handler with SIGABRT; the journal then says where it hung.
    faulthandler.enable()
    settings.export(given)
    bot = load_bot(given.handlers)
    check_types(bot, given.handlers, given.chain, virtual_ops=given.virtual_ops)
    path = service.state_file(given.state_dir, f"bot-{given.bot_name}.sqlite3")
    with (
        service.Service(log_interrupt=Stopped) as daemon,
        BotState(path, chain=given.chain_key) as state,
        FeedClient(
            given.socket,
            name=given.bot_name,
            types=bot.types,
            mode=given.mode,
            after=lambda: _after(state, given),
        ) as client,
        _published(given) as meters,
    ):
        client.wake_by(daemon.fileno())
        daemon.ready(f"waiting for the broadcaster at {given.socket}")
        try:
            BotProcess(given, bot, state, client, daemon, meters=meters).serve()
        except Stopped:
            pass
        finally:
            daemon.bye()
    log.info("stopped", extra=events.STOPPED())


class BotProcess:
    """Passes the feed's events on to the runner, and says what an administrator should know."""

    def __init__(
        self,
        given: Settings,
        bot: Bot,
        state: BotState,
        client: FeedClient,
        daemon: service.Service,
        *,
        meters: Meters | None = None,
    ) -> None:
        self._given = given
        self._meters = meters
        self._bot = bot
        self._state = state
        self._client = client
        self._daemon = daemon
        self._measure_due = 0.0
        self._words_due = 0.0
        self._chain_clock = ChainClock(clock=time.monotonic, wall=time.time)
        self._runner = Runner(
            bot,
            state,
            pause=lambda s: _pause(daemon, s),
            rest=self._rest,
            alive=daemon.alive if meters is None else self._alive,
            now=self._chain_clock.now,
            chain=given.chain,
            called=None if meters is None else meters.called,
            passed_by=None if meters is None else meters.passed_by,
        )
        self._repeats = Repeats()
        self._on_record = False

    def serve(self) -> None:
        """Serve until a signal. Raises :class:`Stopped` when it came in the middle of work."""
        daemon, client = self._daemon, self._client
        while not daemon.stopping:
            self._runner.redrive()
            event = client.receive(0)
            if event is None:
                self._state.commit()
                event = client.receive(min(TURN_S, self._runner.run_timers()))
            if event is None:
                daemon.drain()
                daemon.alive()
                if not client.connected:
                    self._say(
                        "waiting",
                        f"still waiting for the broadcaster at {self._given.socket}",
                        events.BROADCASTER_MISSING(),
                    )
            else:
                self._take(event)
            self._see_to_people()

    def _rest(self, seconds: float) -> None:
        """Wait with an operation in hand, and see to all else. Raises :class:`Stopped`."""
        daemon = self._daemon
        deadline = time.monotonic() + seconds
        while not daemon.stopping:
            daemon.alive()
            self._see_to_people()
            wait_s = deadline - time.monotonic()
            if wait_s <= 0:
                return
            event = self._client.keep(min(wait_s, TURN_S))
            daemon.drain()
            if event is not None:
                self._take(event)
        raise Stopped

    def _see_to_people(self) -> None:
        """Do what an administrator asks for, and say how the bot is: at most once a second."""
        if self._daemon.reload_wanted:
            self._reload()
        now = time.monotonic()
        if now >= self._words_due:
            self._words_due = now + TURN_S
            self._state.commit()
            self._daemon.status(self._words())
            self._measure()

    def _words(self) -> str:
        connected = self._client.connected
        return _words(self._state, connected=connected, waiting=self._runner.waiting)

    def _reload(self) -> None:
        """Read the settings anew. Where one is wrong, all stay as they were."""
        self._daemon.reloading()
        try:
            read = settings.load()
        except SettingsError as error:
            log.error(  # noqa: TRY400 (one line for a person)
                "settings kept as they were: %s", error, extra=events.SETTINGS_KEPT()
            )
        else:
            service.set_up_logging("bot", read.log_level)
            log.info(
                "settings read again: log level %s", read.log_level, extra=events.SETTINGS_READ()
            )
            later = AT_START if self._state.after is not None else (*AT_START, "start")
            if waiting := settings.changed(self._given, read, later):
                words = ", ".join(waiting)
                log.warning(
                    "not in force before a restart: %s", words, extra=events.SETTINGS_WAIT()
                )
        self._daemon.ready(self._words())

    def _alive(self) -> None:
        self._daemon.alive()
        if time.monotonic() >= self._measure_due:
            self._measure()

    def _measure(self) -> None:
        """Note for the metrics what only this thread may look at."""
        meters, position = self._meters, self._state.position
        if meters is not None:
            self._measure_due = time.monotonic() + TURN_S
            meters.block = None if position is None else position.block_num
            meters.connected = self._client.connected
            meters.dead_letters = self._state.letters.count()
            meters.waiting = self._runner.waiting is not None

    def _take(self, event: Event) -> None:
        match event:
            case wire.BlockMessage():
                if not self._on_record:
                    self._put_on_record(event.num - 1)
                self._runner.on_block(event)
            case wire.Progress():
                self._runner.on_progress(event)
            case wire.Undo():
                self._runner.on_undo(event)
            case wire.Heartbeat():
                self._hear(event)
            case Connected():
                self._connect(event.subscribed)
            case Disconnected():
                self._repeats.said("waiting", time.monotonic())
                log.warning(
                    "disconnected from the broadcaster: %s",
                    event.reason,
                    extra=events.DISCONNECTED(),
                )
            case Refused():
                self._say(
                    f"refused {event.code}",
                    _refusal(event, self._given),
                    events.SUBSCRIPTION_REFUSED(),
                )

    def _hear(self, beat: wire.Heartbeat) -> None:
        """Take note of where the chain is, and whether this machine's clock can be right."""
        if beat.head is not None:
            self._runner.announce(beat.head.num, beat.irreversible)
        self._chain_clock.heard(beat.chain_time)
        ahead_s = self._chain_clock.wall_is_ahead_s()
        if ahead_s:
            way = "ahead of" if ahead_s > 0 else "behind"
            self._say(
                "clock",
                f"this machine's clock is {abs(ahead_s):,.0f} s {way} the chain's time, by which "
                "ages and timers go; set it: timedatectl set-ntp true",
                events.CLOCK_OFF(),
            )

    def _connect(self, subscribed: wire.Subscribed) -> None:
        given, state = self._given, self._state
        if subscribed.chain != given.chain_key:
            raise StateError(
                f"the broadcaster follows the chain {subscribed.chain!r}, and STEEMBOT_CHAIN is "
                f"{given.chain_key!r}; set both processes to the same one"
            )
        self._chain_clock.heard(subscribed.chain_time)
        self._repeats.forget()
        self._repeats.said("waiting", time.monotonic())
        if state.position is None and subscribed.after is not None:
            state.finish(subscribed.after)  # "the head" is from now on a place on the chain
        position, after = state.position, _after(state, given)
        if position is not None:
            self._put_on_record(position.block_num - (not position.is_end))
        elif after.isdecimal():
            self._put_on_record(int(after))
        # Else "the head" of a broadcaster that has no block yet: the first one to come tells.
        log.info("connected to the broadcaster at %s", given.socket, extra=events.CONNECTED())

    def _put_on_record(self, after_block: int) -> None:
        self._state.subscribe(self._bot.types, after_block)
        self._on_record = True

    def _say(self, what: str, words: str, event: events.Fields) -> None:
        """Log a trouble that may last: at once, then once a minute."""
        if self._repeats.is_due(what, time.monotonic()):
            log.warning("%s", words, extra=event)


@contextmanager
def _published(given: Settings) -> Iterator[Meters | None]:
    """Publish metrics while the context lasts, where the settings want it."""
    if not isinstance(given.metrics, Path):
        if given.metrics is not None:
            words = "no metrics: STEEMBOT_METRICS names an address, and a bot has no network"
            log.info(words, extra=events.METRICS_UNSERVED())
        yield None
        return
    from steembot.bot.meters import Meters  # noqa: PLC0415 (only where they are wanted)
    from steembot.metrics import Publisher  # noqa: PLC0415

    meters = Meters(given.bot_name)
    with Publisher(given.metrics, f"bot-{given.bot_name}", meters.collect):
        yield meters


def _refusal(refused: Refused, given: Settings) -> str:
    words = f"the broadcaster refused: {refused.text}"
    if refused.code in (ErrorCode.UNKNOWN_BLOCK, ErrorCode.TOO_OLD):
        # What was removed from under the bot cannot be undone any more: a person has to decide.
        words += (
            "; to go on elsewhere, stop this bot and name a block of the chain: "
            f"steembot position --bot {given.bot_name} --set BLOCK"
        )
    return words


def _after(state: BotState, given: Settings) -> str:
    if state.after is not None:
        return state.after
    return "head" if given.start is None else str(given.start - 1)


def _pause(daemon: service.Service, seconds: float) -> None:
    """Wait, with the watchdog fed and signals heard."""
    deadline = time.monotonic() + seconds
    while not daemon.stopping:
        wait_s = deadline - time.monotonic()
        if wait_s <= 0:
            return
        select.select([daemon.fileno()], [], [], min(wait_s, TURN_S))
        daemon.drain()
        daemon.alive()
    raise Stopped


def _words(state: BotState, *, connected: bool, waiting: str | None) -> str:
    position = state.position
    place = "no operation yet" if position is None else f"block {position.block_num:,}"
    letters = state.letters.count()
    words = [place, "connected" if connected else "waiting for the broadcaster"]
    if letters:
        words.append(f"{letters:,} dead letter{'s' * (letters > 1)}")
    if waiting is not None:
        words.append(waiting)
    return ", ".join(words)
