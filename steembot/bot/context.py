"""What a handler gets besides the operation."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import Any

from steembot.chain.profiles import PROFILES
from steembot.operation import Operation

log = logging.getLogger("steembot.bot")


class Context:
    """A handler's surroundings.

    ``state`` is the bot's own persistent mapping (text keys, JSON values), committed together
    with the position behind the operation. ``log`` writes to the journal with the operation's
    fields. ``chain`` is the profile of the blockchain that the bot is on, ``irreversible`` the
    number of its last irreversible block, ``head`` that of the newest known one.
    """

    def __init__(self, state: MutableMapping[str, Any], chain: str = "steem") -> None:
        self.state = state
        self.chain = PROFILES[chain]
        self.head = 0
        self.irreversible = 0
        self.log: logging.LoggerAdapter[logging.Logger] = logging.LoggerAdapter(log, {})
        self._operation: Operation | None = None

    @property
    def age(self) -> float:
        """Seconds since the operation's block was made; 0 between operations."""
        if self._operation is None:
            return 0.0
        return max(0.0, time.time() - self._operation.timestamp.timestamp())

    def enter(self, operation: Operation | None) -> None:
        """Turn to an operation: the runner's part."""
        self._operation = operation
        self.log = logging.LoggerAdapter(log, {} if operation is None else fields(operation))


def fields(operation: Operation) -> dict[str, Any]:
    """Name an operation in a journal entry: upper-case fields, as journald wants them."""
    value = operation.value
    named = {
        "STEEM_BLOCK": operation.block_num,
        "STEEM_TYPE": operation.type,
        "STEEM_TRX": operation.trx_id,
        "STEEM_AUTHOR": value.get("author"),
        "STEEM_PERMLINK": value.get("permlink"),
    }
    return {name: value for name, value in named.items() if value is not None}
