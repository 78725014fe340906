"""``steembot status``: what the broadcaster says of itself and its clients."""

from __future__ import annotations

import json

from tests.support.processes import Process


def test_status_tells_head_and_clients(tmp_path, settings, broadcaster, steembot):
    """The head, the irreversible block, and each client with its lag."""
    with Process("steembot-bot", env=settings, cwd=tmp_path) as bot:
        bot.says("connected to the broadcaster")
        status, lines = steembot("status", "--json")
        assert status == 0
        told = json.loads(lines[-1])
        assert told["head"][0] == 120
        assert told["chain"] == "steem"
        (client,) = told["clients"]
        assert (client["name"], client["pid"], client["types"]) == ("bot", bot.pid, ["comment"])
        status, lines = steembot("status")
        assert status == 0
        page = "\n".join(lines)
        assert "block 120" in page
        assert "comment" in page


def test_without_a_broadcaster_it_says_so(steembot):
    """One line, status 1 or 78, the path in it."""
    status, lines = steembot("status")
    assert status != 0
    assert len(lines) == 1
    assert "b.sock" in lines[0]
