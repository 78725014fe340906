"""What a bot's author imports: :class:`Bot`, :class:`Later` and, for type hints, :class:`Context`.

Ready-made conditions are in :mod:`steembot.bot.filters`, helpers for tests in
:mod:`steembot.testing`.
"""

from steembot.bot.bot import Bot
from steembot.bot.context import Context
from steembot.bot.later import Later
from steembot.operation import Operation

__all__ = ["Bot", "Context", "Later", "Operation"]
