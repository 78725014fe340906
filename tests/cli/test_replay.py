"""``steembot record`` and ``steembot replay``: past blocks from a node or a file, in a dry run."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from steembot.cli import recording
from steembot.cli.__main__ import steembot
from steembot.devnode.recorded import RecordedBlocks
from steembot.errors import NodeError, RecordingError

HANDLERS = """
from steembot.bot import Bot

bot = Bot()


@bot.on("transfer", max_age=60)
def paid(op, ctx):
    assert ctx.dry_run
    ctx.state["count"] = ctx.state.get("count", 0) + 1
    ctx.log.info("%s pays %s", op.value["from"], op.value["amount"])
    if op.value["memo"] == "fail":
        raise RuntimeError("told to")


@bot.on("vote")
def voted(op, ctx):
    if op.value["weight"] == FAIL:
        raise RuntimeError("told to")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEEMBOT_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "mine.py").write_text(HANDLERS.replace("FAIL", "None"))
    return tmp_path


@pytest.fixture
def recorded(here, monkeypatch, still_node):
    """The blocks 20 to 89 of a node, as the command records them."""
    monkeypatch.setenv("STEEMBOT_NODES", still_node.url)
    result = ask("record", "--from", "20", "--to", "89", "blocks.jsonl")
    assert result.output.splitlines()[-1].startswith("blocks 20 to 89 in blocks.jsonl")
    return here / "blocks.jsonl"


def ask(*arguments):
    result = CliRunner().invoke(steembot, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def transfers(path):
    return [
        (int(block["block_id"][:8], 16), operation[1])
        for block in map(json.loads, path.read_text().splitlines())
        for transaction in block["transactions"]
        for operation in transaction["operations"]
        if operation[0] == "transfer"
    ]


def test_what_is_recorded_the_devnode_serves(recorded):
    """The two are made for each other."""
    assert len(RecordedBlocks(recorded)) == 70
    assert not recorded.with_name("blocks.jsonl.part").exists()


def test_a_range_that_the_node_does_not_have_leaves_no_file(here, monkeypatch, still_node):
    """Half a recording would be taken for a whole one."""
    monkeypatch.setenv("STEEMBOT_NODES", still_node.url)
    monkeypatch.setattr("steembot.cli.past_blocks.FIRST_PAUSE_S", 0)
    with pytest.raises(NodeError, match="no block 121"):
        ask("record", "--from", "119", "--to", "130", "blocks.jsonl")
    assert [path.name for path in here.iterdir()] == ["mine.py"]


@pytest.mark.parametrize("source", ["file", "node"])
def test_a_bot_runs_over_past_blocks(recorded, here, source):
    """What it logs, the state in the end, and nothing kept; time is that of the blocks."""
    expected = [f"block {n}: {t['from']} pays {t['amount']}" for n, t in transfers(recorded)]
    assert expected
    where = ("--file", "blocks.jsonl") if source == "file" else ("--from", "20", "--to", "89")
    result = ask("replay", *where, "--handlers", "mine.py", "--state")
    assert [line for line in result.stdout.splitlines() if line.startswith("block ")] == expected
    assert f'"count": {len(expected)}' in result.stdout
    assert "70 blocks from 20" in result.stderr
    assert not (here / "state").exists()


def test_a_part_of_a_file(recorded):
    """--from and --to choose from it."""
    result = ask("replay", "--file", "blocks.jsonl", "--from", "30", "--to", "39",
                 "--handlers", "mine.py")  # fmt: skip
    assert "10 blocks from 30" in result.stderr


def test_a_timer_that_fails_is_seen(recorded, here):
    """With its traceback, at the block where it ran."""
    timer = '@bot.every(100)\ndef report(ctx):\n    raise RuntimeError("no report")\n'
    (here / "mine.py").write_text(HANDLERS.replace("FAIL", "None") + timer)
    result = ask("replay", "--file", "blocks.jsonl", "--handlers", "mine.py")
    assert "RuntimeError: no report" in result.stderr.splitlines()
    assert 'mine.py", line' in result.stderr


def test_a_replay_waits_for_nothing(recorded, here):
    """A handler that says later has failed there: it should ask ctx.dry_run first."""
    later = "from steembot.bot import Later\n" + HANDLERS.replace(
        'raise RuntimeError("told to")', 'raise Later("the webhook")'
    ).replace("FAIL", "None").replace('op.value["memo"] == "fail"', "True")
    (here / "mine.py").write_text(later)
    result = ask("replay", "--file", "blocks.jsonl", "--handlers", "mine.py")
    assert result.exit_code == 1
    assert result.output.count("Later: the webhook") == len(transfers(recorded)) > 0


def test_dead_letters_are_printed_and_fail_the_command(recorded, here):
    """A mistake shows before the bot is started."""
    (here / "bad.py").write_text(HANDLERS.replace("== FAIL", "is not None"))
    result = ask("replay", "--file", "blocks.jsonl", "--handlers", "bad.py")
    assert result.exit_code == 1
    assert "dead letter: vote at 2" in result.stdout
    assert "RuntimeError: told to" in result.stdout


@pytest.mark.parametrize(
    "name", ["steem_2017_2020.recorded", "steem_2017_2020.block_api", "steem_2017_2020.chain"]
)
def test_both_shapes_of_real_blocks_give_the_same_operations(chaindata, name):
    """Assets as text, names without _operation, extensions as pairs."""
    blocks = list(recording.read(chaindata / "blocks" / f"{name}.jsonl", "steem"))
    reference = list(
        recording.read(chaindata / "blocks" / "steem_2017_2020.recorded.jsonl", "steem")
    )
    assert len(blocks) == len(reference) == 45
    for block, other in zip(blocks, reference, strict=True):
        for op, same in zip(block.operations, other.operations, strict=True):
            assert op.type == same.type
            assert json.loads(op.value) == json.loads(same.value)


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"block":{"block_id":"x"}}', "\xff"])
def test_a_broken_file_is_named_with_its_line(tmp_path, line):
    """And what a line must hold."""
    path = tmp_path / "broken.jsonl"
    path.write_text(f"\n\n{line or '{'}\n")
    with pytest.raises(RecordingError, match=r"broken\.jsonl, line 3"):
        list(recording.read(path, "steem"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay",),
        ("replay", "--from", "5"),
        ("replay", "--from", "5", "--to", "4"),
        ("replay", "--file", "absent.jsonl"),
        ("record", "--from", "5", "--to", "4", "x"),
    ],
)
def test_wrong_use(here, arguments):
    """A range or a file, and a range that is one."""
    assert ask(*arguments).exit_code == 2
