"""The bot whose handler counts what it is called for. ``BENCH_SECONDS`` says for how long."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from steembot.bot import Bot

sys.path.insert(0, str(Path(__file__).parent))
from window import Window

bot = Bot()
window = Window(float(os.environ["BENCH_SECONDS"]))


@bot.on("comment")
def saw(op, ctx):  # noqa: ARG001
    """Count it."""
    window.saw(op.block_num)
