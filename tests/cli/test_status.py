"""``steembot status``: what the broadcaster says of itself and its clients."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import jsonschema
import msgspec
import pytest

from steembot.cli.status import Report
from tests.feed.ends import NOBODY, program, public_folder
from tests.support.processes import SCRIPTS, Process
from tests.support.waiting import wait_until

SCHEMA = json.loads(Path(__file__).with_name("status.schema.json").read_text())


NEW_POSTS = ["comment", "delete_comment"]
"""What the bot for new posts is given."""


def test_the_schema_is_the_commands_own():
    """What scripts rely on does not change unseen: the schema here is changed with the command."""
    assert msgspec.json.schema(Report) == SCHEMA


def test_status_tells_head_and_clients(tmp_path, settings, broadcaster, steembot):
    """The head, the irreversible block, and each client with its lag."""
    with Process("steembot-bot", env=settings, cwd=tmp_path) as bot:
        bot.says("connected to the broadcaster")
        status, lines = steembot("status", "--json")
        assert status == 0
        told = json.loads(lines[-1])
        jsonschema.validate(told, SCHEMA)
        assert told["broadcaster"]["head"]["num"] == 120
        assert told["broadcaster"]["chain"] == "steem"
        (client,) = told["clients"]
        assert (client["name"], client["pid"], client["types"]) == ("bot", bot.pid, NEW_POSTS)
        status, lines = steembot("status")
        assert status == 0
        page = "\n".join(lines)
        assert "block 120" in page
        assert "comment" in page


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"STEEMBOT_QUORUM": "9"}, "STEEMBOT_QUORUM='9': STEEMBOT_NODES names 1"),
        ({"STEEMBOT_CHAIN": "bitcoin"}, "STEEMBOT_CHAIN='bitcoin': allowed are steem, hive"),
        ({"STEEMBOT_NODE": "x"}, "STEEMBOT_NODE='x': unknown setting"),
    ],
)
def test_a_wrong_setting_keeps_nobody_from_looking(steembot, broadcaster, setting, words):
    """All runs well with the settings from before: status shows it, and says what is wrong."""
    status, lines = steembot("status", **setting)
    assert status == 0, lines
    page = "\n".join(lines)
    assert "block 120" in page
    assert f"note: {words}" in page
    status, lines = steembot("status", "--json", **setting)
    told = json.loads(lines[-1])
    jsonschema.validate(told, SCHEMA)
    assert told["notes"][0].startswith(words)


def test_a_wrong_line_of_a_file_leaves_the_others(tmp_path, settings, broadcaster):
    """The socket that the file names is asked all the same."""
    (tmp_path / ".env").write_text(f"STEEMBOT_SOCKET={tmp_path}/b.sock\nrubbish\n")
    env = {n: v for n, v in settings.items() if n != "STEEMBOT_SOCKET"}
    with Process("steembot", "status", env=env, cwd=tmp_path) as process:
        assert process.ended() == 0, process.lines
    page = "\n".join(process.lines)
    assert "block 120" in page
    assert "note: " in page
    assert "line 2" in page


AS_NOBODY = f"""
    import os, sys
    from pathlib import Path
    from steembot.cli import __main__, doctor, installation, status
    path = Path(sys.argv[1])
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
    doctor.CHECKS = doctor.CHECKS[1:]  # without the nodes, which these settings do not name
    doctor._versions = lambda _place: iter(())  # the packages are not where this user may look
    installation.SETTINGS_FILE = path / "steembot.env"
    installation.STATE = path
    for name in [name for name in os.environ if name.startswith(("STEEMBOT_", "HOME", "XDG_"))]:
        del os.environ[name]
    os.environ["HOME"] = "/"
    os.chdir("/")
    sys.argv = ["steembot", *sys.argv[2:]]
    sys.stderr = sys.stdout
    try:
        __main__.main()
    except SystemExit:
        pass
"""


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_an_ordinary_user_sees_what_there_is_and_what_to_do(command):
    """Files that are root's and the bot's alone are named, each with the remedy; no errno."""
    with public_folder() as folder:
        (folder / "steembot.env").write_text(f"STEEMBOT_SOCKET={folder}/b.sock\n")
        (folder / "steembot.env").chmod(0o600)
        for name in ("steembot-bot", "steembot-bot-other"):
            (folder / name).mkdir(mode=0o700)
            (folder / name / "bot-other.sqlite3").touch()
        with program(AS_NOBODY, folder, command) as process:
            page, _ = process.communicate(timeout=60)
    assert "Errno" not in page
    assert "Traceback" not in page
    assert f"{folder}/steembot.env: cannot be read: Permission denied; run this as a user" in page
    for name in ("steembot-bot", "steembot-bot-other"):
        assert f"{folder}/{name} cannot be read: Permission denied; run this as root" in page


def test_without_a_broadcaster_it_says_so(steembot):
    """One line, status 1 or 78, the path in it."""
    status, lines = steembot("status")
    assert status != 0
    assert len(lines) == 1
    assert lines[0].startswith("steembot: ")
    assert "b.sock" in lines[0]
    status, lines = steembot("status", "--json")
    assert status == 1
    told = json.loads(lines[-1])
    jsonschema.validate(told, SCHEMA)
    assert told["broadcaster"] is None
    assert "b.sock" in told["trouble"]


def test_nodes_are_told_with_their_health(tmp_path, settings, steembot):
    """One that answers is well; one that refuses rests or is on probation, and is named."""
    nodes = f"{settings['STEEMBOT_NODES']},http://127.0.0.1:9"
    with Process(
        "steembot-broadcaster", env=settings | {"STEEMBOT_NODES": nodes}, cwd=tmp_path
    ) as b:
        b.says("127.0.0.1:9: ")

        def well_is_known() -> bool:
            told = json.loads(steembot("status", "--json")[1][-1])
            return any(node["state"] == "well" and node["head"] for node in told["nodes"])

        wait_until(well_is_known, "the head of the node that answers")
        status, lines = steembot("status", "--json")
        page = "\n".join(steembot("status")[1])
    assert status == 0
    told = json.loads(lines[-1])
    jsonschema.validate(told, SCHEMA)
    well, ill = told["nodes"]
    assert (well["state"], well["head"], well["errors"]) == ("well", 120, {})
    assert well["latency_ms"] > 0
    assert ill["state"] in ("resting", "probation")
    assert ill["errors"]["unreachable"] >= 1
    assert "refused" in ill["trouble"]
    assert "unreachable" in page


def test_dead_letters_are_counted(tmp_path, settings, broadcaster, steembot):
    """What a bot set aside, and where it stands, is read from its file, running or not."""
    (tmp_path / "failing.py").write_text(
        "from steembot.bot import Bot\nbot = Bot()\n"
        "@bot.on('comment')\ndef fail(op, ctx): raise RuntimeError('by intent')\n"
    )
    more = {"STEEMBOT_HANDLERS": "failing", "STEEMBOT_BOT_NAME": "failing"}
    with Process("steembot-bot", env=settings | more, cwd=tmp_path) as bot:
        bot.says("as a dead letter")
        status, lines = steembot("status", "--json")
    told = json.loads(lines[-1])
    jsonschema.validate(told, SCHEMA)
    (bot,) = told["bots"]
    assert (status, bot["name"]) == (0, "failing")
    assert bot["dead_letters"] >= 1
    assert bot["block"] >= 1
    (tmp_path / "state" / "bot-torn.sqlite3").write_text("no database")
    told = json.loads(steembot("status", "--json")[1][-1])
    (torn,) = (bot for bot in told["bots"] if bot["name"] == "torn")
    assert torn["dead_letters"] is None
    assert "not a database" in torn["trouble"]


def test_watching_goes_on_until_it_is_stopped(tmp_path, settings, broadcaster):
    """Object after object, valid each, until Ctrl-C, which is no failure."""
    with Process("steembot", "status", "--watch", "--json", env=settings, cwd=tmp_path) as watch:
        watch.wait_for(lambda lines: len(lines) >= 2, "two objects")
        watch.signal(signal.SIGINT)
        assert watch.ended() == 0
    for line in watch.lines:
        jsonschema.validate(json.loads(line), SCHEMA)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_for_terminals_that_want_them(settings, broadcaster, no_color):
    """On a terminal there are colours, unless NO_COLOR is set; in a pipe there are none."""
    ours, theirs = pty.openpty()
    env = settings | {"TERM": "xterm", "NO_COLOR": no_color}
    subprocess.run([SCRIPTS / "steembot", "status"], env=env, stdout=theirs, check=True)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal whose other end is closed
        while read := os.read(ours, 65536):
            shown += read
    os.close(ours)
    assert b"well" in shown
    assert (b"\x1b[32m" in shown) == (not no_color)
