"""Which announced head can be. Pure: the time is passed in.

A node's word about its head costs it nothing, and a false one keeps everybody waiting for blocks
that do not exist. No chain can be longer than time allows.
"""

from __future__ import annotations

from steembot.chain.answers import Head

SLOT_S = 3
"""STEEM_BLOCK_INTERVAL in steem's config.hpp; Hive's is the same."""

GENESIS = 1_458_835_200
"""When the chain began, 2016-03-24T16:00:00 (STEEM_GENESIS_TIME); others that share the code are
younger."""

AHEAD_S = 86_400
"""How far a head may be ahead of this machine's clock, which may be wrong."""


def impossible(head: Head, newest: int, now: float) -> str:
    """Say why there can be no such head; empty if it can be.

    ``newest`` is when the newest block that we have was made, 0 if we have none, and ``now`` this
    machine's time, both in seconds since 1970. A clock that is behind counts as little as a head
    that is ahead: what was joined is the chain's own time.
    """
    latest = max(int(now), newest) + AHEAD_S
    if head.timestamp > latest:
        return (
            f"its head, block {head.num}, is {head.timestamp - max(int(now), newest)} s in the "
            "future by this machine's clock"
        )
    most = (latest - GENESIS) // SLOT_S + 1
    if head.num > most:
        return f"its head is block {head.num}, and no chain can have more than {most} yet"
    return ""
