"""``steembot doctor``: each trouble is found, named, and has a remedy; the status says it."""

from __future__ import annotations

import json
import time

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks, genesis_for
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.support.processes import Process, environment


def findings(lines: list[str]) -> dict[str, dict]:
    return {f"{f['check']} {f['words']}": f for f in json.loads(lines[-1])}


def test_a_healthy_installation_is_told_so(tmp_path):
    """A node at its head, a broadcaster, a bot: all is well, status 0."""
    now = int(time.time()) // 3 * 3
    genesis = genesis_for("well", 1, 30, now)
    chain = Chain(GeneratedBlocks("well", genesis_time=genesis), start=time.monotonic(), ready=30)
    with in_thread(DevNode(chain)) as node:
        settings = environment(
            STEEMBOT_NODES=node.url,
            STEEMBOT_START=1,
            STEEMBOT_SOCKET=tmp_path / "b.sock",
            STEEMBOT_STATE_DIR=tmp_path / "state",
        )
        with (
            Process("steembot-broadcaster", env=settings, cwd=tmp_path),
            Process("steembot-bot", env=settings, cwd=tmp_path) as bot,
        ):
            bot.says("https://steemit.com/@")
            with Process("steembot", "doctor", env=settings, cwd=tmp_path) as doctor:
                status = doctor.ended(30)
    assert status == 0, doctor.lines
    text = "\n".join(doctor.lines)
    assert "BAD" not in text
    for word in ("versions", "node", "clock", "socket", "broadcaster", "disk", "bot"):
        assert word in text


def test_a_dead_node_and_no_broadcaster_are_found(steembot):
    """Each has its words and its remedy, and the status is 1."""
    status, lines = steembot("doctor", "--json", STEEMBOT_NODES="http://127.0.0.1:9")
    assert status == 1
    bad = {f["check"]: f for f in json.loads(lines[-1]) if not f["ok"]}
    assert {"node", "nodes", "socket"} <= bad.keys()
    assert "refused" in bad["node"]["words"]
    assert all(f["remedy"] for f in bad.values())


def test_a_wrong_chain_and_an_old_head_are_found(steembot, still_node):
    """A node of another chain is named as such; a head of years ago is no head."""
    status, lines = steembot("doctor", "--json", STEEMBOT_CHAIN="hive")
    assert status == 1
    assert any("serves Steem, not Hive" in words for words in findings(lines))
    status, lines = steembot("doctor", "--json")
    assert status == 1
    assert any("is " in words and " s old" in words for words in findings(lines))


def test_the_settings_chain_decides_which_nodes_are_right(steembot, still_node, hive_node):
    """With STEEMBOT_CHAIN=hive a node of Hive is well, one of Steem is not; else the reverse."""
    nodes = f"{hive_node.url},{still_node.url}"
    for chain, right, wrong, words in (
        ("hive", f"{hive_node.url}: its head, block 20, is", still_node.url, "Steem, not Hive"),
        ("steem", f"{still_node.url}: its head, block 120, is", hive_node.url, "Hive, not Steem"),
    ):
        _, lines = steembot("doctor", "--json", STEEMBOT_NODES=nodes, STEEMBOT_CHAIN=chain)
        of_nodes = [f["words"] for f in json.loads(lines[-1]) if f["check"] == "node"]
        assert len(of_nodes) == 2
        assert any(found.startswith(right) for found in of_nodes)
        assert f"{wrong} serves {words}" in of_nodes


def test_an_open_socket_is_found(tmp_path, settings, broadcaster, steembot):
    """A socket that every user may open is told, with the remedy."""
    (tmp_path / "b.sock").chmod(0o666)
    _, lines = steembot("doctor", "--json")
    (found,) = [f for words, f in findings(lines).items() if "open to every user" in words]
    assert "0660" in found["remedy"]


def test_a_wrong_setting_is_a_finding(steembot, broadcaster):
    """Beside all others: what it says of the rest is of use."""
    status, lines = steembot("doctor", "--json", STEEMBOT_QUORUM="9")
    assert status == 1
    told = json.loads(lines[-1])
    (found,) = [f for f in told if f["check"] == "settings"]
    assert (found["ok"], "STEEMBOT_QUORUM='9'" in found["words"]) == (False, True)
    assert {"node", "socket", "disk"} <= {f["check"] for f in told}
