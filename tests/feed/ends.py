"""Both ends of the feed for tests: a server that the test itself drives, and a bare client."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from steembot.feed import wire
from steembot.feed.client import Connected, Disconnected, Event, FeedClient, Refused
from steembot.feed.server import FeedServer
from tests.feed.memory_chain import Holder, MemoryChain

PATIENCE_S = 20.0
"""How long a test waits for what must come; a healthy run needs a fraction of a second."""

BEGINNING_S = 1000.0
"""What the time is for a driven server when its test begins."""

LOOK_S = 0.005
"""How long a driven server waits before the test looks again."""

NOBODY = 65534

REPOSITORY = Path(__file__).parents[2]


class Driven:
    """A server whose turns the test takes, so that all happens in one thread.

    ``clock`` is what the server is told that the time is. The test adds to it, and so does
    each wait for something, so that to the server a machine that is busy is no slower than others.
    """

    def __init__(self, chain: MemoryChain, path: Path, listener: int | None = None) -> None:
        self.chain = chain
        self.path = path
        self.server = FeedServer(
            chain, chain="steem", path=path, listener=listener, words=lambda: "well"
        )
        self.clock = BEGINNING_S
        self._dealers: list[Dealer] = []
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 2000)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for dealer in self._dealers:
            dealer.close()
        self._context.term()
        self.server.close()

    def turn(self) -> float:
        """Let the server do what is to be done."""
        return self.server.turn(self.clock)

    def until(self, condition: Callable[[], object]) -> None:
        """Serve until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.turn()
            if condition():
                return
            assert time.monotonic() < deadline, "it never came to that"
            self.server.wait((), LOOK_S)
            self.clock += LOOK_S

    def event(self, client: FeedClient) -> Event:
        """Return the client's next event but heartbeats, while the server serves."""
        found: list[Event] = []

        def come() -> bool:
            event = client.receive(0)
            if event is not None and not isinstance(event, wire.Heartbeat):
                found.append(event)
            return bool(found)

        self.until(come)
        return found[0]

    def dealer(self, **options: int) -> Dealer:
        """Connect a bare client."""
        dealer = Dealer(self, self._context, options)
        self._dealers.append(dealer)
        return dealer

    def subscriber(self, **fields) -> Dealer:
        """Connect a bare client that is subscribed."""
        dealer = self.dealer()
        dealer.subscribe(**fields)
        assert isinstance(dealer.receive(), wire.Subscribed)
        return dealer


class Dealer:
    """A client that says just what the test wants, in frames."""

    def __init__(self, driven: Driven, context: zmq.Context, options: dict[str, int]) -> None:
        self._driven = driven
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        for name, value in options.items():
            self._socket.setsockopt(getattr(zmq, name), value)
        self._socket.connect(f"ipc://{driven.path}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close(0)

    def say(self, message: wire.Request) -> None:
        """Send a message."""
        self._socket.send(wire.encode(message))

    def subscribe(self, **fields) -> None:
        """Send a subscription to everything from the chain's beginning, or what is given."""
        valid = {
            "version": wire.VERSION,
            "name": "test",
            "types": ["*"],
            "mode": "head",
            "after": "0",
            "credit": 100,
        }
        self.say(wire.Subscribe(**valid | fields))

    def send_frames(self, *frames: bytes) -> None:
        """Send one message of these frames."""
        self._socket.send_multipart(frames)

    def heard(self, *, heartbeats: bool = False) -> wire.Reply | None:
        """The next message, if one is here."""
        while self._socket.poll(0):
            message = wire.decode_reply(self._socket.recv())
            if heartbeats or not isinstance(message, wire.Heartbeat):
                return message
        return None

    def receive(self, *, heartbeats: bool = False) -> wire.Reply:
        """Return the next message, while the server serves."""
        found: list[wire.Reply] = []

        def come() -> bool:
            if (message := self.heard(heartbeats=heartbeats)) is not None:
                found.append(message)
            return bool(found)

        self._driven.until(come)
        return found[0]

    def blocks(self, count: int) -> list[int]:
        """The numbers of the next blocks that come."""
        messages = [self.receive() for _ in range(count)]
        assert all(isinstance(message, wire.BlockMessage) for message in messages), messages
        return [message.num for message in messages]


def listening(path: Path) -> socket.socket:
    """A listening socket, as systemd holds it."""
    holder = socket.socket(socket.AF_UNIX)
    holder.bind(str(path))
    holder.listen(64)
    holder.setblocking(False)
    return holder


@contextmanager
def public_folder() -> Iterator[Path]:
    """Lend a folder that every user of the machine may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="steembot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def program(code: str, *arguments: object, **options) -> subprocess.Popen[str]:
    """Start a Python program that can import ours and the tests'."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def as_nobody(code: str, *arguments: object) -> str:
    """Run a program as the user nobody, once it has imported everything; return what it printed."""
    head = f"""
        import os, sys
        from pathlib import Path
        from steembot.errors import *
        from steembot.feed.client import *
        from steembot.feed.server import FeedServer
        from tests.feed.memory_chain import Holder, MemoryChain
        path = Path(sys.argv[1])
        os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
    """
    with program(textwrap.dedent(head) + textwrap.dedent(code), *arguments) as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    return out


class ServerProcess:
    """A server in a process of its own, which can be killed and frozen.

    Each one serves the same chain of votes, as a broadcaster does that kept its block log.
    ``holder`` is a listening socket to pass on, as systemd does; otherwise it binds the path.
    """

    CODE = """
        import sys, time
        from pathlib import Path
        from steembot.feed.server import FeedServer
        from tests.feed.memory_chain import Holder, MemoryChain
        path, listener, blocks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
        chain = MemoryChain()
        chain.grow(*[("vote",)] * blocks)
        listener = None if listener < 0 else listener
        with FeedServer(chain, chain="steem", path=path, listener=listener) as server:
            print("ready", flush=True)
            while True:
                if server.wait([0], server.turn(time.monotonic())):
                    line = sys.stdin.readline()
                    if not line:
                        break
                    chain.grow(*[("vote",)] * int(line))
                    print("grown", flush=True)
    """

    def __init__(self, path: Path, blocks: int, holder: int | None = None) -> None:
        listener = -1 if holder is None else holder
        self._process = program(
            self.CODE, path, listener, blocks, pass_fds=() if holder is None else (holder,)
        )
        assert self._process.stdout.readline() == "ready\n"
        self.ready_at = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._process.stdin.close()
        self._process.stdout.close()

    def grow(self, blocks: int) -> None:
        """Append blocks of one vote each."""
        self._process.stdin.write(f"{blocks}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "grown\n"

    def kill(self) -> None:
        """End it as kill -9 does, frozen or not."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def freeze(self) -> None:
        """Let it hang: it keeps its sockets and does nothing."""
        self._process.send_signal(signal.SIGSTOP)


@contextmanager
def answering(path: Path, *frames: bytes) -> Iterator[None]:
    """Serve the path with something that answers each message with these frames, one by one."""
    stop, stopped = os.pipe()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.bind(f"ipc://{path}")

        def answer() -> None:
            poller = zmq.Poller()
            poller.register(router, zmq.POLLIN)
            poller.register(stop, zmq.POLLIN)
            while stop not in dict(poller.poll()):
                identity, _ = router.recv_multipart()
                for frame in frames:
                    router.send_multipart((identity, frame))

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            os.close(stopped)
            thread.join()
            os.close(stop)


def forged(**fields) -> bytes:
    """A subscription with fields of the test's own."""
    valid = {
        "kind": "subscribe",
        "version": 1,
        "name": "test",
        "types": ["*"],
        "mode": "head",
        "after": "0",
        "credit": 1,
    }
    return msgspec.msgpack.encode(valid | fields)


class Clock:
    """Real monotonic time, and what a test adds to it.

    It can be stopped, so that it does not matter how long the test takes. No client's wait ends by
    its timeout then: let it wait for what is sure to come, or not at all. A stopped clock adds as
    the client does, one amount after the other: ``now + 0.1`` is then the very number that the
    client waits for, which a sum taken in another order may miss by its last bit.
    """

    def __init__(self):
        self._ahead_s = 0.0
        self._stopped_s = None

    def __call__(self) -> float:
        if self._stopped_s is not None:
            return self._stopped_s
        return time.monotonic() + self._ahead_s

    def add(self, seconds: float) -> None:
        """Let so much time pass at once."""
        if self._stopped_s is None:
            self._ahead_s += seconds
        else:
            self._stopped_s += seconds

    def stop(self, at_s: float | None = None) -> None:
        """Let no time pass but what is added; from where it stands, or from that time on."""
        self._stopped_s = self() if at_s is None else at_s

    def go_on(self) -> None:
        """Let time pass again, from where it stands."""
        self._ahead_s = self._stopped_s - time.monotonic()
        self._stopped_s = None


class Reader:
    """A client that holds what it is told, and subscribes from where it stands."""

    def __init__(self, path, after="0", **options):
        self.holder = Holder()
        self.asked = []
        self.after = after
        self.clock = Clock()
        self.client = FeedClient(
            path,
            **{"name": "reader", "types": ["*"], "mode": "head"} | options,
            after=self._after,
            clock=self.clock,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def _after(self) -> str:
        self.asked.append(str(self.holder.position or self.after))
        return self.asked[-1]

    @property
    def nums(self) -> list[int]:
        """The numbers of the blocks whose operation it holds."""
        return [num for num, *_ in self.holder.held]

    def take(self, event):
        """Do what an event says."""
        if not isinstance(event, Connected | Disconnected | Refused):
            self.holder.take(event)

    def next(self, timeout_s=PATIENCE_S):
        """Return the next event but heartbeats, after doing what it says."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            event = self.client.receive(left_s)
            if event is not None and not isinstance(event, wire.Heartbeat):
                self.take(event)
                return event
        return None

    def read_to(self, num: int) -> None:
        """Read until it holds that block; nothing but blocks may come."""
        while not self.nums or self.nums[-1] < num:
            event = self.next()
            assert isinstance(event, wire.BlockMessage), event
