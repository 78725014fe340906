"""Steem and Hive: one profile each, and a node of the other chain is refused."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from steembot.chain.node import Node
from steembot.chain.profiles import PROFILES
from steembot.errors import WrongChainError
from tests.support.following import Recorder, streaming
from tests.support.nodes import make_chain, serving

HIVE_ID = "beeab0de" + "0" * 56


def test_the_recorded_constants_are_steems(chaindata):
    """A real node's get_config holds the chain id where the profile looks for it."""
    for line in (chaindata / "rpc" / "get_config.jsonl").read_text().splitlines():
        config = json.loads(line)["response"]["result"]
        name = "hive" if "HIVE_CHAIN_ID" in config else "steem"
        chain_id = PROFILES[name].chain_id_of(config)
        assert chain_id is not None
        if name == "steem":
            assert chain_id == PROFILES["steem"].chain_id


def test_hive_is_followed_through_the_same_code():
    """A node that names Hive's chain id is followed with Hive's profile, and not with Steem's."""
    recorder = Recorder()
    with serving(make_chain("hive", ready=20, interval_s=0.05), 1) as nodes:
        nodes[0].faults.set(f"wrong-chain:{HIVE_ID}")
        with streaming(recorder, nodes.urls, profile=PROFILES["hive"]):
            recorder.wait_for(30)
        with pytest.raises(WrongChainError, match=r"beeab0de.*Hive.*Steem.*STEEMBOT_CHAIN"):
            Node(nodes.urls[0]).blocks([1], 0)


def test_all_nodes_of_another_chain(caplog):
    """Nothing is delivered; the trouble names node, its chain and ours, and asking is rare."""
    recorder = Recorder()
    caplog.set_level(logging.INFO)
    with serving(make_chain("wrong", ready=20, interval_s=0.05), 2) as nodes:
        for node in nodes.nodes:
            node.faults.set("wrong-chain")
        with streaming(recorder, nodes.urls) as stream:
            recorder.wait(lambda: "its chain id is beeab0de" in stream.situation.trouble)
            assert stream.situation.ill == 2
            asked = sum(node.requests for node in nodes.nodes)
            attempted = stream.situation.attempted
            recorder.wait(lambda: stream.situation.attempted > attempted)
            assert sum(node.requests for node in nodes.nodes) == asked == 2
    assert not recorder.blocks
    assert sum("it is not used" in line for line in caplog.messages) == 2


def test_profiles_cost_a_bot_nothing():
    """The bot imports them, so they must not import beem."""
    code = "import sys, steembot.chain.profiles; print('beemapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
