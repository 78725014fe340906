"""What a bot's author imports: :class:`Bot` and, for type hints, :class:`Context`.

Ready-made conditions are in :mod:`steembot.bot.filters`, helpers for tests in
:mod:`steembot.testing`.
"""

from steembot.bot.bot import Bot
from steembot.bot.context import Context
from steembot.operation import Operation

__all__ = ["Bot", "Context", "Operation"]
