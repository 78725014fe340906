"""Connections are bounded, a user has a share of them, and who never speaks is let go."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections import Counter
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.feed import connections, server, wire
from steembot.feed.connections import DESCRIPTORS, MAX_CONNECTIONS, SILENT_S, Connections, share
from steembot.feed.wire import ErrorCode
from tests.feed.ends import Driven, as_nobody, public_folder
from tests.feed.memory_chain import MemoryChain
from tests.support.processes import Process, environment
from tests.support.waiting import wait_until


@given(st.lists(st.integers(0, 8), max_size=2000), st.sampled_from([512, 1024]))
def test_whoever_comes_next_finds_a_place(users, most):
    """However many eight users want, together they leave room for a ninth, and ten more."""
    has: Counter[int] = Counter()
    for user in [*users, *[0] * most, *range(9)]:
        if user < 8 and has[user] < share(most, has.total() - has[user]):
            has[user] += 1
    assert has.total() < most
    assert share(most, has.total()) >= 1


def test_one_user_alone_has_half():
    """The other half is kept for those to come."""
    assert share(512, 0) == 256
    assert share(512, 256) == 128


@pytest.fixture
def pairs():
    """Lend connected sockets: ours by descriptor, and the other end."""
    made: list[socket.socket] = []

    def make() -> tuple[int, socket.socket]:
        made.extend(socket.socketpair(socket.AF_UNIX))
        return made[-2].fileno(), made[-1]

    yield make
    for each in made:
        each.close()


def is_over(end: socket.socket) -> bool:
    """Whether the other side has hung up, after what it said before."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    while poll.poll(0):
        if end.recv(4096) == b"":
            return True
    return False


def test_the_silent_are_closed_and_the_others_stay(pairs):
    """Who said nothing for long, or nothing that led to a subscription; not who has one."""
    held = Connections()
    ends = {}
    for name in ("silent", "stranger", "client", "new"):
        descriptor, ends[name] = pairs()
        assert held.accepted(descriptor, SILENT_S if name == "new" else 0.0)
        if name in ("stranger", "client"):
            held.spoke(descriptor, name.encode(), 0.0)
    assert held.close_silent({b"client"}, SILENT_S) == 2
    assert {name for name, end in ends.items() if is_over(end)} == {"silent", "stranger"}
    assert held.close_silent({b"client"}, SILENT_S) == 0, "once is enough"


def test_a_user_beyond_its_share_is_hung_up_on(pairs, monkeypatch):
    """The connection is closed, and counts until libzmq says that it is gone."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    held = Connections()
    kept = [pairs() for _ in range(2)]
    assert all(held.accepted(descriptor, 0.0) for descriptor, _ in kept)
    descriptor, end = pairs()
    assert not held.accepted(descriptor, 0.0)
    assert is_over(end)
    held.closed(descriptor)
    held.closed(kept[0][0])
    assert held.accepted(pairs()[0], 0.0)


def test_an_idle_client_is_no_silent_connection(driven):
    """It subscribed, nothing matches, it has nothing to say: it stays, however long."""
    for _ in range(20):
        dealer = driven.subscriber(types=["transfer"], name="idle", after="head")
        for _ in range(8):
            driven.clock += SILENT_S / 2
            driven.turn()
        dealer.say(wire.Grant(1))
    driven.until(lambda: [c.credit for c in driven.server.status().clients] == [101] * 20)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_one_users_subscriptions_leave_room_for_another():
    """Another user's client gets in while one has its whole share, and the words name the share."""
    chain = MemoryChain()
    chain.grow(("vote",))
    with public_folder() as folder, Driven(chain, Path(folder, "feed.sock")) as driven:
        driven.path.chmod(0o666)
        for _ in range(server.MAX_CLIENTS // 2):
            driven.dealer().subscribe(after="head")
        driven.until(lambda: driven.server.clients == server.MAX_CLIENTS // 2)
        late = driven.dealer()
        late.subscribe(after="head")
        error = late.receive()
        assert (error.code, "uid 0 has 256" in error.text) == (ErrorCode.TOO_MANY_CLIENTS, True)
        code = """
            client = FeedClient(path, name="b", types=["*"], mode="head", after=lambda: "0")
            while not isinstance(event := client.receive(20), Connected):
                assert event is not None
            print("in")
        """
        with ThreadPool(1) as pool:
            other = pool.apply_async(as_nobody, (code, driven.path))
            driven.until(other.ready)
        assert other.get() == "in\n"


def test_a_flood_of_silent_connections_costs_a_live_client_nothing(tmp_path, moving_node):
    """Thousands connect and never speak: the broadcaster lives, and closes them."""
    env = environment(
        STEEMBOT_NODES=moving_node.url,
        STEEMBOT_NODE_RATE=1000,
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path / "state",
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What a terminal gives a process by default; the broadcaster is to want more.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    broadcaster = Process("steembot-broadcaster", env=env, cwd=tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))
    silent: list[socket.socket] = []
    try:
        with broadcaster, Process("steembot", "tail", env=env, cwd=tmp_path) as tail:
            tail.says(" vote ")
            for _ in range(3 * MAX_CONNECTIONS):
                silent.append(socket.socket(socket.AF_UNIX))
                silent[-1].setblocking(False)
                try:
                    silent[-1].connect(str(tmp_path / "b.sock"))
                except BlockingIOError:  # the backlog is full: it waits there, as it should
                    silent.pop().close()
            known = len(tail.lines)
            tail.wait_for(lambda lines: len(lines) > known + 100, "a hundred lines more")
            wait_until(lambda: all(map(is_over, silent)), "all hung up on")
            assert broadcaster._process.poll() is None
            assert not any("disconnected" in line for line in tail.lines)
    finally:
        for each in silent:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
