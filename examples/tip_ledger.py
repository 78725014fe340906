"""A ledger of tips: who sends an account coins with the memo "tip @somebody" tips somebody.

Exact over crashes and forks: an entry and the position behind its transfer are one commit, and the
undo of a transfer takes its entry back. Amounts are counted in thousandths, never in floats.
"""

from __future__ import annotations

import os
import re

from steembot.bot import Bot, Context, Operation
from steembot.bot.filters import transfer_to

ACCOUNT = os.environ.get("TIP_ACCOUNT", "alice")

bot = Bot()

_MEMO = re.compile(r"tip @([a-z][a-z0-9.-]{2,15})", re.IGNORECASE)
_AMOUNT = re.compile(r"(\d+)\.(\d{3}) ([A-Z]+)")


@bot.on("transfer", where=transfer_to(ACCOUNT))
def tip(op: Operation, ctx: Context) -> None:
    """Credit the account that the memo names."""
    _book(op, ctx, +1)


@bot.undo("transfer", where=transfer_to(ACCOUNT))
def take_back(op: Operation, ctx: Context) -> None:
    """Take it back: a fork removed the transfer."""
    _book(op, ctx, -1)


def _book(op: Operation, ctx: Context, sign: int) -> None:
    memo = _MEMO.fullmatch(op.value["memo"].strip())
    if memo is None:
        ctx.log.info("no tip: %r from @%s", op.value["memo"], op.value["from"])
        return
    amount = _AMOUNT.fullmatch(op.value["amount"])
    if amount is None:
        raise ValueError(f"an amount that is none: {op.value['amount']!r}")
    whole, thousandths, symbol = amount.groups()
    key = f"{memo[1].lower()} {symbol}"
    balance = ctx.state.get(key, 0) + sign * (int(whole) * 1000 + int(thousandths))
    ctx.state[key] = balance
    ctx.log.info("%s has %d.%03d", key, *divmod(balance, 1000))
