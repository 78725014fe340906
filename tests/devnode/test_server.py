"""The node over real HTTP, in the process and as a command."""

import asyncio
import json
import re
import signal
import socket
import time
from contextlib import closing
from http.client import HTTPConnection

import aiohttp
import pytest

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import REQUEST_LIMIT_BYTES, DevNode
from steembot.devnode.thread import in_thread
from tests.devnode.client import devnode

TIMEOUT_S = 20


def small_chain(**settings):
    """Thirty small blocks and, unless told otherwise, no more of them during a test."""
    source = GeneratedBlocks("tests", genesis_time=1_600_000_002, operations=2)
    arguments = {"start": time.monotonic(), "ready": 30, "interval_s": 3600} | settings
    return Chain(source, **arguments)


def connect(url):
    """A keep-alive connection to a node."""
    host, port = url.removeprefix("http://").split(":")
    return closing(HTTPConnection(host, int(port), timeout=TIMEOUT_S))


def ask(connection, method, params=()):
    """The result of one call."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    connection.request("POST", "/", json.dumps(request))
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("application/json")
    return json.loads(response.read())["result"]


def head_of(connection):
    """The head block's number."""
    return ask(connection, "condenser_api.get_dynamic_global_properties")["head_block_number"]


def test_in_the_event_loop():
    """`async with` gives an address that answers until its end, and is free again after it."""

    async def run():
        async with DevNode(small_chain()) as node, aiohttp.ClientSession() as session:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", node.url)
            request = {"jsonrpc": "2.0", "id": 1, "method": "get_block", "params": [3]}
            async with session.post(node.url, json=request) as response:
                block = (await response.json())["result"]
            assert block["block_id"] == node.chain.block(3).id
            assert node.requests == 1
            return node.url

    url = asyncio.run(run())
    with connect(url) as connection, pytest.raises(ConnectionRefusedError):
        connection.connect()


def test_connections_are_kept():
    """Many requests on one connection."""
    with in_thread(DevNode(small_chain())) as node, connect(node.url) as connection:
        connection.connect()
        sock = connection.sock
        for _ in range(5):
            assert head_of(connection) == 30
            assert connection.sock is sock
        assert node.requests == 5


def test_blocks_appear_while_it_runs():
    """The head and the irreversible block move by themselves."""
    chain = small_chain(interval_s=0.01)
    with in_thread(DevNode(chain)) as node, connect(node.url) as connection:
        deadline = time.monotonic() + TIMEOUT_S
        while head_of(connection) < 40 and time.monotonic() < deadline:
            pass
        properties = ask(connection, "condenser_api.get_dynamic_global_properties")
        assert properties["head_block_number"] >= 40
        assert properties["head_block_number"] - properties["last_irreversible_block_num"] == 15


def test_fork_while_it_runs():
    """`call` changes the chain in the node's own thread."""
    with in_thread(DevNode(small_chain())) as node, connect(node.url) as connection:
        old = ask(connection, "get_block", [28])["block_id"]
        fork = node.call(lambda: node.chain.fork(5))
        assert fork.removed[2].id == old
        assert ask(connection, "get_block", [28])["block_id"] == fork.added[2].id
        assert head_of(connection) == 31


def test_latency_is_added():
    """To each HTTP request, also to a batch."""
    with in_thread(DevNode(small_chain(), latency_s=0.05)) as node, connect(node.url) as connection:
        head_of(connection)
        start = time.monotonic()
        head_of(connection)
        assert time.monotonic() - start >= 0.05


def test_http_that_is_no_json_rpc():
    """Health, unknown paths, wrong methods, and a body above nginx's limit."""
    with in_thread(DevNode(small_chain())) as node, connect(node.url) as connection:
        for method, path, body, status in [
            ("GET", "/health", None, 200),
            ("GET", "/", None, 405),
            ("POST", "/nothing", b"{}", 404),
            ("POST", "/", b" " * (REQUEST_LIMIT_BYTES + 1), 413),
        ]:
            connection.request(method, path, body)
            response = connection.getresponse()
            text = response.read()
            assert response.status == status
            if path == "/health":
                assert json.loads(text) == {"status": "OK", "jussi_num": 15}


def test_used_port_is_an_error():
    """The caller is told, in his own thread."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), in_thread(DevNode(small_chain(), port=port)):
            pass


LINE = re.compile(r"steembot-devnode: (http://127\.0\.0\.1:\d+) block (\d+) to (\d+)\n")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_command_with_a_generated_chain(signum):
    """One line when it serves, the head stamped now, exit 0 on a signal even while connected."""
    with devnode("--generate", "1", "--ops", "3", "--first", "1000") as (process, line):
        url, first, head = LINE.fullmatch(line).groups()
        assert (first, head) == ("1000", "1029")
        with connect(url) as connection:
            properties = ask(connection, "condenser_api.get_dynamic_global_properties")
            stamped = time.time() - time.mktime(
                time.strptime(properties["time"] + " UTC", "%Y-%m-%dT%H:%M:%S %Z")
            ) + time.timezone  # fmt: skip
            assert -1 < stamped < 3 + TIMEOUT_S
            process.send_signal(signum)
            out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert out == ""
    assert "--generate 1 --first 1000 --genesis-time 20" in err
    assert "Traceback" not in err


def test_command_is_repeatable():
    """The same options give the same chain."""
    ids = []
    options = ("--generate", "1", "--ops", "3", "--genesis-time", "2020-01-01")
    for _ in range(2):
        with devnode(*options) as (_, line), connect(LINE.fullmatch(line)[1]) as connection:
            assert ask(connection, "get_block", [1])["timestamp"] == "2020-01-01T00:00:00"
            ids.append(ask(connection, "get_block", [20])["block_id"])
    assert ids[0] == ids[1]


def test_command_with_a_chain_of_hive(chaindata):
    """Generated or recorded, it answers ranges and names Hive's chain."""
    path = chaindata / "blocks" / "steem_1000000_1000999.block_api.jsonl"
    for options, first in (
        (("--generate", "1", "--ops", "3"), 1),
        (("--blocks", str(path), "--interval", "0"), 1_000_000),
    ):
        with (
            devnode(*options, "--hive") as (_, line),
            connect(LINE.fullmatch(line)[1]) as connection,
        ):
            assert ask(connection, "get_config")["HIVE_CHAIN_ID"].startswith("beeab0de")
            params = {"starting_block_num": first, "count": 20}
            blocks = ask(connection, "block_api.get_block_range", params)["blocks"]
            assert [int(block["block_id"][:8], 16) for block in blocks] == [
                *range(first, first + 20)
            ]


def test_command_with_recorded_blocks(chaindata):
    """All at once with interval 0, up to an irreversible head."""
    path = chaindata / "blocks" / "steem_2017_2020.chain.jsonl"
    with devnode("--blocks", str(path), "--interval", "0") as (_, line):
        url, first, head = LINE.fullmatch(line).groups()
        assert (first, head) == ("30000000", "30000044")
        with connect(url) as connection:
            properties = ask(connection, "condenser_api.get_dynamic_global_properties")
            assert properties["last_irreversible_block_num"] == 30000044
            served = [ask(connection, "block_api.get_block", {"block_num": 30000007})["block"]]
    with path.open() as lines:
        block = json.loads(list(lines)[7])["block"]
    assert served == [block]


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ([], 2, "give either --blocks FILE or --generate SEED"),
        (["--generate", "1", "--blocks", "x"], 2, "give either"),
        (["--generate", "1", "--interval", "0"], 2, "--interval 0 needs --blocks"),
        (["--generate", "1", "--genesis-time", "soon"], 2, "'soon' is neither 'now' nor"),
        (["--generate", "1", "--genesis-time", "2200-01-01"], 2, "1970 to 2106"),
        (["--generate", "1", "--ready", "0"], 2, "0 is not in the range"),
        (["--generate", "1", "--keep", "10"], 78, "keep 10 must be above"),
        (["--blocks", "/nonexistent"], 78, "/nonexistent: cannot be read: No such file"),
        (
            ["--generate", "1", "--ops", "0", "--host", "192.0.2.1"],
            71,
            "cannot listen on 192.0.2.1",
        ),
    ],
)
def test_command_says_what_is_wrong(options, status, text):
    """In one line, with the exit status that tells the kind."""
    with devnode(*options) as (process, line):
        assert line == ""
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == status
    assert text in err
    assert "Traceback" not in err
