"""Asking for the status: an answer, or why there is none."""

from __future__ import annotations

import time

import pytest

from steembot.errors import FeedError, SocketError
from steembot.feed import wire
from steembot.feed.client import Connected, ask_status
from steembot.feed.wire import ErrorCode
from tests.feed.ends import PATIENCE_S, Reader, ServerProcess, answering, listening
from tests.support.waiting import wait_until


def test_the_status_is_told_to_who_asks(tmp_path):
    """One question, one answer: where the chain is, and who listens."""
    path = tmp_path / "feed.sock"
    with ServerProcess(path, 5), Reader(path) as reader:
        reader.read_to(5) if isinstance(reader.next(), Connected) else pytest.fail("not connected")
        assert reader.client.receive(0) is None  # the last one is finished with
        wait_until(lambda: ask_status(path, PATIENCE_S).clients[0].lag == 0, "no lag")
        status = ask_status(path, PATIENCE_S)
    assert isinstance(status, wire.Status)
    assert (status.chain, status.head.num, status.oldest) == ("steem", 5, 1)
    assert [(client.name, client.lag) for client in status.clients] == [("reader", 0)]


def asked(path, timeout_s=PATIENCE_S) -> str:
    """Return the words of the error that asking ends in; in not much more than the time allowed."""
    began = time.monotonic()
    with pytest.raises((SocketError, FeedError)) as caught:
        ask_status(path, timeout_s)
    assert time.monotonic() - began < timeout_s + PATIENCE_S
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_without_a_socket_the_status_says_so(tmp_path):
    """Nothing at that path: what is missing, and what to start or set."""
    words = asked(tmp_path / "feed.sock")
    assert "does not exist" in words
    assert "systemctl start steembot.target" in words
    assert "STEEMBOT_SOCKET" in words


def test_a_file_that_is_no_socket_cannot_be_asked(tmp_path):
    """A path that is something else is said to be no socket."""
    path = tmp_path / "feed.sock"
    path.write_text("")
    assert "is no socket" in asked(path)


def test_a_socket_that_nobody_serves_is_said_at_once(tmp_path):
    """What a killed broadcaster left behind is told without waiting for the whole time."""
    path = tmp_path / "feed.sock"
    listening(path).close()
    assert "nobody serves" in asked(path)


def test_a_broadcaster_that_hangs_is_said_after_the_time(tmp_path):
    """A broadcaster that takes the question and does not answer is said to hang."""
    path = tmp_path / "feed.sock"
    with listening(path):
        assert "did not answer within 0.3 s" in asked(path, 0.3)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"rubbish", "no broadcaster of this version"),
        (wire.encode(wire.Heartbeat(None, 0)), "something else"),
    ],
)
def test_an_answer_that_is_none_is_said(tmp_path, frame, words):
    """What can't be understood is not shown as a status."""
    path = tmp_path / "feed.sock"
    with answering(path, frame):
        assert words in asked(path)


def test_a_refusal_is_passed_on(tmp_path):
    """The broadcaster's own words come through, with their code."""
    path = tmp_path / "feed.sock"
    refusal = wire.encode(wire.Error(code=ErrorCode.VERSION, text="too new"))
    with answering(path, refusal), pytest.raises(FeedError, match="too new") as caught:
        ask_status(path, PATIENCE_S)
    assert caught.value.code == ErrorCode.VERSION
