"""``steembot nodes``: latency, lag and errors of each configured node."""

from __future__ import annotations

import json

from tests.support.scripted_http import http, serving


def test_nodes_are_measured(steembot, still_node):
    """A good node has a latency and a head, an ill one its trouble; status 0."""
    with serving(http(b"<html>", "502 Bad Gateway", "text/html")) as ill:
        nodes = f"{still_node.url},{ill}"
        status, lines = steembot("nodes", "--json", STEEMBOT_NODES=nodes)
    assert status == 0
    good, bad = json.loads(lines[-1])
    assert (good["head"], good["behind"], good["answers"], good["trouble"]) == (120, 0, 5, "")
    assert good["latency_ms"] > 0
    assert (bad["head"], bad["answers"]) == (None, 0)
    assert "HTTP 502" in bad["trouble"]


def test_nodes_of_hive_are_measured_as_such(steembot, still_node, hive_node):
    """With STEEMBOT_CHAIN=hive a node of Hive is good, and one of Steem is of the wrong chain."""
    nodes = f"{hive_node.url},{still_node.url}"
    status, lines = steembot("nodes", "--json", STEEMBOT_NODES=nodes, STEEMBOT_CHAIN="hive")
    assert status == 0
    hive, steem = json.loads(lines[-1])
    assert (hive["head"], hive["answers"], hive["trouble"]) == (20, 5, "")
    assert (steem["head"], steem["answers"]) == (None, 0)
    assert "(Steem), and that of Hive is" in steem["trouble"]


def test_no_node_at_all_is_an_error(steembot):
    """If none answers the status says so, and the table why."""
    status, lines = steembot("nodes", STEEMBOT_NODES="http://127.0.0.1:9")
    assert status == 1
    assert "refused" in "\n".join(lines)
