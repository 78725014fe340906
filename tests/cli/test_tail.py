"""``steembot tail``: operations as text or JSON lines, by type and account, undos marked."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support.processes import Process, environment


def expected(still_node, *types: str) -> list[tuple[int, str]]:
    return [
        (num, operation[0])
        for num in range(1, 121)
        for transaction in json.loads(still_node.chain.block(num).condenser_json())["transactions"]
        for operation in transaction["operations"]
        if not types or operation[0] in types
    ]


def tail_until(tmp_path, settings, count: int, *arguments: str) -> list[str]:
    with Process("steembot", "tail", *arguments, env=settings, cwd=tmp_path) as tail:
        tail.wait_for(lambda lines: len(lines) >= count, f"{count} lines")
        tail.signal(signal.SIGINT)
        assert tail.ended() == 0
    return tail.lines


def test_every_operation_is_a_json_line(tmp_path, settings, broadcaster, still_node):
    """With ``--json`` each operation is one object, in chain order, complete."""
    wanted = expected(still_node)
    lines = tail_until(tmp_path, settings, len(wanted), "--json", "--from", "1")
    got = [json.loads(line) for line in lines]
    assert [(op["block_num"], op["type"]) for op in got] == wanted
    assert got[0].keys() >= {"cursor", "value", "trx_id", "timestamp", "undone", "op_in_trx"}


def test_types_are_filtered(tmp_path, settings, broadcaster, still_node):
    """Named types come, others don't, and ``comment`` is not ``comment_options``."""
    wanted = expected(still_node, "comment", "transfer")
    lines = tail_until(tmp_path, settings, len(wanted), "comment", "transfer", "--from", "1")
    assert [line.split()[2] for line in lines] == [kind for _, kind in wanted]


def test_an_account_is_filtered(tmp_path, settings, broadcaster, still_node):
    """``--by`` shows what one account did."""
    block = json.loads(still_node.chain.block(30).condenser_json())
    votes = [o for t in block["transactions"] for o in t["operations"] if o[0] == "vote"]
    voter = votes[0][1]["voter"]
    (line, *_) = tail_until(tmp_path, settings, 1, "vote", "--by", voter, "--from", "30", "--json")
    assert json.loads(line)["value"]["voter"] == voter


def _last_block(lines: list[str]) -> int:
    return int(lines[-1].split()[1]) if lines else 0


def test_undone_operations_are_marked(tmp_path, moving_node):
    """After a fork, what was shown and is gone is shown once more as undone."""
    settings = environment(
        STEEMBOT_NODES=moving_node.url,
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path / "state",
    )
    with (
        Process("steembot-broadcaster", env=settings, cwd=tmp_path),
        Process("steembot", "tail", env=settings, cwd=tmp_path) as tail,
    ):
        chain = moving_node.chain
        # On a busy machine tail may lag behind what is removed; then the next fork will do.
        for _ in range(50):
            newest = chain.head.num
            tail.wait_for(lambda lines, n=newest: _last_block(lines) >= n - 1, f"block {newest}")
            moving_node.call(lambda: chain.fork(12))
            tail.wait_for(lambda lines, n=newest: _last_block(lines) > n, "the new branch")
            if any(" UNDONE " in line for line in tail.lines):
                return
        pytest.fail("fifty forks, and nothing was undone")


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path, settings, broadcaster):
    """``steembot tail | head -1`` leaves no traceback."""
    import subprocess  # noqa: PLC0415

    from tests.support.processes import SCRIPTS  # noqa: PLC0415

    command = f"{SCRIPTS}/steembot tail --from 1 --json | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=settings,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert json.loads(ended.stdout)["block_num"] >= 1
    assert ended.stderr == ""


def test_control_characters_never_reach_the_terminal(tmp_path, settings, broadcaster):
    """What strangers write on the chain is shown as plain text."""
    lines = tail_until(tmp_path, settings, 500, "--from", "1")
    assert all(c.isprintable() for line in lines for c in line)
    assert os.linesep not in "".join(lines)


def test_what_never_comes_is_not_waited_for(steembot):
    """A slip in a type's or an account's name is an error at once, with a suggestion."""
    status, lines = steembot("tail", "coment")
    assert status == 2
    assert "did you mean 'comment'?" in lines[-1]
    status, lines = steembot("tail", "--by", "@Alice Cooper")
    assert status == 2
    assert "'@Alice Cooper' is no account's name" in lines[-1]


def test_an_account_may_have_its_sign(tmp_path, settings, broadcaster, still_node):
    """``--by @alice`` is ``--by alice``."""
    block = json.loads(still_node.chain.block(30).condenser_json())
    votes = [o for t in block["transactions"] for o in t["operations"] if o[0] == "vote"]
    by = f"@{votes[0][1]['voter'].upper()}"
    (line, *_) = tail_until(tmp_path, settings, 1, "vote", "--by", by, "--from", "30", "--json")
    assert json.loads(line)["value"]["voter"] == votes[0][1]["voter"]


def test_a_virtual_type_is_said_to_need_its_switch(tmp_path, settings, broadcaster):
    """Without STEEMBOT_VIRTUAL_OPS the wait may be for ever, so it is said."""
    env = settings | {"STEEMBOT_VIRTUAL_OPS": "0"}
    with Process("steembot", "tail", "author_reward", env=env, cwd=tmp_path) as tail:
        tail.says("STEEMBOT_VIRTUAL_OPS=1")
