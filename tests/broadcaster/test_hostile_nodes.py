"""A broadcaster whose only node answers with text that is to harm it."""

from __future__ import annotations

import pytest

from steembot.feed import wire
from steembot.feed.client import ask_status
from tests.support.hostile import SENDABLE, controls
from tests.support.processes import Process, environment
from tests.support.scripted_http import Script, http, raw, serving
from tests.support.waiting import wait_until

REASON = SENDABLE.replace("\r\n", "")


@pytest.mark.parametrize(
    "answer",
    [
        raw(f"HTTP/1.1 500 {REASON}\r\nContent-Length: 0\r\n\r\n".encode()),
        raw(b"HTTP/1.1 500 a\0b\r\nContent-Length: 0\r\n\r\n"),
        http(
            rb'{"id":1,"error":{"code":-32000,"message":"a\u0000b\u001b]0;mine\u0007\ud83d\nX=1"}}'
        ),
        http(rb'[{"id":1,"error":{"code":-32000,"message":"a\u0000b\n\nREADY=1"}}]'),
    ],
    ids=["reason", "nul", "rpc", "batch"],
)
def test_no_error_text_of_a_node_ends_the_broadcaster(tmp_path, answer: Script):
    """Its status and its log say the error, made visible, and it goes on."""
    with serving(answer) as node:
        env = environment(
            STEEMBOT_NODES=node,
            STEEMBOT_SOCKET=tmp_path / "b.sock",
            STEEMBOT_STATE_DIR=tmp_path / "state",
        )
        with Process("steembot-broadcaster", env=env, cwd=tmp_path) as broadcaster:
            broadcaster.says(f"node {node}")
            status = wire.Status(0, "", "", None, 0, 0, None, "", [])

            def has_said_it() -> bool:
                nonlocal status
                status = ask_status(tmp_path / "b.sock", 10)
                return bool(status.nodes and status.nodes[0].trouble)

            wait_until(has_said_it, "a status about the node")
            broadcaster.signal(15)
            assert broadcaster.ended() == 0
    assert "Traceback" not in "\n".join(broadcaster.lines)
    assert controls("\n".join(broadcaster.lines)) == set()
    assert controls(status.words + status.nodes[0].trouble, ends="") == set()
