"""What a bad client gets from the server, and that the others do not notice."""

from __future__ import annotations

import contextlib
import os
import random
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steembot.feed import server as server_module
from steembot.feed import wire
from steembot.feed.wire import ErrorCode
from steembot.repeats import REPEAT_S
from tests.feed.ends import forged

ME = f"pid {os.getpid()}, uid {os.getuid()}"


@pytest.fixture
def neighbour(driven):
    """A good client that must not notice what others do."""
    dealer = driven.subscriber(name="neighbour")
    dealer.blocks(3)
    yield dealer
    driven.chain.grow(("vote",), ("vote",))
    assert dealer.blocks(2) == [4, 5]
    assert driven.server.clients == 1


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        ([b"\x00rubbish"], ErrorCode.BAD_MESSAGE, "not a message of this protocol"),
        ([b""], ErrorCode.BAD_MESSAGE, "not a message of this protocol"),
        ([forged(kind="obey")], ErrorCode.BAD_MESSAGE, "'obey'"),
        ([forged(name="a\nb")], ErrorCode.BAD_MESSAGE, "$.name"),
        ([bytes(wire.MAX_REQUEST_BYTES + 1)], ErrorCode.BAD_MESSAGE, "at most 65536"),
        ([forged(), b""], ErrorCode.BAD_MESSAGE, "2 frames"),
        ([b""] * 1000, ErrorCode.BAD_MESSAGE, "1000 frames"),
        ([forged(version=2)], ErrorCode.VERSION, "version 1"),
        ([forged(after="9")], ErrorCode.ABOVE_HEAD, "block 9 is above the head"),
        ([forged(after="9" * 128)], ErrorCode.BAD_MESSAGE, "32 bits"),
        ([forged(credit=1001)], ErrorCode.BAD_MESSAGE, "$.credit"),
        ([wire.encode(wire.Grant(1))], ErrorCode.NOT_SUBSCRIBED, "without a subscription"),
    ],
)
def test_a_bad_message_is_refused_with_one_line(driven, said, neighbour, frames, code, words):
    """Who sends what is no message gets an error and one line in the log; others notice nothing."""
    dealer = driven.dealer()
    dealer.send_frames(*frames)
    error = dealer.receive()
    assert (type(error), error.code) == (wire.Error, code)
    assert words in error.text
    lines = [line for line in said() if "dropped" in line]
    assert lines == [f"a client ({ME}) dropped: {error.text}"]
    assert "\n" not in lines[0]
    assert dealer.heard() is None


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"\x00rubbish"], ErrorCode.BAD_MESSAGE),
        ([wire.encode(wire.Grant(wire.MAX_CREDIT))], ErrorCode.TOO_MUCH_CREDIT),
        ([forged(version=2)], ErrorCode.VERSION),
        ([b"a", b"b"], ErrorCode.BAD_MESSAGE),
    ],
)
def test_a_bad_message_ends_the_session_that_stood(driven, said, neighbour, frames, code):
    """A subscribed client that breaks the rules has no subscription any more, and may come back."""
    dealer = driven.subscriber(name="rude", credit=4)
    dealer.blocks(3)
    dealer.send_frames(*frames)
    assert dealer.receive().code == code
    lines = [line for line in said() if "rude" in line]
    assert len(lines) == 2
    assert lines[1].startswith(f"client rude ({ME}) dropped: ")
    dealer.say(wire.Grant(1))
    assert dealer.receive().code == ErrorCode.NOT_SUBSCRIBED
    dealer.subscribe(after="2")
    assert isinstance(dealer.receive(), wire.Subscribed)
    assert dealer.blocks(1) == [3]
    dealer.say(wire.Unsubscribe())
    driven.until(lambda: driven.server.clients == 1)


def test_a_frame_above_all_limits_cuts_the_connection(driven, said, neighbour):
    """No frame above 1 MiB is taken: that client is gone at once, before it costs memory."""
    dealer = driven.subscriber(name="huge")
    dealer.blocks(3)
    dealer.send_frames(bytes(wire.MAX_FRAME_BYTES + 1))
    driven.until(lambda: driven.server.clients == 1)
    assert [line for line in said() if "left" in line] == [
        f"client huge ({ME}) left: its connection closed"
    ]


RAW = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "null greeting": b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48),
    "another mechanism": b"\xff" + bytes(8) + b"\x7f\x03\x00PLAIN" + bytes(47),
    "half a greeting": b"\xff" + bytes(8) + b"\x7f",
    "version 1": b"\x01\x00\x05\x00evil",
    "random": random.Random(1).randbytes(5000),
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW.keys())
def test_what_is_not_zeromqs_protocol_is_dropped(driven, said, neighbour, data):
    """Raw bytes on the socket cost at most one line, and touch nobody."""
    before = len(said())
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(driven.path))
        with contextlib.suppress(BrokenPipeError):  # libzmq had enough of it
            raw.sendall(data)
    driven.until(lambda: len(said()) > before)
    # What else there were to say would come when the connection is accounted for.
    driven.clock += server_module.HEARTBEAT_S
    driven.turn()
    driven.turn()
    lines = said()[before:]
    assert len(lines) == 1
    assert "dropped" in lines[0]


def test_a_huge_first_frame_is_said(driven, said, neighbour):
    """Who begins with a frame that libzmq does not take leaves one line too."""
    before = len(said())
    dealer = driven.dealer()
    dealer.send_frames(bytes(wire.MAX_FRAME_BYTES + 1))
    driven.until(lambda: len(said()) > before)
    assert said()[before:] == ["1 connection(s) dropped that sent no message of the feed"]


def test_who_just_asked_for_the_status_leaves_no_line(driven, said, neighbour):
    """Monitoring that asks every few seconds does not fill the log."""
    before = len(said())
    for _ in range(5):
        dealer = driven.dealer()
        dealer.say(wire.AskStatus())
        dealer.receive()
        dealer.close()
    closed = driven.clock + 0.3
    driven.until(lambda: driven.clock > closed)
    assert said()[before:] == []


def test_a_flood_of_connections_is_said_once_a_minute(driven, said):
    """Connections that come to nothing are counted, and the count is said now and then."""

    def told() -> int:
        return sum(int(line.split()[0]) for line in said())

    for flood in range(1, 4):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(driven.path))
        driven.until(lambda counted=20 * flood: told() + driven.server._mute == counted)
    assert len(said()) == 1
    driven.clock += REPEAT_S + 1
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(driven.path))
    driven.until(lambda: len(said()) == 2)
    assert told() == 61


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_no_bytes_end_the_server(driven, frames):
    """Whatever comes in frames, the server goes on to serve."""
    dealer = driven.dealer()
    dealer.send_frames(*frames)
    assert isinstance(dealer.receive(), wire.Error | wire.Status)
    dealer.close()


def test_a_client_that_tries_again_and_again_is_no_news(driven, said):
    """A refusal that repeats is said once a minute, and answered each time."""
    for _ in range(50):
        dealer = driven.dealer()
        dealer.subscribe(after="9")
        assert dealer.receive().code == ErrorCode.ABOVE_HEAD
        dealer.close()
    assert len(said()) == 1
    driven.clock += REPEAT_S + 1
    dealer = driven.dealer()
    dealer.subscribe(after="9")
    dealer.receive()
    assert len(said()) == 2


def test_one_client_too_many_is_refused(driven, said):
    """The 257th is told that there is no room, and gets in when another one leaves."""
    dealers = [driven.dealer() for _ in range(server_module.MAX_CLIENTS // 2)]
    for dealer in dealers:
        dealer.subscribe(after="head")
    driven.until(lambda: driven.server.clients == server_module.MAX_CLIENTS // 2)
    late = driven.dealer()
    late.subscribe(after="head")
    error = late.receive()
    assert error.code == ErrorCode.TOO_MANY_CLIENTS
    assert "256" in error.text
    dealers[0].say(wire.Unsubscribe())
    driven.until(lambda: driven.server.clients < server_module.MAX_CLIENTS // 2)
    late.subscribe(after="head")
    assert isinstance(late.receive(), wire.Subscribed)
