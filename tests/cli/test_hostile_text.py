"""No text of a stranger controls the terminal of whoever asks: each command, on a real terminal."""

from __future__ import annotations

import json
from contextlib import contextmanager

import msgspec
import pytest

from steembot.bot import Bot
from steembot.bot.runner import Runner
from steembot.bot.state import BotState
from steembot.feed import wire
from steembot.operation import BlockRef, Cursor, RawOperation
from tests.bot.conftest import message
from tests.feed.ends import answering
from tests.support.blocks import make_block
from tests.support.hostile import HOSTILE, SENDABLE, controls
from tests.support.scripted_http import raw, serving
from tests.support.terminal import on_terminal

SHOWN = "\\x1b]0;mine"
"""How a window's title is shown that a stranger wanted to set."""

IDENTITY = f"{5:08x}{'0' * 32}"


@pytest.fixture
def steembot(tmp_path, settings):
    """Run a command on a terminal: ``steembot("status")``."""

    def run(*arguments, until=None, **more):
        return on_terminal("steembot", *arguments, env=settings | more, cwd=tmp_path, until=until)

    return run


@pytest.fixture
def dead_letter(tmp_path):
    """A bot named mine whose handler failed with a hostile error, on a hostile body."""
    bot = Bot()

    @bot.on("*")
    def fail(_op, _ctx):
        raise RuntimeError(SENDABLE)

    (tmp_path / "state").mkdir()
    block = make_block(5, "0" * 40, types=["comment"])
    (operation,) = block.operations
    body = json.dumps({"body": SENDABLE}, ensure_ascii=False).encode()
    hostile = msgspec.structs.replace(operation, value=body)
    sent = msgspec.structs.replace(message(block), operations=(hostile,))
    with BotState(tmp_path / "state" / "bot-mine.sqlite3", chain="steem") as state:
        Runner(bot, state, pause=lambda _s: None, alive=lambda: None).on_block(sent)


@pytest.mark.parametrize("json_", [[], ["--json"]])
@pytest.mark.parametrize("command", [["show", "1"], ["list"], ["redrive", "1", "--wait", "0"]])
def test_dead_letters(steembot, dead_letter, command, json_):
    """An exception's text and an operation's body are shown, as text and as JSON."""
    shown = steembot("dead-letters", *command, "--bot", "mine", *json_)
    assert shown.controls == set()
    if command[0] != "redrive":
        assert "forged" in shown.text


def test_json_holds_the_very_text(steembot, dead_letter):
    """What is escaped for the terminal is the same to a program."""
    shown = steembot("dead-letters", "show", "1", "--bot", "mine", "--json")
    assert json.loads(shown.text)["operation"]["value"] == {"body": SENDABLE}


def test_what_a_handler_logs_and_prints_in_a_replay(tmp_path, steembot):
    """Its log, its print, its exception."""
    (tmp_path / "h.py").write_text(
        "from steembot.bot import Bot\nbot = Bot()\n@bot.on('vote')\ndef f(op, ctx):\n"
        "    ctx.log.info('%s', op.value['voter'])\n    ctx.log.warning('%s', op.value['voter'])\n"
        "    print(op.value['voter'])\n    raise RuntimeError(op.value['voter'])\n"
    )
    block = {
        "block_id": IDENTITY,
        "previous": f"{4:08x}{'0' * 32}",
        "timestamp": "2026-01-01T00:00:00",
        "transactions": [{"operations": [["vote", {"voter": SENDABLE}]]}],
        "transaction_ids": ["0" * 40],
    }
    (tmp_path / "b.jsonl").write_text(json.dumps(block) + "\n")
    shown = steembot("replay", "--handlers", "h.py", "--file", "b.jsonl", "--state")
    assert shown.status == 1, shown.text
    assert shown.controls == set()
    assert shown.text.count(f"block 5: {SHOWN}") >= 2
    assert f"RuntimeError: {SHOWN}" in shown.text


@pytest.mark.parametrize("command", ["nodes", "doctor"])
@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_a_nodes_error(steembot, command, json_):
    """An HTTP reason, and a text that rich would take for its own markup."""
    reason = SENDABLE.replace("\r\n", "") + "[/red] [bold]"
    answer = f"HTTP/1.1 500 {reason}\r\nContent-Length: 0\r\n\r\n".encode()
    with serving(raw(answer)) as ill:
        shown = steembot(command, *json_, STEEMBOT_NODES=ill)
    assert shown.status == 1
    assert shown.controls == set()


def _status() -> bytes:
    """What a broadcaster would say that does not make anything safe."""
    client = {"name": SENDABLE, "pid": 1, "uid": 1, "types": [SENDABLE], "mode": SENDABLE}
    node = {"url": SENDABLE, "state": SENDABLE, "head": 1, "rests_s": 0.0, "latency_ms": None}
    return msgspec.msgpack.encode(
        {
            "kind": "status",
            "version": wire.VERSION,
            "session": SENDABLE,
            "chain": SENDABLE,
            "head": (1, IDENTITY),
            "head_timestamp": 0,
            "irreversible": 0,
            "oldest": 1,
            "words": SENDABLE,
            "clients": [client | {"lag": 0, "credit": 1}],
            "nodes": [node | {"errors": {SENDABLE: 1}, "trouble": SENDABLE}],
        }
    )


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["doctor"]])
def test_what_a_broadcaster_says(tmp_path, steembot, arguments):
    """Its words, its clients' names, its nodes' errors, and the names of bots' files."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / f"bot-{SENDABLE.replace(chr(0), '')}.sqlite3").write_text("none")
    with answering(tmp_path / "b.sock", _status()):
        shown = steembot(*arguments, STEEMBOT_NODES="http://127.0.0.1:9")
    assert shown.controls == set()
    assert "mine" in shown.text


@contextmanager
def feeding(path):
    """Serve one block, whose operation has a hostile type and a hostile body."""
    body = json.dumps({"body": SENDABLE, "n\x9b31m": HOSTILE}).encode()
    operation = RawOperation(SENDABLE, 0, 0, 0, "0" * 40, body)
    block = wire.BlockMessage(
        num=5,
        id=IDENTITY,
        previous="0" * 40,
        timestamp=1_500_000_000,
        irreversible=0,
        operations=(operation,),
    )
    head = BlockRef(5, IDENTITY)
    begun = wire.Subscribed(wire.VERSION, "s", "steem", head, 0, 1, Cursor.end_of(4, "0" * 40))
    with answering(path, wire.encode(begun), wire.encode(block)):
        yield


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_operations_as_they_come(tmp_path, steembot, json_):
    """Their bodies, and their types: a node may give any name."""
    with feeding(tmp_path / "b.sock"):
        shown = steembot("tail", *json_, until="mine")
    assert shown.controls == set()


@pytest.mark.parametrize(
    "arguments",
    [
        [SENDABLE],
        ["status", SENDABLE],
        ["tail", "--mode", SENDABLE],
        ["tail", SENDABLE],
        ["tail", "--by", SENDABLE],
        ["replay", "--file", SENDABLE],
        ["replay", "--file", f"--{SENDABLE}"],
        ["position", "--bot", SENDABLE],
        ["position", "--set", SENDABLE],
        ["dead-letters", "list", "--bot", SENDABLE],
        ["new", SENDABLE],
        ["record", "--from", "1", "--to", "1", f"{SENDABLE}/{SENDABLE}"],
        [f"--{SENDABLE}"],
    ],
)
def test_a_wrong_argument(steembot, arguments):
    """What a person pasted is told to them, and does nothing else."""
    given = [argument.replace("\0", "") for argument in arguments]
    shown = steembot(*given)
    assert shown.status != 0
    assert shown.controls == set()
    assert "Traceback" not in shown.text


@pytest.mark.parametrize("name", ["STEEMBOT_CHAIN", "STEEMBOT_HANDLERS", "STEEMBOT_" + SENDABLE])
def test_a_wrong_setting(steembot, name):
    """Its name and its value."""
    shown = steembot("position", **{name.replace("\0", ""): SENDABLE.replace("\0", "")})
    assert shown.status == 78
    assert shown.controls == set()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_what_an_encoding_cannot_hold(tmp_path, steembot, encoding, json_):
    """An emoji on a terminal that has none is an escape and no traceback."""
    with feeding(tmp_path / "b.sock"):
        shown = steembot("tail", *json_, until="mine", PYTHONIOENCODING=encoding)
    assert shown.status == 0
    assert "Traceback" not in shown.text
    assert controls(shown.text) == set()
