"""``steembot audit``: a real bot's record against a real node's chain."""

from __future__ import annotations

import json
import signal

import pytest

from steembot.bot.audit import Books
from tests.support.processes import Process, environment
from tests.support.records import change_record, remove_records, without
from tests.support.waiting import wait_until

LAST = 118
"""A block that is followed by another one with operations, so that the bot is done with it."""

HANDLERS = """
from steembot.bot import Bot
bot = Bot()
@bot.on("*")
def every(op, ctx):
    if (op.block_num, op.trx_in_block, op.op_in_trx) == (7, 0, 0):
        raise SystemError("not this one")
    ctx.log.info("saw %s", op.cursor)
"""


@pytest.fixture(scope="module")
def handled(tmp_path_factory, still_node):
    """The folder of a bot that has handled the chain, and its environment."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "every.py").write_text(HANDLERS)
    settings = {
        "STEEMBOT_NODES": still_node.url,
        "STEEMBOT_START": "1",
        "STEEMBOT_SOCKET": str(folder / "b.sock"),
        "STEEMBOT_STATE_DIR": str(folder),
        "STEEMBOT_HANDLERS": "every",
    }
    env = environment(**settings)
    with (
        Process("steembot-broadcaster", env=env, cwd=folder),
        Process("steembot-bot", env=env, cwd=folder) as bot,
    ):
        bot.says(" saw 120-", timeout_s=60)
        bot.signal(signal.SIGTERM)
        assert bot.ended() == 0, "a stopped bot has committed everything"
    return folder, settings


@pytest.fixture
def audit(handled, tmp_path, steembot):
    """Run the audit on a copy of what the bot left: ``audit("1", "9")`` gives (status, lines)."""
    folder, settings = handled
    for file in folder.glob("bot-bot.sqlite3*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return lambda *words: steembot(
        "audit", *words, **settings | {"STEEMBOT_STATE_DIR": str(tmp_path)}
    )


def operations_of(chain, first, last):
    """Count the operations of blocks."""
    return sum(
        len(transaction["operations"])
        for num in range(first, last + 1)
        for transaction in json.loads(chain.block(num).condenser_json())["transactions"]
    )


def test_a_clean_range_is_said_to_be_clean(audit, still_node):
    """Status 0, and one line with the number of operations; a dead letter is no loss."""
    status, lines = audit("1", f"{LAST}")
    count = operations_of(still_node.chain, 1, LAST)
    assert count > 3000
    (line,) = lines
    assert line.startswith(f"blocks 1 to {LAST}: {count} operations on the chain for this bot ")
    assert line.endswith(" (1 of them is a dead letter), each handled exactly once")
    assert status == 0
    status, lines = audit("8", "8")
    assert "dead letter" not in lines[0]
    assert status == 0


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        (
            {"edit": without((0, 0, 0))},
            ["missing: ", " 0 of transaction 0 ", "block 20 was never handled"],
        ),
        (
            {"edit": lambda places: [*places, (1, 0, 0)]},
            ["double: ", "of transaction 1 ", "block 20 was handled 2 times"],
        ),
        (
            {"block_id": f"{20:08x}{0:032x}"},
            ["foreign: ", f"block 20 was handled as {20:08x}{0:032x}, and the chain has 00000014"],
        ),
        (
            {"edit": lambda places: [*places, (9999, 0, 0)]},
            ["foreign: ", "operation 0 of transaction 9999", "the chain has none there"],
        ),
    ],
)
def test_what_is_wrong_is_named(audit, tmp_path, changed, finding):
    """Status 1; a line that tells what and where, and one that sums up."""
    change_record(tmp_path / "bot-bot.sqlite3", 20, **changed)
    status, lines = audit("1", "40")
    assert status == 1
    assert len(lines) == 2
    for words in finding:
        assert words in lines[0]
    assert lines[1].endswith(", 1 finding")
    # Beside it all is well.
    assert audit("21", "40")[0] == 0


def test_many_findings_are_cut_short(audit, tmp_path):
    """A hundred are told, all are counted."""
    removed = remove_records(tmp_path / "bot-bot.sqlite3", 1, 40)
    status, lines = audit("1", "40")
    assert status == 1
    assert len(lines) == 102
    assert lines[-2] == "… and more"
    assert lines[-1].endswith(f", {removed} findings")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1", "500"), "record reaches from block 1 to block 119; asked for 1 to 500"),
        (("500", "501"), "record reaches from block 1 to block 119; asked for 500 to 501"),
        (("1", "9", "--bot", "nobody"), "bot-nobody.sqlite3"),
    ],
)
def test_what_is_not_on_record_is_refused(audit, words, said):
    """One line that says what there is; nothing is claimed of the rest."""
    status, (line,) = audit(*words)
    assert status == 1
    assert said in line


@pytest.mark.parametrize("words", [("9", "1"), ("0", "9"), ("a", "9"), ("9",)])
def test_a_range_that_is_none_is_refused(audit, words):
    """A wrong use of the command is status 2, as with any command."""
    status, lines = audit(*words)
    assert status == 2
    assert any(line.startswith("Error: ") for line in lines)


def test_a_bot_that_never_ran_has_no_record(tmp_path, settings, steembot):
    """The words say where a state was looked for, or that nothing is on record."""
    status, (line,) = steembot("audit", "1", "9")
    assert status == 1
    assert f"{tmp_path}/state/bot-bot.sqlite3" in line
    with Process("steembot-bot", env=settings, cwd=tmp_path) as bot:
        bot.wait_for(lambda _: (tmp_path / "state" / "bot-bot.lock").exists())
        bot.signal(15)
        bot.ended()
    status, (line,) = steembot("audit", "1", "9")
    assert status == 1
    assert "no whole block on record yet" in line


def test_nodes_that_fail_are_passed_over_or_named(audit, handled, steembot, tmp_path):
    """One good node is enough; where there is none, its trouble is said and nothing is claimed."""
    _, settings = handled
    here = settings | {"STEEMBOT_STATE_DIR": str(tmp_path)}
    nodes = "http://127.0.0.1:9," + settings["STEEMBOT_NODES"]
    assert steembot("audit", "1", f"{LAST}", **here | {"STEEMBOT_NODES": nodes})[0] == 0
    status, (line,) = steembot("audit", "1", "9", **here | {"STEEMBOT_NODES": "http://127.0.0.1:9"})
    assert status == 1
    assert "http://127.0.0.1:9" in line


def last_of(folder):
    """The last block that the bot's record holds whole."""
    with Books(folder / "state" / "bot-bot.sqlite3") as books:
        return books.last


def test_it_works_beside_a_running_bot(tmp_path, settings, broadcaster, steembot):
    """Neither has to wait for the other."""
    (tmp_path / "every.py").write_text(HANDLERS.replace("(7, 0, 0)", "()"))
    more = {"STEEMBOT_HANDLERS": "every"}
    with Process("steembot-bot", env=settings | more, cwd=tmp_path) as bot:
        bot.says(" saw 40-")
        wait_until(lambda: last_of(tmp_path) >= 39, "the record, a second behind at most")
        last = last_of(tmp_path)
        status, (line,) = steembot("audit", "1", f"{last}")
        assert (status, bot.runs) == (0, True)
    assert line.endswith("each handled exactly once")


def test_a_bot_that_began_at_the_head_of_an_empty_broadcaster_is_on_record(
    tmp_path, settings, moving_node, steembot
):
    """Both started at once, as on a first day: the record begins with the first block."""
    (tmp_path / "every.py").write_text(HANDLERS)
    more = {
        "STEEMBOT_NODES": moving_node.url,
        "STEEMBOT_START": "head",
        "STEEMBOT_HANDLERS": "every",
    }
    # The bot waits, the broadcaster answers it at once and has its first block a moment later.
    with (
        Process("steembot-bot", env=settings | more, cwd=tmp_path) as bot,
        Process("steembot-broadcaster", env=settings | more, cwd=tmp_path),
    ):
        bot.wait_for(lambda lines: sum(" saw " in line for line in lines) > 200, "200 operations")
        first = int(
            next(line for line in bot.lines if " saw " in line).split(" saw ")[1].split("-")[0]
        )
        wait_until(lambda: last_of(tmp_path) > first, "the record, a second behind at most")
        last = last_of(tmp_path)
        status, lines = steembot("audit", f"{first}", f"{last}", **more)
    assert (status, len(lines)) == (0, 1), lines
