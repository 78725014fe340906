"""``steembot status`` of an installation that systemd runs."""

from __future__ import annotations

import json
import re
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


def test_metrics_lie_where_node_exporter_reads(steembot: Steembot, recorded: list[str]) -> None:
    """Sandboxed as they are, both processes write their files, which any user can read."""
    machine = steembot.machine
    steembot.serve(interval_s=0.05)
    steembot.settings("STEEMBOT_METRICS=/run/steembot/metrics")
    steembot.start()
    steembot.wait_for_links(3)

    def values(name: str) -> str:
        path = f"/run/steembot/metrics/{name.removesuffix('-bot')}/steembot-{name}.prom"
        return machine.run("cat", path, user="nobody", check=False).stdout

    machine.wait_until(lambda: "\nsteembot_head_block 30000" in values("broadcaster"))
    machine.wait_until(lambda: 'steembot_bot_connected{bot="bot"} 1\n' in values("bot-bot"))
    memory = re.search(r"\nsteembot_resident_memory_bytes{.*} (\d+)\n", values("bot-bot"))
    print("the bot's memory with metrics:", int(memory[1]) / 2**20, "MiB")  # noqa: T201
    assert int(memory[1]) < 32 * 2**20
    machine.systemctl("stop", "steembot.target")
    assert machine.run("ls", "/run/steembot/metrics").stdout == ""


def test_why_a_bot_crashes_is_said(steembot: Steembot) -> None:
    """The last error of its journal, in status and doctor, with the rest beside it."""
    machine = steembot.machine
    steembot.use("http://127.0.0.1:9", 0)
    steembot.settings("STEEMBOT_HANDLERS=no_such_module")
    machine.systemctl("start", "steembot.target")

    def failure() -> str:
        told = json.loads(machine.run("steembot", "status", "--json", check=False).stdout)
        return next(unit["failure"] for unit in told["units"] if unit["name"] == BOT)

    machine.wait_until(lambda: "STEEMBOT_HANDLERS='no_such_module'" in failure())
    assert failure().endswith(": ModuleNotFoundError: No module named 'no_such_module'")
    page = machine.run("steembot", "status", check=False).stdout
    assert "the module does not import" in page
    found = machine.run("steembot", "doctor", check=False).stdout
    assert re.search(r"BAD +unit: steembot-bot.service is .*the module does not import", found)


def test_an_ordinary_user_is_told_what_to_do(steembot: Steembot) -> None:
    """The units are shown; the socket, the settings and the bot each with the way to see them."""
    machine = steembot.machine
    steembot.use("http://127.0.0.1:9", 0)
    machine.systemctl("start", "steembot.target")
    machine.wait_until(lambda: machine.show(BOT, "ActiveState")["ActiveState"] == "active")
    shown = machine.run("steembot", "status", user="nobody", check=False)
    page = shown.stdout + shown.stderr
    print(page)  # noqa: T201
    assert shown.returncode == 1
    assert "Errno" not in page
    assert "Traceback" not in page
    assert "join the group steembot" in page
    assert "steembot.env: cannot be read: Permission denied; run this as a user who may" in page
    assert "cannot be read: Permission denied; run this as root (sudo)" in page
    assert re.search(r"steembot-bot.service +active", page)
