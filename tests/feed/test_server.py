"""The broadcaster's end of the feed, over real sockets."""

from __future__ import annotations

import os
import time

import zmq

from steembot.feed import server as server_module
from steembot.feed import wire
from steembot.operation import BlockRef, Cursor
from tests.feed.ends import PATIENCE_S, Driven, forged, program
from tests.feed.memory_chain import Holder

ME = f"pid {os.getpid()}, uid {os.getuid()}"


# ---- what a good client gets


def test_a_client_gets_what_it_asked_for(driven):
    """After a subscription come the blocks with the wanted types, in order, then later ones."""
    dealer = driven.dealer()
    dealer.subscribe(types=["comment"])
    subscribed = dealer.receive()
    head = driven.chain.head
    assert subscribed == wire.Subscribed(
        version=wire.VERSION,
        session=driven.server.session_id,
        chain="steem",
        head=BlockRef(head.num, head.id),
        irreversible=0,
        oldest=1,
        after=None,
    )
    first, third = dealer.receive(), dealer.receive()
    assert (first.num, third.num) == (1, 3)
    assert [op.type for op in first.operations + third.operations] == ["comment", "comment"]
    driven.chain.grow(("comment",))
    assert dealer.blocks(1) == [4]


def test_who_subscribes_to_the_head_is_told_where_that_is(driven):
    """The position that ``head`` stood for comes back, so that a restart misses nothing."""
    dealer = driven.dealer()
    dealer.subscribe(after="head")
    head = driven.chain.head
    assert dealer.receive().after == Cursor.end_of(head.num, head.id)


def test_a_fork_reaches_the_client(driven):
    """What was delivered and then removed comes back as undo, before the new branch."""
    dealer = driven.subscriber()
    assert dealer.blocks(3) == [1, 2, 3]
    driven.chain.fork(1, ("vote",), ("vote",))
    undo = dealer.receive()
    assert (type(undo), undo.num) == (wire.Undo, 3)
    assert dealer.blocks(2) == [3, 4]


def test_no_more_blocks_come_than_credit_was_given(driven):
    """A client gets as many blocks as it asked for, and the next ones when it asks again."""
    driven.chain.grow(*[("vote",)] * 20)
    dealer = driven.subscriber(credit=2)
    assert dealer.blocks(2) == [1, 2]
    for _ in range(20):
        driven.turn()
    assert dealer.heard() is None
    dealer.say(wire.Grant(3))
    assert dealer.blocks(3) == [3, 4, 5]


def test_heartbeats_come_to_subscribed_clients_alone(driven):
    """Every two seconds each subscribed client hears that the server lives, and where it is."""
    stranger, dealer = driven.dealer(), driven.subscriber(after="head")
    stranger.say(wire.AskStatus())
    assert isinstance(stranger.receive(), wire.Status)
    while dealer.heard(heartbeats=True) is not None:
        pass
    for _ in range(3):
        driven.clock += server_module.HEARTBEAT_S
        beat = dealer.receive(heartbeats=True)
        assert beat == wire.Heartbeat(head=driven.chain.head, irreversible=0)
    assert stranger.heard(heartbeats=True) is None


def test_a_second_subscription_replaces_the_first(driven):
    """A client may change its mind on the same connection; it stays one client."""
    dealer = driven.subscriber(types=["comment"])
    assert dealer.blocks(2) == [1, 3]
    dealer.subscribe(types=["vote"])
    assert isinstance(dealer.receive(), wire.Subscribed)
    assert dealer.blocks(2) == [1, 2]
    assert driven.server.clients == 1


def test_goodbye_ends_a_subscription(driven, said):
    """A client that says goodbye gets nothing more, and leaves one line."""
    dealer = driven.subscriber()
    dealer.blocks(3)
    dealer.say(wire.Unsubscribe())
    driven.until(lambda: driven.server.clients == 0)
    driven.chain.grow(("vote",))
    driven.turn()
    assert dealer.heard() is None
    dealer.close()
    driven.turn()
    assert said() == [
        f"client test ({ME}) subscribed to *, mode head, after 0",
        f"client test ({ME}) left: it said goodbye",
    ]


def test_the_status_shows_the_clients(driven):
    """Who asks for the status sees the chain's place and every client: who, what, how far."""
    driven.subscriber(name="tips", types=["vote", "comment"], credit=1).blocks(1)
    asking = driven.dealer()
    asking.say(wire.AskStatus())
    status = asking.receive()
    assert status == wire.Status(
        version=wire.VERSION,
        session=driven.server.session_id,
        chain="steem",
        head=driven.chain.head,
        head_timestamp=0,
        irreversible=0,
        oldest=1,
        words="well",
        clients=[
            wire.ClientStatus(
                name="tips",
                pid=os.getpid(),
                uid=os.getuid(),
                types=["vote", "comment"],
                mode="head",
                lag=3,
                credit=0,
            )
        ],
    )
    assert driven.server.clients == 1  # who asks is no client


def test_each_start_has_a_new_session(driven, tmp_path):
    """A client can tell a new server from the one it knew."""
    with Driven(driven.chain, tmp_path / "other.sock") as other:
        assert other.server.session_id != driven.server.session_id


# ---- many clients, slow clients


def test_thirty_clients_each_get_everything(driven):
    """Thirty clients at once, each with its own types and place, get all of theirs in order."""
    driven.chain.grow(*[("comment", "vote"), ("transfer",), ("vote", "vote")] * 100)
    wanted = [["comment"], ["vote"], ["transfer", "vote"], ["*"]]
    clients = []
    for index in range(30):
        dealer = driven.dealer()
        types, after = wanted[index % 4], index * 10
        dealer.subscribe(types=types, after=str(after), credit=wire.MAX_CREDIT)
        clients.append((dealer, driven.chain.operations(types, after=after)))
    for dealer, expected in clients:
        assert isinstance(dealer.receive(), wire.Subscribed)
        got = []
        while len(got) < len(expected):
            message = dealer.receive()
            if isinstance(message, wire.BlockMessage):
                got += [(message.num, message.id, operation) for operation in message.operations]
        assert got == expected


def test_what_finds_no_room_in_the_queue_comes_later(chain, tmp_path, monkeypatch):
    """Blocks and undos for a client that reads slowly wait for their turn, and none is left out."""
    monkeypatch.setattr(server_module, "QUEUE_MESSAGES", 2)
    with Driven(chain, tmp_path / "feed.sock") as driven:
        chain.grow(*[("vote",) * 1500] * 40)
        slow = driven.dealer(RCVHWM=1)
        slow.subscribe(credit=wire.MAX_CREDIT)
        assert isinstance(slow.receive(), wire.Subscribed)
        for _ in range(100):
            driven.turn()
        (client,) = driven.server.status().clients
        assert client.lag > 0, "there was room for everything: this shows nothing"
        holder = Holder()
        while len(holder.held) < 10 * 1500:
            holder.take(slow.receive())
        chain.fork(20, *[("comment",)] * 25)
        while holder.held != chain.operations(["*"]):
            holder.take(slow.receive())


def test_a_long_backlog_delays_nobody(driven):
    """A client that catches up gets a bounded number of blocks, then it is another's turn."""
    driven.chain.grow(*[("vote",)] * 2000)
    other = driven.subscriber(name="other", after="head")
    greedy = driven.dealer()
    greedy.subscribe(name="greedy", credit=1000)
    driven.server.wait((), PATIENCE_S)
    driven.chain.grow(("comment",))
    turns = 0
    while len(clients := driven.server.status().clients) < 2:
        driven.turn()
        turns += 1
    assert [client.name for client in clients] == ["other", "greedy"]
    assert clients[0].lag == 1  # in hand
    assert 1000 - clients[1].credit <= turns * server_module.TURN_BLOCKS
    assert driven.turn() == 0  # and is its turn again at once
    assert other.blocks(1) == [2004]


SERVER_THAT_TELLS_ITS_MEMORY = """
    import sys, time
    from pathlib import Path
    import msgspec
    from steembot.feed.server import FeedServer
    from steembot.operation import pack
    from tests.feed.memory_chain import Holder, MemoryChain

    chain = MemoryChain()
    chain.grow(("custom_json",))
    body, packed = b'{"json":"' + b"x" * 50_000 + b'"}', []
    def grow():
        chain.grow(("custom_json",))
        block = chain._blocks[-1]
        if not packed:  # the same for all
            packed.append(pack((msgspec.structs.replace(block.operations[0], value=body),)))
        chain._blocks[-1] = msgspec.structs.replace(block, packed=packed[0])
    def memory_kib():
        return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
    with FeedServer(chain, chain="steem", path=Path(sys.argv[1]), listener=None) as server:
        print("ready", flush=True)
        while True:
            server.wait([0], server.turn(time.monotonic()))
            if server.wait([0], 0):
                line = sys.stdin.readline()
                if not line:
                    break
                for _ in range(int(line)):
                    grow()
                    server.turn(time.monotonic())
                print(memory_kib(), flush=True)
"""


def test_a_client_that_stops_reading_costs_its_credit_at_most(tmp_path):
    """While one client takes nothing in, another gets everything and memory stays bounded."""
    path = tmp_path / "feed.sock"
    with program(SERVER_THAT_TELLS_ITS_MEMORY, path) as process:
        context = zmq.Context()
        try:
            assert process.stdout.readline() == "ready\n"
            sleeper, reader = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
            sleeper.setsockopt(zmq.RCVHWM, 1)
            sleeper.setsockopt(zmq.RCVBUF, 4096)
            sleeper.connect(f"ipc://{path}")
            reader.connect(f"ipc://{path}")
            sleeper.send(forged(name="sleeper", credit=50, after="head"))
            reader.send(forged(name="reader", credit=400, after="head"))
            reader.poll(int(PATIENCE_S * 1000))
            assert isinstance(wire.decode_reply(reader.recv()), wire.Subscribed)

            def grow(count: int) -> int:
                process.stdin.write(f"{count}\n")
                process.stdin.flush()
                got = 0
                while got < count:
                    assert reader.poll(int(PATIENCE_S * 1000))
                    if isinstance(wire.decode_reply(reader.recv()), wire.BlockMessage):
                        got += 1
                reader.send(wire.encode(wire.Grant(count)))
                return int(process.stdout.readline())

            first_kib = grow(200)
            last_kib = [grow(200) for _ in range(10)][-1]
            # 2000 blocks of 50 KB would be 100 MB; its credit of 50 is 2.5 MB.
            assert last_kib - first_kib < 20_000
        finally:
            context.destroy(linger=0)
            process.stdin.close()
            process.wait(PATIENCE_S)


# ---- clients that die


CLIENT = """
    import sys, zmq
    from steembot.feed import wire
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(f"ipc://{sys.argv[1]}")
    socket.send(wire.encode(wire.Subscribe(1, "mortal", ["*"], "head", "0", 10)))
    socket.recv()
    print("subscribed", flush=True)
    sys.stdin.read()
"""


def test_a_clients_death_is_noticed_at_once(driven, said):
    """A client ended by kill -9 is one line, with its name, pid and uid, before a heartbeat."""
    with program(CLIENT, driven.path) as process:
        driven.until(lambda: driven.server.clients == 1)
        driven.until(lambda: driven.server.wait([process.stdout.fileno()], 0))
        process.kill()
        process.wait()
        died = driven.clock
        driven.until(lambda: driven.server.clients == 0)
        assert driven.clock - died < server_module.HEARTBEAT_S / 4
        process.stdin.close()
    driven.chain.grow(("vote",))
    for _ in range(5):
        driven.clock += server_module.HEARTBEAT_S
        driven.turn()
    assert said()[1:] == [
        f"client mortal (pid {process.pid}, uid {os.getuid()}) left: its connection closed"
    ]


def test_many_deaths_leave_nothing_behind(driven, said):
    """However many clients come and vanish, each is one line and none stays."""
    for _ in range(20):
        for dealer in [driven.subscriber() for _ in range(5)]:
            dealer.close()
        driven.until(lambda: driven.server.clients == 0)
    assert len([line for line in said() if "left" in line]) == 100


# ---- waiting


def test_the_wait_ends_when_a_descriptor_is_readable(driven):
    """What else a process waits for wakes it too, and is named."""
    ears, mouths = zip(*[os.pipe() for _ in range(2)], strict=True)
    try:
        assert driven.server.wait(ears, 0) == set()
        os.write(mouths[1], b"x")
        assert driven.server.wait(ears, PATIENCE_S) == {ears[1]}
        assert driven.server.wait(ears[:1], 0) == set()  # no longer asked about
        assert driven.server.wait((), -1) == set()
        os.write(mouths[0], b"x")
        assert driven.server.wait(ears, PATIENCE_S) == set(ears)
    finally:
        for descriptor in ears + mouths:
            os.close(descriptor)


def test_the_wait_ends_when_a_client_speaks(driven):
    """A request ends the wait at once; nothing needs a timer."""
    driven.turn()
    dealer = driven.dealer()
    dealer.say(wire.AskStatus())
    began = time.monotonic()
    assert driven.server.wait((), PATIENCE_S) == set()
    assert time.monotonic() - began < PATIENCE_S / 2
    assert isinstance(dealer.receive(), wire.Status)


def test_a_short_wait_is_a_wait(driven):
    """A wait of less than a millisecond is not none, or a process would spin through it."""
    driven.turn()
    began = time.monotonic()
    driven.server.wait((), 0.0002)
    assert time.monotonic() - began >= 0.0002


def test_an_idle_server_has_nothing_to_do_until_the_next_heartbeat(driven):
    """With nothing to send, the next turn is due in up to two seconds: no busy loop."""
    driven.subscriber().blocks(3)
    driven.turn()
    assert 0 < driven.turn() <= server_module.HEARTBEAT_S
