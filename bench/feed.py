"""The feed: operations a second from publisher to subscriber, the same payloads for everyone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

import msgspec

from bench.frame import Effort, Measure, Tick, load, run, section
from bench.plots import Bars
from bench.processes import PEERS, BenchError, Process, folder, node, python, wait_until
from bench.report import Budget, budget, page, ratios, spreads, table
from bench.report import number as written
from bench.sample import Section
from steembot.devnode.generate import GeneratedBlocks

NAME = "feed"
TITLE = "Feed"
PEERS_USED = (
    *("steembot", "pyzmq", "redis", "nats-py"),
    *("redis-server", "nats-server", "node-ipc"),
)
OURS = "steembot"
CASES = ("1 client", "10 clients", "100 clients", "2 clients, 1 stopped")
STOPPED = CASES[-1]
BLOCKS = 200
PATIENCE_S = 30.0
RATE = "operations/s"


Server = Callable[[Path], AbstractContextManager[str]]
"""What a feed needs beside publisher and subscriber; yields the address."""


def payload() -> Iterator[str]:
    """Yield blocks of generated operations, a line of JSON each."""
    source = GeneratedBlocks("bench", genesis_time=1_600_000_002, operations=50)
    for _ in range(BLOCKS):
        block = msgspec.json.decode(source.next(1).condenser_json())
        yield json.dumps([op for each in block["transactions"] for op in each["operations"]])


@lru_cache(1)
def payload_text() -> str:
    """Return the payload file, made once."""
    return "".join(line + "\n" for line in payload() if line != "[]")


@contextmanager
def redis_server(place: Path) -> Iterator[str]:
    """Run a Redis of our own, in memory alone, at a Unix socket."""
    path = place / "redis"
    command = ("redis-server", "--port", "0", "--unixsocket", str(path), "--save", "")
    with Process((*command, "--appendonly", "no"), cwd=place) as process:
        _until(process, "ready to accept connections")
        yield str(path)


@contextmanager
def nats_server(place: Path) -> Iterator[str]:
    """Run a NATS of our own with JetStream, on loopback."""
    command = ("nats-server", "--addr", "127.0.0.1", "--port", "-1", "--jetstream")
    options = ("--store_dir", str(place), "--ports_file_dir", str(place))
    with Process((*command, *options), cwd=place) as process:
        _appears(process, place)
        (ports,) = place.glob("nats-server_*.ports")
        yield json.loads(ports.read_text())["nats"][0]


@contextmanager
def no_server(place: Path) -> Iterator[str]:
    """The publisher listens itself."""
    yield str(place / "socket")


def _until(process: Process, words: str) -> None:
    while words not in process.line(20.0).lower():
        pass


def _appears(process: Process, place: Path) -> None:
    def written_out() -> bool:
        if not process.runs:
            raise BenchError(f"nats-server ended: {process.complaint()}")
        return any(file.stat().st_size for file in place.glob("nats-server_*.ports"))

    wait_until(written_out, 20.0, "nats-server's ports")


def measure_feed(
    program: Sequence[str],
    server: Server,
    case: str,
    seconds: float,
    options: Sequence[str] = (),
) -> dict[str, float]:
    """Measure one feed with as many clients as the case says."""
    clients = int(case.split(maxsplit=1)[0])
    stopped = case == STOPPED
    with folder() as place, ExitStack() as stack:
        (place / "payload").write_text(payload_text())
        address = stack.enter_context(server(place))
        publisher = stack.enter_context(
            Process(
                [*program, "publish", address, str(place / "payload"), f"{stopped:d}", *options],
                cwd=place,
            )
        )
        publisher.expect("ready")
        subscribers = stack.enter_context(
            Process([*program, "subscribe", address, str(seconds), str(clients)], cwd=place)
        )
        pids = [int(subscribers.line(PATIENCE_S).split()[1]) for _ in range(clients)]
        if stopped:
            os.kill(pids[0], signal.SIGSTOP)
        publisher.say("go")
        deadline = time.monotonic() + seconds + PATIENCE_S
        try:
            told = [
                subscribers.figures(max(0.0, deadline - time.monotonic()))
                for _ in range(clients - stopped)
            ]
        except BenchError:
            if publisher.runs:
                raise
            raise BenchError(f"the publisher ended: {publisher.complaint()}") from None
        operations = sum(each["operations"] for each in told)
        return {
            RATE: sum(each["operations"] / each["seconds"] for each in told) / len(told),
            "lost %": 100 * (lost := sum(each["lost"] for each in told)) / (lost + operations),
            "publisher MiB": publisher.peak_mib,
        }


def contestants(seconds: float) -> dict[str, Measure]:
    """Return everyone, by name; a case says how many clients there are."""

    def feed(program: Sequence[str], server: Server = no_server) -> Measure:
        return lambda case: measure_feed(program, server, case, seconds)

    def unpaced(case: str) -> dict[str, float]:
        if case in (CASES[1], CASES[2]):  # some of the clients would get nothing for minutes
            return {}
        return measure_feed(node_ipc, no_server, case, seconds, ["unpaced"])

    node_ipc = node(PEERS / "feed_node_ipc.js")

    return {
        OURS: feed(python(PEERS / "feed_steembot.py")),
        "node-ipc": feed(node_ipc),
        "node-ipc, unpaced": unpaced,
        "ZeroMQ PUB/SUB": feed(python(PEERS / "feed_zeromq.py")),
        "Redis Streams": feed(python(PEERS / "feed_redis.py"), redis_server),
        "NATS JetStream": feed(python(PEERS / "feed_nats.py"), nats_server),
    }


def steps(effort: Effort) -> int:
    """Return how often :func:`measure` ticks."""
    return len(CASES) * effort.rounds * len(contestants(0))


def measure(effort: Effort, tick: Tick) -> Section:
    """Measure everyone with every number of clients."""
    before = load()
    payload_text()
    samples = run(contestants(effort.window_s / 2), CASES, effort.rounds, tick)
    return section(NAME, samples, before, PEERS_USED, window_s=effort.window_s / 2)


def report(found: Section) -> str:
    """Return what is to be read about it."""
    rows = []
    for name in found.contestants:
        cells = []
        for case in found.cases:
            lost = found.spread(name, case, "lost %")
            cells.append("-" if lost is None else f"{written(lost.median)}%")
        memory = found.spread(name, found.cases[-1], "publisher MiB")
        cells.append("-" if memory is None else written(memory.median))
        rows.append([name, *cells])
    return page(
        "Operations a second that each client gets, as parsed bodies, from a publisher in another "
        "process that has them in memory; averaged over the clients, each a process, during "
        f"{found.settings['window_s']:g} s. Operations are generated as on Steem, 240 bytes each "
        "on average.",
        spreads(found, RATE),
        "steembot is so many times as fast, pair by pair:",
        ratios(found, OURS, RATE),
        "What the clients that run did not get of what was published meanwhile, and the "
        "publisher's memory at its highest while a client was stopped:",
        table(["lost", *found.cases, f"MiB, {STOPPED}"], rows),
        "steembot serves from memory here, as Redis and NATS do; from the log on disk it is the "
        "catch-up that shows it. node-ipc keeps in memory whatever a client has not read, and a "
        "client that is behind falls behind further, until it gets nothing for minutes. `unpaced` "
        "publishes as its examples do; the other waits until the clients that run have taken the "
        "block before, which is the most that node-ipc can do. ZeroMQ "
        "PUB/SUB drops what a client is too slow for, so its rate is that of what arrived. Redis "
        "and NATS keep the newest 200,000 operations; a reader that falls further behind misses "
        "some. Redis is written to through a pipeline of a block and read by a thousand, NATS with "
        "a block's acknowledgements outstanding and fetched by 500: of the documented ways these "
        "are the fast ones.",
    )


def budgets(found: Section) -> list[Budget]:
    """Return what was to be reached, and what was."""
    case = CASES[0]
    return [
        budget(
            f"feed, {case}, as a multiple of {peer}",
            found.ratio(OURS, peer, case, RATE),
            at_least=times,
        )
        for peer, times in (
            ("node-ipc, unpaced", 20.0),
            ("node-ipc", 20.0),
            ("Redis Streams", 3.0),
            ("NATS JetStream", 3.0),
        )
    ]


def plots(found: Section) -> list[Bars]:
    """Return the pictures."""
    return [
        Bars(
            name="feed",
            title="Feed: operations/s to each client",
            panels=found.cases,
            rows=found.contestants,
            values=found.spreads(RATE),
            highlight=OURS,
            log=True,
        )
    ]
