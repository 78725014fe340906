"""One deadline for a whole request, and connecting that goes on to the next address."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from steembot.chain import transport
from steembot.chain.node import Node
from steembot.chain.transport import connect
from steembot.errors import NodeError, NodeStatusError, NodeTimeoutError, NodeUnreachableError
from tests.support.following import Recorder, following
from tests.support.scripted_http import raw, serving

Peer = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def peer(behave: Peer, scheme: str = "http") -> Iterator[str]:
    """Serve at a loopback address by a function of each connection, until it returns."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def run(one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            behave(one, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=run, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def again(piece: bytes, pause_s: float = 0.05, first: bytes = b"") -> Peer:
    """Say something, and then the same piece again and again for ever."""

    def behave(one: socket.socket, over: threading.Event) -> None:
        one.sendall(first)
        while not over.wait(pause_s):
            one.sendall(piece)

    return behave


PHASES = {
    "says nothing": again(b""),
    "drips the status line": again(b"H"),
    "drips a header": again(b"x", first=b"HTTP/1.1 200 OK\r\nServer: "),
    "sends headers without end": again(b"A: b\r\n", first=b"HTTP/1.1 200 OK\r\n"),
    "says 100 Continue for ever": again(b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.0),
    "drips 100 Continue": again(b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.4),
    "drips the body": again(b"x", first=b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"),
    "drips a chunk's size": again(
        b"0", first=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
}


@pytest.mark.parametrize("phase", PHASES)
def test_the_deadline_holds_in_every_phase(phase):
    """Whatever a node does to keep us, the call ends, and the thread is ours again."""
    with peer(PHASES[phase]) as url:
        node = Node(url, timeout_s=1.0)
        with pytest.raises(NodeError) as caught:
            node.head()
        assert isinstance(caught.value, NodeTimeoutError | NodeUnreachableError)


@pytest.mark.parametrize("phase", ["says nothing", "drips the status line"])
def test_the_deadline_holds_while_tls_is_set_up(phase):
    """The handshake is a part of the request."""
    with peer(PHASES[phase], "https") as url, pytest.raises(NodeError):
        Node(url, timeout_s=1.0).head()


def test_nodes_that_keep_us_do_not_stop_the_feed(moving_node):
    """Many of them before an honest one, and no thread is theirs for good."""
    recorder = Recorder()
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(peer(behave)) for behave in PHASES.values() for _ in range(3)]
        nodes = [Node(url, timeout_s=1.0) for url in urls]
        with following(recorder, [*nodes, Node(moving_node.url)]):
            recorder.wait_for(120)
            kept = [t for t in threading.enumerate() if t.name.startswith("node")]
            assert len(kept) <= 64
    assert len(recorder.blocks) >= 120


def blackhole() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose backlog is full: the kernel drops whoever else wants to connect."""
    listener = socket.create_server(("127.0.0.2", 0), backlog=0)
    fill = []
    for _ in range(3):
        fill.append(socket.socket())
        fill[-1].setblocking(False)
        fill[-1].connect_ex(listener.getsockname())
    return listener, fill


def test_a_first_address_that_drops_packets_costs_little():
    """The next one is tried beside it, long before the deadline."""
    listener, fill = blackhole()
    with contextlib.ExitStack() as stack:
        for each in (listener, *fill):
            stack.enter_context(each)
        well = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def resolve(*_: object) -> list[tuple]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, listener.getsockname()), (*kind, well.getsockname())]

        with connect("two.example", 1, 60.0, resolve) as made:
            assert made.getpeername() == well.getsockname()
        with pytest.raises(TimeoutError, match=r"no connection to two\.example within 0\.5 s"):
            connect("two.example", 1, 0.5, lambda *_: resolve()[:1])


def test_a_refused_address_is_left_at_once():
    """And the last reason is told where none is left."""
    with socket.create_server(("127.0.0.1", 0)) as well:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        both = [(*kind, ("127.0.0.1", 9)), (*kind, well.getsockname())]
        with connect("two.example", 1, 60.0, lambda *_: both) as made:
            assert made.getpeername() == well.getsockname()
    with pytest.raises(ConnectionRefusedError):
        connect("one.example", 1, 60.0, lambda *_: both[:1])


def test_a_slow_name_server_is_not_waited_for():
    """getaddrinfo(3) cannot be interrupted; whoever asked goes on without it."""
    asked = threading.Event()

    def resolve(*_: object) -> list[tuple]:
        asked.wait(20)
        return []

    try:
        with pytest.raises(TimeoutError, match=r"no address of slow\.example within 0\.2 s"):
            connect("slow.example", 1, 0.2, resolve)
    finally:
        asked.set()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (b"https://api.example/", "it redirects to https://api.example/; if that is the node"),
        (b"/rpc", "/rpc; if that is the node, write it into STEEMBOT_NODES"),
        (b"https://ann:secret@api.example/", "https://ann:***@api.example/"),
        (b"", "it redirects to nowhere"),
    ],
)
def test_a_redirection_is_named_and_not_followed(location, words):
    """Who is asked is for the settings to say."""
    header = b"Location: " + location + b"\r\n" if location else b""
    answer = b"HTTP/1.1 301 Moved Permanently\r\n" + header + b"Content-Length: 0\r\n\r\n"
    with serving(raw(answer)) as url, pytest.raises(NodeStatusError) as caught:
        Node(url).head()
    assert caught.value.status == 301
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_connections_are_kept_and_watched_again(still_node):
    """A second request over the same connection has a deadline of its own."""
    node = Node(still_node.url, timeout_s=5.0)
    for _ in range(3):
        assert node.head().num == 120
    assert len(node._idle) == 1
    (pool,) = node._idle[0].session.adapters["http://"].poolmanager.pools._container.values()
    assert isinstance(pool.pool.get(block=False), transport._Watched)
    assert time.monotonic() > 0


def proxying(to: tuple[str, int], seen: list[bytes]) -> Peer:
    """Be a proxy: take CONNECT or a whole URL, and pass everything on."""

    def behave(one: socket.socket, _over: threading.Event) -> None:
        begin = one.recv(65536)
        seen.append(begin)
        with socket.create_connection(to) as other:
            if begin.startswith(b"CONNECT"):
                one.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                other.sendall(begin)
            back = threading.Thread(target=pump, args=(other, one))
            back.start()
            pump(one, other)
            back.join()

    return behave


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


def test_nodes_are_asked_through_the_proxy_that_is_named(still_node):
    """With its user and password; a node on this machine is asked directly."""
    seen: list[bytes] = []
    to = ("127.0.0.1", int(still_node.url.rsplit(":", 1)[1]))
    with peer(proxying(to, seen)) as url:
        proxy = url.replace("http://", "http://ann:secret@")
        node = Node("http://node.example", timeout_s=5.0, proxy=proxy)
        assert node.head().num == 120
        assert seen[0].startswith(b"POST http://node.example/")
        assert b"Proxy-Authorization: Basic YW5uOnNlY3JldA==" in seen[0]
        count = len(seen)
        assert Node(still_node.url, proxy=proxy).head().num == 120
        assert len(seen) == count
        node._idle.clear()
    with pytest.raises(NodeUnreachableError) as caught:
        Node("https://node.example", timeout_s=2.0, proxy=proxy).head()
    assert "secret" not in str(caught.value)
