"""``steembot status`` of an installation that systemd runs."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.system.swarm import BOT, BROADCASTER, Steembot

pytestmark = pytest.mark.system

SCHEMA = Path(__file__).parents[1] / "cli" / "status.schema.json"


def test_status_tells_units_nodes_and_bots(steembot: Steembot, recorded: list[str]) -> None:
    """As root: each unit with its process and restarts, the node, the bot and its dead letters."""
    machine = steembot.machine
    steembot.serve(interval_s=0.05)
    steembot.start()
    steembot.wait_for_links(len(recorded))
    steembot.kill(BOT)
    told = json.loads(machine.run("steembot", "status", "--json").stdout)
    jsonschema.validate(told, json.loads(SCHEMA.read_text()))
    units = {unit["name"]: unit for unit in told["units"]}
    assert units["steembot.target"]["state"] == "active"
    assert units[BROADCASTER]["pid"] == machine.pid_of(BROADCASTER)
    assert units[BROADCASTER]["status"].startswith("block 30,000,")
    assert units[BOT]["restarts"] >= 1
    (bot,) = told["bots"]
    assert (bot["name"], bot["dead_letters"], bot["trouble"]) == ("bot", 0, "")
    assert bot["block"] >= 30000000
    assert [node["state"] for node in told["nodes"]] == ["well"]
    page = machine.run("steembot", "status").stdout
    assert "steembot-bot.service" in page
    machine.systemctl("stop", "steembot.target")
    told = machine.run("steembot", "status", "--json", check=False)
    assert told.returncode == 1
    units = {unit["name"]: unit["state"] for unit in json.loads(told.stdout)["units"]}
    assert units[BOT] == "inactive"
