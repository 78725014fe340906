"""What a bot counts for its metrics. Loaded only when they are wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator

from steembot import metrics, service
from steembot.metrics import Metric, Sample


class Meters:
    """Counts what the handlers did. ``bot`` is the bot's name."""

    def __init__(self, bot: str) -> None:
        self._bot = bot
        self._begun = time.time()
        self._durations = metrics.Histogram()
        self._failures = metrics.Counts()
        self._unreadable = metrics.Counts()
        self.block: int | None = None
        self.connected = False
        self.dead_letters = 0
        self.waiting = False

    def called(self, kind: str, seconds: float, failed: bool) -> None:
        """Count a call of the handlers for an operation of that type."""
        self._durations.observe(kind, seconds)
        if failed:
            self._failures.add(kind)

    def passed_by(self, kind: str) -> None:
        """Count an operation of that type whose body nobody can read."""
        self._unreadable.add(kind)

    def collect(self) -> Iterator[Metric]:
        """Give all metrics. From any thread."""
        bot = {"bot": self._bot}
        handler = service.journal_handler()
        yield from metrics.of_process(
            {"process": "bot", **bot}, self._begun, 0 if handler is None else handler.dropped
        )
        if self.block is not None:
            yield Metric(
                "steembot_bot_block",
                "gauge",
                "The block at which a bot stands.",
                [Sample(self.block, bot)],
            )
        yield Metric(
            "steembot_bot_connected",
            "gauge",
            "Whether a bot has its broadcaster.",
            [Sample(int(self.connected), bot)],
        )
        yield Metric(
            "steembot_bot_waiting",
            "gauge",
            "Whether an operation waits because its handler cannot work now.",
            [Sample(int(self.waiting), bot)],
        )
        yield Metric(
            "steembot_dead_letters",
            "gauge",
            "Operations that a bot set aside.",
            [Sample(self.dead_letters, bot)],
        )
        yield Metric(
            "steembot_handler_duration_seconds",
            "histogram",
            "How long a bot's handlers took for an operation.",
            self._durations.samples("type", bot=self._bot),
        )
        yield Metric(
            "steembot_handler_failures_total",
            "counter",
            "Calls of a bot's handlers that raised.",
            self._failures.samples("type", bot=self._bot),
        )
        yield Metric(
            "steembot_operations_unreadable_total",
            "counter",
            "Operations that a bot passed by, since their body is no JSON object.",
            self._unreadable.samples("type", bot=self._bot),
        )
