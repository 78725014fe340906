"""What differs from chain to chain: one profile each for Steem and Hive. No imports but msgspec.

Everything else is the same code. Bots see one shape of operations on both, ``condenser_api``'s:
``["vote", {…}]`` with assets as text (``"1.000 HIVE"``). Blocks are fetched by it too, save that
many blocks at once come from ``block_api.get_block_range`` where a chain's nodes have it. That
answers another shape, which :mod:`~steembot.chain.appbase` converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ChainProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One blockchain.

    ``chain_id`` is 64 hex digits, and ``chain_id_names`` are the members of ``get_config`` that
    may hold it. ``symbols`` are the names of its assets by their number (NAI). ``block_range``
    tells that nodes have ``block_api.get_block_range``. ``nodes`` are default URLs in order of
    preference. ``link_base`` is where people read posts: ``LINK_BASE/@author/permlink``.
    ``slot_s`` is the block interval in seconds. ``least_lag`` is by how many blocks the last
    irreversible one trails the head at least, and ``reversible_blocks`` how many of the newest no
    rule of the chain makes irreversible for certain, whatever a node says.
    """

    name: str
    title: str
    chain_id: str
    chain_id_names: tuple[str, ...]
    symbols: Mapping[str, str]
    block_range: bool
    nodes: tuple[str, ...]
    link_base: str
    slot_s: float = 3.0
    least_lag: int = 15
    """16 of 21 different witnesses have built on an irreversible block, its own among them
    (steem, database.cpp, update_last_irreversible_block)."""
    reversible_blocks: int = 15

    def chain_id_of(self, config: Mapping[str, Any]) -> str | None:
        """Return the chain id that a node's constants hold, of whichever chain they are."""
        for name in (*self.chain_id_names, *_ALL_NAMES):
            chain_id = config.get(name)
            if isinstance(chain_id, str):
                return chain_id
        return None


# The name with STEEMIT is steemd's before 0.19.12; Hive's nodes kept it out from 1.24 on.
_ALL_NAMES = ("STEEM_CHAIN_ID", "STEEMIT_CHAIN_ID", "HIVE_CHAIN_ID")

PROFILES: Mapping[str, ChainProfile] = {
    "steem": ChainProfile(
        name="steem",
        title="Steem",
        chain_id="0" * 64,
        chain_id_names=("STEEM_CHAIN_ID", "STEEMIT_CHAIN_ID"),
        symbols={"@@000000013": "SBD", "@@000000021": "STEEM", "@@000000037": "VESTS"},
        block_range=False,
        nodes=(
            "https://api.steemit.com",
            "https://api.justyy.com",
            "https://api.campingclub.me",
        ),
        link_base="https://steemit.com",
    ),
    "hive": ChainProfile(
        name="hive",
        title="Hive",
        chain_id="beeab0de" + "0" * 56,  # since hardfork 24
        chain_id_names=("HIVE_CHAIN_ID",),
        symbols={"@@000000013": "HBD", "@@000000021": "HIVE", "@@000000037": "VESTS"},
        block_range=True,
        nodes=(
            "https://api.hive.blog",
            "https://api.deathwing.me",
            "https://api.openhive.network",
        ),
        link_base="https://hive.blog",
        least_lag=0,  # witnesses confirm the newest block at once, outside of blocks
        reversible_blocks=21,  # a round
    ),
}
"""By the name that ``STEEMBOT_CHAIN`` takes."""


def title_of(chain_id: str) -> str:
    """Name the chain of an id for a person."""
    for profile in PROFILES.values():
        if profile.chain_id == chain_id:
            return profile.title
    return "a chain that steembot does not know"
