"""What the bot's tests share: messages made from blocks, a runner in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steembot.bot.bot import Bot
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.operation import Block


def message(block: Block, *types: str) -> wire.BlockMessage:
    """A block as the feed carries it to a client that wants these types (none: all)."""
    return wire.BlockMessage(
        num=block.num,
        id=block.id,
        previous=block.previous,
        timestamp=block.timestamp,
        irreversible=block.num - 15,
        operations=tuple(op for op in block.operations if not types or op.type in types),
    )


def undo(block: Block, *types: str) -> wire.Undo:
    """The undo of a block, as the feed carries it."""
    operations = message(block, *types).operations
    return wire.Undo(
        num=block.num,
        id=block.id,
        previous=block.previous,
        timestamp=block.timestamp,
        operations=tuple(reversed(operations)),
    )


@pytest.fixture
def open_state(tmp_path) -> Callable[..., BotState]:
    """Open the test's bot state; as often as the test restarts its bot, which ends it before."""
    opened: list[BotState] = []

    def open_it(chain: str = "steem") -> BotState:
        for before in opened:
            before.close()
        opened.append(BotState(tmp_path / "bot.sqlite3", chain=chain))
        return opened[-1]

    yield open_it
    for state in opened:
        state.close()


@pytest.fixture
def run(open_state):
    """Make a runner on the test's state: ``run(bot)`` gives ``(runner, state)``."""

    def make(bot: Bot, **options) -> tuple[Runner, BotState]:
        state = open_state()
        options = {"pause": lambda _s: None, "alive": lambda: None} | options
        return Runner(bot, state, **options), state

    return make
