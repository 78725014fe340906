"""Both ends of the feed for tests: a server that the test itself drives, and a bare client."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

from steembot.feed import wire
from steembot.feed.server import FeedServer
from tests.feed.memory_chain import MemoryChain

PATIENCE_S = 20.0
"""How long a test waits for what must come; a healthy run needs a fraction of a second."""

NOBODY = 65534


class Driven:
    """A server whose turns the test takes, so that all happens in one thread.

    ``clock`` is what the server is told that the time is: real time plus what the test adds.
    """

    def __init__(self, chain: MemoryChain, path: Path, listener: int | None = None) -> None:
        self.chain = chain
        self.path = path
        self.server = FeedServer(
            chain, chain="steem", path=path, listener=listener, words=lambda: "well"
        )
        self.added_s = 0.0
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

    @property
    def clock(self) -> float:
        """What the time is, for the server."""
        return time.monotonic() + self.added_s

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
            self.server.wait((), 0.005)

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

    def heard(self) -> wire.Reply | None:
        """The next message, if one is here."""
        if not self._socket.poll(0):
            return None
        return wire.decode_reply(self._socket.recv())

    def receive(self, *, heartbeats: bool = False) -> wire.Reply:
        """Return the next message, while the server serves."""
        found: list[wire.Reply] = []

        def come() -> bool:
            while not found and (message := self.heard()) is not None:
                if heartbeats or not isinstance(message, wire.Heartbeat):
                    found.append(message)
            return bool(found)

        self._driven.until(come)
        return found[0]

    def blocks(self, count: int) -> list[int]:
        """The numbers of the next blocks that come."""
        messages = [self.receive() for _ in range(count)]
        assert all(isinstance(message, wire.BlockMessage) for message in messages), messages
        return [message.num for message in messages]


@contextmanager
def public_folder() -> Iterator[Path]:
    """Lend a folder that every user of the machine may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="steembot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
