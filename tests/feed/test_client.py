"""A client's end of the feed, over real sockets and against servers that die, hang and lie."""

from __future__ import annotations

import os
import time

import pytest
import zmq

from steembot.feed import client as client_module
from steembot.feed import server as server_module
from steembot.feed import wire
from steembot.feed.client import CREDIT_BLOCKS, Connected, Disconnected, Event, Refused
from steembot.feed.wire import ErrorCode
from tests.feed.ends import PATIENCE_S, Driven, Reader, ServerProcess, answering, listening
from tests.feed.memory_chain import Holder, MemoryChain

SOON_S = 8.0
"""Before a silence would make a client dial anew anyway. A quiet machine needs a second or less."""

# ---- a good server


def test_a_subscription_stands_and_brings_blocks(driven):
    """The first event says that it stands, and what with; the blocks follow in order."""
    with Reader(driven.path, types=["comment"]) as reader:
        connected = driven.event(reader.client)
        assert isinstance(connected, Connected)
        assert connected.subscribed.session == driven.server.session_id
        assert connected.subscribed.chain == "steem"
        assert reader.client.connected
        assert [driven.event(reader.client).num for _ in range(2)] == [1, 3]


def test_credit_is_granted_anew_as_blocks_are_used_up(driven):
    """A client reads any number of blocks, though only so many are ever on the way."""
    count = 10 * CREDIT_BLOCKS
    driven.chain.grow(*[("vote",)] * count)
    with Reader(driven.path) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        nums = []
        for _ in range(count + 3):
            event = driven.event(reader.client)
            nums.append(event.num)
            (status,) = driven.server.status().clients
            assert status.credit <= CREDIT_BLOCKS
        assert nums == list(range(1, count + 4))


def test_a_caller_that_takes_its_time_is_sent_no_more_than_its_credit(driven):
    """What a slow handler has not asked for is not sent: it waits in the block log."""
    driven.chain.grow(*[("vote",)] * 1000)
    with Reader(driven.path) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        driven.until(lambda: driven.server.status().clients[0].credit == 0)
        (status,) = driven.server.status().clients
        assert status.lag == 1003, "nothing is finished with"


def test_a_caller_that_waits_with_a_block_in_hand_loses_and_gets_nothing(driven):
    """It hears heartbeats alone, grants no credit, and finds all else in order afterwards."""
    driven.chain.grow(*[("vote",)] * 1000)
    with Reader(driven.path) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        assert driven.event(reader.client).num == 1
        beats: list[wire.Heartbeat | None] = []

        def hear() -> wire.Heartbeat | None:
            beats.append(reader.client.keep(0))
            return beats[-1]

        driven.until(lambda: hear() or driven.server.status().clients[0].credit == 0)
        for _ in range(100):
            driven.clock += server_module.HEARTBEAT_S
            driven.until(hear)
        assert beats[-1] == wire.Heartbeat(head=driven.chain.head, irreversible=0)
        (status,) = driven.server.status().clients
        assert (status.credit, status.lag) == (0, 1003)
        nums = [driven.event(reader.client).num for _ in range(1002)]
        assert nums == list(range(2, 1004))


def test_a_wait_with_a_block_in_hand_ends_at_a_signal_and_in_time(driven):
    """Connected or not, and though there is an event of the connection that nobody took."""
    ear, mouth = os.pipe()
    try:
        with Reader(driven.path) as reader:
            reader.client.wake_by(ear)
            began = time.monotonic()
            assert reader.client.keep(0.2) is None
            assert 0.2 <= time.monotonic() - began < SOON_S
            assert isinstance(driven.event(reader.client), Connected)
            os.write(mouth, b"x")
            began = time.monotonic()
            assert reader.client.keep(PATIENCE_S) is None
            assert time.monotonic() - began < PATIENCE_S / 2
            assert driven.event(reader.client).num == 1
    finally:
        os.close(ear)
        os.close(mouth)


def test_undo_progress_and_heartbeats_are_passed_on(driven):
    """All that a server says about the chain reaches the caller."""
    with Reader(driven.path, types=["transfer"]) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        assert driven.event(reader.client).num == 3
        driven.chain.fork(1, ("vote",), ("vote",))
        assert isinstance(driven.event(reader.client), wire.Undo)
        progress = driven.event(reader.client)
        assert (type(progress), progress.cursor.block_num) == (wire.Progress, 4)
        driven.clock += 2.0
        beats = []
        driven.until(lambda: beats.append(reader.client.receive(0)) or beats[-1])
        assert beats[-1] == wire.Heartbeat(head=driven.chain.head, irreversible=0)


def test_closing_says_goodbye(driven, said):
    """A client that ends on purpose is not taken for one that died."""
    reader = Reader(driven.path)
    assert isinstance(driven.event(reader.client), Connected)
    reader.client.close()
    driven.until(lambda: driven.server.clients == 0)
    assert said()[-1].endswith("left: it said goodbye")


def test_a_wait_ends_in_time(driven):
    """Without an event the wait ends when its time is over, with None."""
    with Reader(driven.path) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        for _ in range(3):
            assert isinstance(driven.event(reader.client), wire.BlockMessage)
        began = time.monotonic()
        assert reader.client.receive(0.2) is None
        assert 0.2 <= time.monotonic() - began < SOON_S


def test_a_signal_ends_a_wait(driven):
    """What makes the given descriptor readable ends the wait at once, connected or not."""
    ear, mouth = os.pipe()
    try:
        with Reader(driven.path) as reader:
            reader.client.wake_by(ear)
            os.write(mouth, b"x")
            began = time.monotonic()
            assert reader.client.receive(PATIENCE_S) is None
            assert time.monotonic() - began < PATIENCE_S / 2
            # Events that are here come first, though nobody drained the descriptor.
            assert isinstance(driven.event(reader.client), Connected)
            assert driven.event(reader.client).num == 1
    finally:
        os.close(ear)
        os.close(mouth)


# ---- a server that dies


@pytest.mark.parametrize("held_by_systemd", [True, False])
def test_a_killed_servers_client_goes_on_where_it_was(tmp_path, held_by_systemd):
    """After kill -9 and restart: told once, subscribed again soon, nothing lost or twice."""
    path = tmp_path / "feed.sock"
    holder = listening(path) if held_by_systemd else None
    passed_on = None if holder is None else holder.fileno()
    sessions = []
    with Reader(path) as reader:
        for life in range(4):
            with ServerProcess(path, 20 * (life + 1), passed_on) as server:
                connected = reader.next()
                assert isinstance(connected, Connected)
                assert time.monotonic() - server.ready_at < SOON_S
                sessions.append(connected.subscribed.session)
                reader.read_to(20 * (life + 1) - 7)  # not to the end: it dies in the middle
                server.kill()
                while not isinstance(event := reader.next(), Disconnected):
                    assert isinstance(event, wire.BlockMessage)
                assert "connection closed" in event.reason
                assert not reader.client.connected
                assert reader.next(timeout_s=0.3) is None  # it is said once
        with ServerProcess(path, 90, passed_on) as server:
            assert isinstance(reader.next(), Connected)
            reader.read_to(90)
    assert reader.nums == list(range(1, 91))
    assert len(set(sessions)) == 4
    assert reader.asked[0] == "0"
    assert all(asked.count("-") == 4 for asked in reader.asked[1:])  # cursors
    if holder is not None:
        holder.close()


def test_a_server_that_dies_while_a_block_is_in_hand_is_told_and_found_again(tmp_path):
    """Not before the caller is done with the block: only then is it known where to go on."""
    path = tmp_path / "feed.sock"
    with listening(path) as holder, Reader(path) as reader:
        with ServerProcess(path, 20, holder.fileno()) as server:
            assert isinstance(reader.next(), Connected)
            reader.read_to(5)
            server.kill()
            while (lost := reader.client.keep(PATIENCE_S)) is None:
                assert reader.client.connected
        assert isinstance(lost, Disconnected)
        assert not reader.client.connected
        with ServerProcess(path, 30, holder.fileno()):
            assert reader.client.keep(0.3) is None
            assert len(reader.asked) == 1
            assert isinstance(reader.next(), Connected)
            reader.read_to(30)
    assert reader.nums == list(range(1, 31))


def test_a_client_waits_for_its_first_server(tmp_path):
    """A client may start first; it looks for the server once a second or more often."""
    path = tmp_path / "feed.sock"
    with Reader(path) as reader:
        assert reader.next(timeout_s=0.5) is None
        assert not reader.client.connected
        assert 0 < reader.client._socket.getsockopt(zmq.RECONNECT_IVL_MAX) <= 1000
        with ServerProcess(path, 3) as server:
            assert isinstance(reader.next(), Connected)
            assert time.monotonic() - server.ready_at < SOON_S


def test_a_client_that_came_before_the_server_is_served(tmp_path):
    """On a socket that systemd holds a client connects before any server runs."""
    path = tmp_path / "feed.sock"
    with listening(path) as holder, Reader(path) as reader:
        assert reader.next(timeout_s=0.3) is None
        with ServerProcess(path, 3, holder.fileno()) as server:
            assert isinstance(reader.next(), Connected)
            assert time.monotonic() - server.ready_at < SOON_S
            assert len(reader.asked) == 1  # on its first connection


# ---- a server that hangs


def last_words(reader: Reader) -> Event | None:
    """Take the heartbeats that a server sent before it froze; return what else there is."""
    while isinstance(event := reader.client.receive(0), wire.Heartbeat):
        pass
    return event


def test_a_server_that_hangs_is_noticed_by_its_silence(tmp_path):
    """A server that keeps its connection and says nothing is given up, once, and tried anew."""
    path = tmp_path / "feed.sock"
    with listening(path) as holder, Reader(path) as reader:
        with ServerProcess(path, 3, holder.fileno()) as hung:
            reader.clock.stop()
            assert isinstance(reader.next(), Connected)
            reader.read_to(3)
            hung.freeze()
            reader.clock.add(client_module.SILENCE_S - 1)
            assert last_words(reader) is None
            assert reader.client.connected
            reader.clock.add(client_module.SILENCE_S + 1)
            event = last_words(reader)
            assert isinstance(event, Disconnected)
            assert "nothing heard for 10 s" in event.reason
            assert len(reader.asked) == 1
            for _ in range(3):
                reader.clock.add(client_module.FIRST_RETRY_S)
                assert reader.client.receive(0) is None  # it is said once
                assert len(reader.asked) == 2
        reader.clock.go_on()
        with ServerProcess(path, 4, holder.fileno()):
            while not isinstance(event := reader.next(), Connected):
                assert event is None
            reader.read_to(4)
    assert reader.nums == [1, 2, 3, 4]


@pytest.mark.parametrize("uptime_s", [0.1, 13.7, 134450.808, 255143.519, 93950.201])
def test_a_server_that_never_answers_is_tried_again(tmp_path, uptime_s):
    """Where somebody listens and nobody answers, the client tries anew and tells nothing.

    That holds whatever the machine's uptime is, also where a sum is rounded.
    """
    path = tmp_path / "feed.sock"
    with listening(path), Reader(path) as reader:
        reader.clock.stop(uptime_s)
        for attempt in range(1, 4):
            assert reader.client.receive(0) is None
            assert len(reader.asked) == attempt
            reader.clock.add(client_module.SILENCE_S + 1)
            assert reader.client.receive(0) is None
            assert len(reader.asked) == attempt
            reader.clock.add(client_module.FIRST_RETRY_S)


def test_a_handler_that_takes_long_does_not_lose_its_server(driven):
    """Heartbeats that came while the caller was busy count, so it is not taken for silence."""
    with Reader(driven.path) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        for _ in range(3):
            assert isinstance(driven.event(reader.client), wire.BlockMessage)
        assert reader.client.receive(0.05) is None
        driven.clock += server_module.HEARTBEAT_S
        driven.turn()
        assert reader.client._poller.poll(PATIENCE_S * 1000)  # it is here, and nobody read it
        reader.clock.add(60)
        assert isinstance(reader.client.receive(0), wire.Heartbeat)
        assert reader.client.receive(0.05) is None
        assert reader.client.connected


def test_what_a_caller_has_in_hand_is_its_lag(driven):
    """A slow handler is seen from outside; finished with, it is told at once."""
    with Reader(driven.path) as reader:
        assert isinstance(driven.event(reader.client), Connected)
        driven.until(lambda: driven.server.status().clients[0].credit < CREDIT_BLOCKS - 2)
        assert driven.server.status().clients[0].lag == 3, "three were sent, and none was taken"
        for _ in range(3):
            assert isinstance(driven.event(reader.client), wire.BlockMessage)
        driven.turn()
        assert driven.server.status().clients[0].lag >= 1, "the last one is in hand"
        assert reader.client.receive(0) is None
        driven.until(lambda: driven.server.status().clients[0].lag == 0)


# ---- a server that refuses


def test_a_refused_client_tries_again(driven):
    """A refusal is told with its code and words; when the chain is there the client gets in."""
    with Reader(driven.path, after="5") as reader:
        reader.clock.stop()
        refused = driven.event(reader.client)
        assert isinstance(refused, Refused)
        assert refused.code == ErrorCode.ABOVE_HEAD
        assert "block 5 is above the head" in refused.text
        assert not reader.client.connected
        for _ in range(5):  # it does not hammer
            assert reader.client.receive(0) is None
        assert len(reader.asked) == 1
        driven.chain.grow(("vote",), ("vote",), ("vote",))
        reader.clock.add(client_module.RETRY_S)
        assert isinstance(driven.event(reader.client), Connected)
        assert driven.event(reader.client).num == 6


def test_a_subscription_that_the_server_ends_is_told(driven):
    """A server that refuses in the middle, here because its log moved on, is told as refusing."""
    with Reader(driven.path) as reader:
        driven.chain.grow(*[("vote",)] * 200)
        assert isinstance(driven.event(reader.client), Connected)
        driven.until(lambda: driven.server.status().clients[0].credit == 0)
        driven.chain.prune(oldest=150)
        while isinstance(event := driven.event(reader.client), wire.BlockMessage):
            pass
        assert isinstance(event, Refused)
        assert event.code == ErrorCode.TOO_OLD
        assert not reader.client.connected


SUBSCRIBED = wire.Subscribed(wire.VERSION, "s", "steem", None, 0, None, None)


def test_a_server_that_forgot_the_client_is_asked_anew(tmp_path):
    """A server that knows no subscription of ours is told one again, from where we stand."""
    path = tmp_path / "feed.sock"
    forgot = wire.Error(code=ErrorCode.NOT_SUBSCRIBED, text="subscribe first")
    with answering(path, wire.encode(SUBSCRIBED), wire.encode(forgot)), Reader(path) as reader:
        assert isinstance(reader.next(), Connected)
        event = reader.next()
        assert isinstance(event, Disconnected)
        assert "started anew" in event.reason
        reader.after = "7"
        assert isinstance(reader.next(), Connected)
        assert reader.asked == ["0", "7"]


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        (b"rubbish", ErrorCode.BAD_MESSAGE, "nonsense"),
        (b"", ErrorCode.BAD_MESSAGE, "nonsense"),
        (
            wire.encode(wire.Subscribed(2, "s", "steem", None, 0, None, None)),
            ErrorCode.VERSION,
            "version 2",
        ),
    ],
)
def test_a_server_that_is_none_is_told_as_refusing(tmp_path, frame, code, words):
    """What can't be understood is said, so that nobody wonders why nothing comes."""
    path = tmp_path / "feed.sock"
    with answering(path, frame), Reader(path) as reader:
        reader.clock.stop()
        for attempt in range(1, 3):
            event = reader.next()
            assert isinstance(event, Refused)
            assert event.code == code
            assert words in event.text
            for _ in range(5):  # it does not hammer
                assert reader.client.receive(0) is None
            assert len(reader.asked) == attempt
            reader.clock.add(client_module.RETRY_S)


def test_nonsense_in_the_middle_ends_the_connection(tmp_path):
    """A server that begins to send what is no message is left, and tried again later."""
    path = tmp_path / "feed.sock"
    with answering(path, wire.encode(SUBSCRIBED), b"rubbish"), Reader(path) as reader:
        assert isinstance(reader.next(), Connected)
        event = reader.next()
        assert isinstance(event, Disconnected)
        assert "nonsense" in event.reason
        reader.clock.add(client_module.RETRY_S)
        assert isinstance(reader.next(), Connected)


# ---- the whole way


def test_what_a_client_holds_is_what_the_chain_has(tmp_path):
    """Through forks, deaths of the client and of the server: no operation lost, none twice."""
    chain = MemoryChain()
    holder = Holder()
    for life in range(8):
        chain.grow(*[("vote", "comment")] * 5)
        with Driven(chain, tmp_path / "feed.sock") as driven, Reader(driven.path) as reader:
            reader.holder = holder
            assert isinstance(driven.event(reader.client), Connected)
            for step in range(6):
                reader.take(driven.event(reader.client))
                if step % 3 == 1:
                    chain.fork(min(2 + life % 3, 4), *[("comment", "transfer")] * 6)
        chain.fork(1, ("transfer",), ("vote",))  # while the client is away
    with Driven(chain, tmp_path / "feed.sock") as driven, Reader(driven.path) as reader:
        reader.holder = holder
        driven.event(reader.client)
        while holder.held[-1][0] < chain.head.num or holder.held[-1][1] != chain.head.id:
            reader.take(driven.event(reader.client))
    assert holder.held == chain.operations(["*"])
    assert holder.undone > 0
