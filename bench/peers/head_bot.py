"""The bot whose handler tells when it is called for a block's first operation."""

from __future__ import annotations

import sys
from pathlib import Path

from steembot.bot import Bot

sys.path.insert(0, str(Path(__file__).parent))
from heard import Heard

bot = Bot()
heard = Heard()


@bot.on("*")
def saw(op, ctx):  # noqa: ARG001
    """Tell of it."""
    heard.saw(op.block_num, op.timestamp.timestamp())
