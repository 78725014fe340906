"""Every fault over real HTTP: what a client sees, and that it sees a healthy node afterwards."""

import asyncio
import json
import re
import signal
import socket
import ssl
import string
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead, RemoteDisconnected
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.devnode import serialize
from steembot.devnode.chain import Chain
from steembot.devnode.errors import ChainError, DevNodeError, FaultError
from steembot.devnode.faults import KINDS, Fault, Faults, Scope, parse, table
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.recorded import RecordedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.conftest import GENESIS
from tests.devnode.test_server import devnode

TIMEOUT_S = 20
READY = 40
PROPERTIES = "condenser_api.get_dynamic_global_properties"


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def new_chain(clock, ready=READY, seed="faults", operations=3):
    source = GeneratedBlocks(seed, genesis_time=GENESIS, operations=operations)
    return Chain(source, start=clock(), ready=ready)


@contextmanager
def running(clock=None, **settings):
    """A node whose clock stands still, or is the test's."""
    clock = clock or Clock()
    with in_thread(DevNode(new_chain(clock), clock=clock, **settings)) as node:
        yield node


@pytest.fixture(scope="module")
def shared():
    with running() as node:
        yield node


@pytest.fixture
def node(shared):
    """A node with 40 blocks; after each test, clearing its faults makes it healthy."""
    yield shared
    shared.faults.clear()
    assert shared.faults.active == ()
    assert healthy(shared.url)


def healthy(url):
    """Whether a node announces its head, has all blocks and answers batches."""
    batch = [call("condenser_api.get_block", [num]) for num in (1, READY)]
    one, last = (each["result"] for each in answer_to(url, batch))
    properties = ask(url, PROPERTIES)
    return (
        properties["head_block_number"] == READY
        and properties["head_block_id"] == last["block_id"]
        and one["block_id"].startswith("00000001")
    )


def call(method, params=(), request_id=1):
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}


def connection_to(url, timeout=TIMEOUT_S, context=None):
    parts = urlsplit(url)
    if parts.scheme == "https":
        return closing(HTTPSConnection(parts.netloc, timeout=timeout, context=context))
    return closing(HTTPConnection(parts.netloc, timeout=timeout))


def exchange(url, body, *, method="POST", path="/", **settings):
    """Response and body of one request on a connection of its own."""
    with connection_to(url, **settings) as connection:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response, response.read()


def answer_to(url, request, **settings):
    """The parsed answer to a request or a batch."""
    response, body = exchange(url, json.dumps(request), **settings)
    assert response.status == 200
    return json.loads(body)


def ask(url, method, params=()):
    """The result of one call, or its error."""
    answer = answer_to(url, call(method, params))
    return answer["result"] if "result" in answer else answer["error"]


def head_of(url):
    return ask(url, PROPERTIES)["head_block_number"]


def block_of(url, num):
    return ask(url, "condenser_api.get_block", [num])


def appbase_block(url, num):
    request = {"jsonrpc": "2.0", "id": 1, "method": "block_api.get_block"}
    return answer_to(url, request | {"params": {"block_num": num}})["result"]


def is_cut(connection):
    """Whether the other end has closed a connection on which nothing is under way."""
    try:
        return connection.sock.recv(1) == b""
    except OSError:
        return True


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "not within time"
        time.sleep(0.01)


def recorded(chaindata):
    with (chaindata / "rpc" / "failures.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


# ---- HTTP


@pytest.mark.parametrize(
    ("fault", "status", "reason", "server", "said"),
    [
        ("http-403", 403, "Forbidden", "cloudflare", "403 Forbidden"),
        ("http-403:nginx", 403, "Forbidden", "nginx", "403 Forbidden"),
        ("http-413", 413, "Request Entity Too Large", "nginx", "413 Request Entity Too Large"),
        ("http-429", 429, "Too Many Requests", "nginx", "429 Too Many Requests"),
        ("http-500", 500, "Internal Server Error", "nginx", "500 Internal Server Error"),
        ("http-502", 502, "Bad Gateway", "nginx", "502 Bad Gateway"),
        ("http-502:cloudflare", 502, "Bad Gateway", "cloudflare", "502: Bad gateway"),
        ("http-503", 503, "Service Temporarily Unavailable", "nginx", "503 Service Temporarily"),
        ("http-504", 504, "Gateway Time-out", "nginx", "504 Gateway Time-out"),
    ],
)
def test_http_errors(node, fault, status, reason, server, said):
    """The status, its reason, and a page of HTML by who is in front."""
    node.faults.set(fault)
    response, body = exchange(node.url, json.dumps(call(PROPERTIES)))
    assert (response.status, response.reason) == (status, reason)
    assert response.headers["Server"] == server
    assert response.headers["Content-Type"].startswith("text/html")
    assert said in body.decode()
    assert ("Cf-Ray" in response.headers) == (server == "cloudflare")
    assert exchange(node.url, None, method="GET", path="/health")[0].status == status


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        ("http-429", "1"),
        ("http-429:30", "30"),
        ("http-429:0", None),
        ("http-503:7", "7"),
        ("http-503:0", None),
        ("http-502", None),
    ],
)
def test_retry_after(node, fault, seconds):
    """429 and 503 say when to come again; with 0 they don't."""
    node.faults.set(fault)
    response, _ = exchange(node.url, b"{}")
    assert response.headers["Retry-After"] == seconds


def without_version(text):
    return re.sub(r"nginx/[0-9.]+( \(Ubuntu\))?| bgcolor=\"white\"", "", text).replace("nginx", "")


@pytest.mark.parametrize(
    ("fault", "status"),
    [("http-403", 403), ("http-502", 502), ("http-504", 504), ("tls", 400)],
)
def test_pages_are_like_the_recorded_ones(node, chaindata, fault, status):
    """Byte for byte, save the server's version; with its kind of content."""
    node.faults.set(fault)
    response, body = exchange(node.url, b"{}")
    records = [each for each in recorded(chaindata) if each["http_status"] == status]
    (record,) = (each for each in records if len(each["response"]) < 1000)
    assert without_version(body.decode()) == without_version(record["response"])
    assert (response.status, response.reason) == (status, record["http_reason"])
    assert [response.headers["Content-Type"]] == record["response_headers"]["Content-Type"]


def test_cloudflares_own_page_is_like_the_recorded_one(node, chaindata):
    """Much shorter, with the same title, marks and headers."""
    node.faults.set("http-502:cloudflare")
    response, body = exchange(node.url, b"{}")
    records = [each for each in recorded(chaindata) if each["http_status"] == 502]
    (record,) = (each for each in records if len(each["response"]) > 1000)
    for mark in ('lang="en-US"', "| 502: Bad gateway</title>", 'id="cf-wrapper"', "Ray ID: "):
        assert mark in record["response"]
        assert mark in body.decode()
    for name in ("Content-Type", "Server", "Expires"):
        assert [response.headers[name]] == record["response_headers"][name]


def test_rate():
    """What exceeds N requests in a second gets 429, and counts no further itself."""
    clock = Clock()
    with running(clock, faults=["rate:5"]) as node:
        statuses = [exchange(node.url, b"{}")[0].status for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        clock.now += 1
        response, _ = exchange(node.url, b"{}")
        assert response.status == 200
        assert node.faults.struck("rate") == 2
        assert node.requests == 8


def test_plain_text(node, chaindata):
    """200 with a steemd exception that is no JSON, as one was recorded."""
    node.faults.set("plain-text")
    response, body = exchange(node.url, json.dumps(call(PROPERTIES)))
    assert response.status == 200
    said = body.decode().splitlines()[0]
    assert said == "11 eof_exception: End Of File"
    texts = [each["response"] for each in recorded(chaindata) if each["http_status"] == 200]
    assert any(isinstance(text, str) and text.startswith(said) for text in texts)


def test_a_request_that_is_too_large(node):
    """Nginx's 413, also without a fault."""
    response, body = exchange(node.url, b" " * (256 * 1024 + 1))
    assert response.status == 413
    assert b"413 Request Entity Too Large" in body


# ---- bodies


def test_empty_body(node):
    """200, JSON by its type, and nothing in it."""
    node.faults.set("empty-body")
    response, body = exchange(node.url, json.dumps(call(PROPERTIES)))
    assert (response.status, body) == (200, b"")
    assert response.headers["Content-Length"] == "0"
    assert response.headers["Content-Type"].startswith("application/json")


def test_truncated(node):
    """Half of the right JSON, but a whole answer for HTTP."""
    request = json.dumps(call("condenser_api.get_block", [7]))
    _, whole = exchange(node.url, request)
    node.faults.set("truncated")
    response, body = exchange(node.url, request)
    assert response.status == 200
    assert body == whole[: len(whole) // 2]


def test_reset(node):
    """The connection is reset in the middle of the body."""
    node.faults.set("reset")
    with connection_to(node.url) as connection:
        connection.request("POST", "/", json.dumps(call("condenser_api.get_block", [7])))
        with pytest.raises((ConnectionResetError, IncompleteRead)):
            connection.getresponse().read()


def test_reset_is_a_reset(node):
    """Not the orderly end of a connection, which clients may take for a short answer."""
    node.faults.set("reset")
    parts = urlsplit(node.url)
    body = json.dumps(call("condenser_api.get_block", [7])).encode()
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT_S) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        with pytest.raises(ConnectionResetError):
            deque(iter(lambda: sock.recv(65536), b""), maxlen=0)


def test_hang(node):
    """The request is taken and never answered, even when the fault is over; a later one is."""
    node.faults.set("hang,times:1")
    with connection_to(node.url, timeout=0.3) as connection:
        connection.request("POST", "/", json.dumps(call(PROPERTIES)))
        with pytest.raises(TimeoutError):
            connection.getresponse()
    assert head_of(node.url) == READY


def test_hang_ends_with_the_node():
    """A node with hanging requests stops at once."""
    with ExitStack() as stack:
        node = stack.enter_context(running(faults=["hang"]))
        connection = HTTPConnection(urlsplit(node.url).netloc, timeout=TIMEOUT_S)
        connection.request("POST", "/", json.dumps(call(PROPERTIES)))
        wait_until(lambda: node.faults.struck("hang"))
        end = time.monotonic()
        stack.close()
        assert time.monotonic() - end < 5
        with pytest.raises((ConnectionResetError, RemoteDisconnected)):
            connection.getresponse()


def test_drip(node):
    """One byte at a time of the right body."""
    node.faults.set("drip:30")
    with connection_to(node.url) as connection:
        connection.request("POST", "/", json.dumps(call(PROPERTIES)))
        response = connection.getresponse()
        assert int(response.headers["Content-Length"]) > 500
        start = time.monotonic()
        assert [response.read(1) for _ in range(8)] == [b"%c" % each for each in b'{"jsonrp']
        assert time.monotonic() - start >= 6 * 0.03


def test_drip_is_one_byte_a_second():
    """Unless told otherwise."""
    assert parse("drip").arguments == (1000,)


def test_latency(node):
    """That many milliseconds later, and right."""
    node.faults.set("latency:150")
    start = time.monotonic()
    assert head_of(node.url) == READY
    assert time.monotonic() - start >= 0.15


# ---- connections


def test_refuse(node):
    """Open connections end, new ones are refused; then it listens on the same port again."""
    with connection_to(node.url) as kept:
        kept.request("POST", "/", json.dumps(call(PROPERTIES)))
        assert kept.getresponse().read()
        node.faults.set("refuse")
        for _ in range(2):
            with connection_to(node.url) as connection, pytest.raises(ConnectionRefusedError):
                connection.connect()
        assert is_cut(kept)
    node.faults.clear("refuse")
    assert head_of(node.url) == READY


def test_refuse_keeps_the_port(node):
    """Nobody else gets it in the meantime."""
    node.faults.set("refuse")
    parts = urlsplit(node.url)
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind((parts.hostname, parts.port))


def test_refuse_ends_by_itself():
    """When its time is over, without anybody asking."""
    clock = Clock()
    with running(clock, faults=["refuse,for:5"]) as node:
        with connection_to(node.url) as connection, pytest.raises(ConnectionRefusedError):
            connection.connect()
        clock.now += 5

        def listens():
            with connection_to(node.url) as connection:
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return False
                return True

        wait_until(listens)
        assert head_of(node.url) >= READY


@pytest.fixture(scope="module")
def by_tls():
    with running(https=True) as node:
        yield node


def trusting(node):
    return ssl.create_default_context(cafile=str(node.certificate))


def test_https(by_tls):
    """Works for who trusts the certificate; others see that nobody vouches for it."""
    assert by_tls.https_url.startswith("https://127.0.0.1:")
    answer = answer_to(by_tls.https_url, call(PROPERTIES), context=trusting(by_tls))
    assert answer["result"]["head_block_number"] == READY
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self.signed"):
        exchange(by_tls.https_url, b"{}", context=ssl.create_default_context())
    assert healthy(by_tls.url)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("tls", ssl.SSLError),
        ("tls:garbage", ssl.SSLError),
        ("tls:close", (ssl.SSLError, ConnectionResetError)),
        ("tls:silent", TimeoutError),
    ],
)
def test_tls(by_tls, fault, seen):
    """Handshakes fail; plain HTTP is told to use HTTPS; both are well afterwards."""
    context = trusting(by_tls)
    with connection_to(by_tls.https_url, context=context) as kept:
        kept.request("POST", "/", json.dumps(call(PROPERTIES)))
        assert kept.getresponse().read()
        by_tls.faults.set(fault)
        with pytest.raises(seen):
            exchange(by_tls.https_url, b"{}", context=context, timeout=0.5)
        assert is_cut(kept)
    response, body = exchange(by_tls.url, b"{}")
    assert response.status == 400
    assert b"The plain HTTP request was sent to HTTPS port" in body
    by_tls.faults.clear()
    assert answer_to(by_tls.https_url, call(PROPERTIES), context=context)["result"]
    assert healthy(by_tls.url)


def test_the_certificate_goes_with_the_node():
    """Nothing is left of key and certificate."""
    with running(https=True) as node:
        folder = Path(node.certificate).parent
        assert folder.exists()
    assert not folder.exists()


# ---- JSON-RPC errors


def without_ids(error):
    return {
        key: sorted(value) if isinstance(value, dict) else value for key, value in error.items()
    }


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("internal-error", -32603, "Internal Error"),
        ("request-timeout", 1000, "Request Timeout"),
        ("upstream-error", 1100, "Upstream response error"),
        ("database-lock", -32003, "Unable to acquire database lock"),
        ("server-error", -32000, "Server error"),
    ],
)
def test_json_rpc_errors(node, chaindata, fault, code, message):
    """200 with an error object, as recorded; with the request's id."""
    node.faults.set(fault)
    answer = answer_to(node.url, call(PROPERTIES, request_id=77))
    assert answer["jsonrpc"] == "2.0"
    assert answer["id"] == 77
    assert "result" not in answer
    error = answer["error"]
    assert (error["code"], error["message"]) == (code, message)
    answers = [each["response"] for each in recorded(chaindata)]
    errors = [without_ids(each["error"]) for each in answers if isinstance(each, dict)]
    if fault == "upstream-error":  # from jussi's source, where it is a sister of the first two
        assert sorted(error["data"]) == ["error_id", "jussi_request_id"]
    else:
        assert without_ids(error) in errors


@pytest.mark.parametrize("fault", ["internal-error", "request-timeout", "upstream-error"])
def test_jussis_errors_are_one_for_a_batch(node, fault):
    """A single object with id null in place of the list."""
    node.faults.set(fault)
    answer = answer_to(node.url, [call(PROPERTIES, request_id=each) for each in (1, 2)])
    assert answer["id"] is None
    assert "result" not in answer


def test_bad_batch(node):
    """A batch becomes a single error object; single calls are well."""
    node.faults.set("bad-batch")
    answer = answer_to(node.url, [call(PROPERTIES, request_id=each) for each in (1, 2)])
    assert (answer["id"], answer["error"]["code"]) == (None, -32603)
    assert head_of(node.url) == READY
    assert node.faults.struck("bad-batch") == 1


def test_batch_limit(node):
    """Above it one error, up to it answers."""
    node.faults.set("batch-limit:3")
    calls = [call("condenser_api.get_block", [num], num) for num in range(1, 5)]
    answer = answer_to(node.url, calls)
    assert answer["error"]["code"] == 1600
    assert answer["error"]["message"] == "JSONRPC batch size of 4 exceeds 3"
    assert len(answer_to(node.url, calls[:3])) == 3


@pytest.mark.parametrize("fault", ["database-lock@0.5", "server-error@0.5"])
def test_errors_of_single_calls(node, fault):
    """Some calls of a batch fail and the others don't; the seed decides which."""
    calls = [call("condenser_api.get_block", [num], num) for num in range(1, 41)]
    failed = []
    for _ in range(2):
        node.faults.set(fault)
        answers = answer_to(node.url, calls)
        assert [each["id"] for each in answers] == list(range(1, 41))
        failed.append([each["id"] for each in answers if "error" in each])
    assert failed[0] == failed[1]
    assert 5 < len(failed[0]) < 35


# ---- the chain


def test_missing_block_in_condenser(node):
    """The head is announced, its block is null; the one before is there."""
    node.faults.set("missing-block")
    assert head_of(node.url) == READY
    assert block_of(node.url, READY) is None
    assert ask(node.url, "condenser_api.get_block_header", [READY]) is None
    assert ask(node.url, "condenser_api.get_ops_in_block", [READY, False]) == []
    assert block_of(node.url, READY - 1)["block_id"]


def test_missing_block_in_block_api(node):
    """An empty object there; for as many blocks as told."""
    node.faults.set("missing-block:3")
    assert [appbase_block(node.url, READY - back) for back in range(3)] == [{}] * 3
    assert appbase_block(node.url, READY - 3)["block"]["block_id"]


def test_missing_block_appears():
    """It is there once it is no longer one of the newest, or when the time is over."""
    clock = Clock()
    with running(clock, faults=["missing-block:1,for:10"]) as node:
        assert block_of(node.url, READY) is None
        clock.now += 9
        head = head_of(node.url)
        assert head > READY
        assert block_of(node.url, READY)["block_id"]
        assert block_of(node.url, head) is None
        clock.now += 1
        assert block_of(node.url, head)["block_id"]


def test_hole(node):
    """Blocks in the middle that are never there."""
    node.faults.set("hole:10:12")
    blocks = [block_of(node.url, num) for num in range(9, 14)]
    assert [bool(block) for block in blocks] == [True, False, False, False, True]
    node.faults.set("hole:20")
    assert [bool(block_of(node.url, num)) for num in (12, 19, 20, 21)] == [True, True, False, True]


def test_missing_virtual(node):
    """get_ops_in_block is empty at the head; the blocks are there."""
    node.faults.set("missing-virtual:2")
    for num in (READY, READY - 1):
        assert ask(node.url, "condenser_api.get_ops_in_block", [num, True]) == []
        assert ask(node.url, "condenser_api.get_ops_in_block", [num, False]) == []
        assert block_of(node.url, num)["block_id"]
    assert ask(node.url, "condenser_api.get_ops_in_block", [READY - 2, True])


def test_stale_head(node):
    """Head, irreversible block and time are behind, and newer blocks are not there."""
    now = ask(node.url, PROPERTIES)
    node.faults.set("stale-head:10")
    then = ask(node.url, PROPERTIES)
    assert then["head_block_number"] == READY - 10
    assert then["last_irreversible_block_num"] == now["last_irreversible_block_num"] - 10
    assert then["time"] < now["time"]
    assert block_of(node.url, READY - 10)["block_id"] == then["head_block_id"]
    assert block_of(node.url, READY - 9) is None
    assert appbase_block(node.url, READY) == {}


def test_stale_head_by_more_than_there_is(node):
    """Then the oldest block is the head."""
    node.faults.set("stale-head")
    properties = ask(node.url, PROPERTIES)
    assert (properties["head_block_number"], properties["last_irreversible_block_num"]) == (1, 1)


def test_frozen_head():
    """It stays where it was when the fault was set, then jumps to where it ought to be."""
    clock = Clock()
    with running(clock) as node:
        clock.now += 30
        frozen = head_of(node.url)
        node.faults.set("frozen-head")
        clock.now += 60
        assert head_of(node.url) == frozen
        assert block_of(node.url, frozen + 1) is None
        node.faults.clear()
        assert head_of(node.url) > frozen + 10
        assert block_of(node.url, frozen + 1)["block_id"]


def test_frozen_head_from_the_start():
    """As an option it freezes what is there at start."""
    clock = Clock()
    with running(clock, faults=["frozen-head"]) as node:
        clock.now += 60
        assert head_of(node.url) == READY


def test_head_back_once(node):
    """One answer has a lower head, with an id that fits; all blocks are there."""
    node.faults.set("head-back:3")
    assert block_of(node.url, READY)["block_id"]  # does not ask for the head, does not count
    back = ask(node.url, PROPERTIES)
    assert back["head_block_number"] == READY - 3
    assert back["head_block_id"] == block_of(node.url, READY - 3)["block_id"]
    assert [head_of(node.url) for _ in range(3)] == [READY] * 3
    assert node.faults.active == ()


def test_head_back_flaps(node):
    """Every second answer has a lower head."""
    node.faults.set("head-back:1:flap")
    assert [head_of(node.url) for _ in range(4)] == [READY - 1, READY] * 2


def test_a_backend_that_is_behind(node):
    """A share of a stale head: as behind a load balancer."""
    node.faults.set("stale-head:5@0.5")
    assert {head_of(node.url) for _ in range(30)} == {READY, READY - 5}


def is_linked(blocks):
    return all(later["previous"] == earlier["block_id"] for earlier, later in pairwise(blocks))


def verified(block, num):
    """Whether id, merkle root and transaction ids of a block_api block are those of its content."""
    signed = []
    for transaction, transaction_id in zip(
        block["transactions"], block["transaction_ids"], strict=True
    ):
        data = serialize.transaction(transaction)
        if serialize.transaction_id(data) != transaction_id:
            return False
        signed.append(serialize.signed_transaction(data, transaction["signatures"]))
    root = serialize.merkle_root(signed)
    seconds = serialize.timestamp_seconds(block["timestamp"])
    header = serialize.header(block["previous"], seconds, block["witness"], root)
    return (root, serialize.block_id(header, block["witness_signature"], num)) == (
        block["transaction_merkle_root"],
        block["block_id"],
    )


def test_fork_from():
    """Two nodes of one seed share their blocks up to a number; from there on each is a chain."""
    clock = Clock()
    with running(clock) as one, running(clock, faults=["fork-from:30"]) as two:
        clock.now += 60
        head = head_of(one.url)
        assert head_of(two.url) == head > READY
        blocks = [[block_of(url, n) for n in range(25, head + 1)] for url in (one.url, two.url)]
        assert all(is_linked(each) for each in blocks)
        same = [a["block_id"] == b["block_id"] for a, b in zip(*blocks, strict=True)]
        assert same == [True] * 6 + [False] * (head - 30)
        properties = ask(two.url, PROPERTIES)
        assert properties["head_block_id"] == blocks[1][-1]["block_id"]
        assert properties["last_irreversible_block_num"] == min(
            30, ask(one.url, PROPERTIES)["last_irreversible_block_num"]
        )
        for num in (31, head):
            assert verified(appbase_block(two.url, num)["block"], num)
        two.faults.clear()
        assert [block_of(two.url, n) for n in range(25, head + 1)] == blocks[0]


def test_forks_of_one_name_agree():
    """Whenever they began: seed, number and name decide; another name is another branch."""
    clock = Clock()
    with running(clock, faults=["fork-from:50:a"]) as one, running(clock) as two:
        clock.now += 30
        assert block_of(one.url, 45) == block_of(two.url, 45)
        clock.now += 60
        head = head_of(one.url)
        assert head > 55
        two.faults.set("fork-from:50:a")
        blocks = [block_of(one.url, n) for n in range(48, head + 1)]
        assert [block_of(two.url, n) for n in range(48, head + 1)] == blocks
        two.faults.set("fork-from:50:b")
        assert block_of(two.url, 50) == blocks[2]
        assert block_of(two.url, 51)["block_id"] != blocks[3]["block_id"]


def test_fork_from_what_is_gone():
    """A block that is no longer held cannot be the common one, nor can recorded blocks fork."""
    clock = Clock()
    source = GeneratedBlocks("faults", genesis_time=GENESIS, operations=1)
    chain = Chain(source, start=clock(), ready=60, keep=20)
    with in_thread(DevNode(chain, clock=clock)) as node:
        with pytest.raises(ChainError, match="oldest block held is 41"):
            node.faults.set("http-502", "fork-from:40")
        assert node.faults.active == ()  # all or none
        node.faults.set("fork-from:41")
        branch = block_of(node.url, 42)
        with pytest.raises(ChainError):
            node.faults.set("fork-from:41:other", "fork-from:40")
        assert block_of(node.url, 42) == branch
        clock.now += 150
        head = head_of(node.url)
        assert head > 100
        assert block_of(node.url, head)["block_id"] != chain.block(head).id


def test_recorded_blocks_have_no_other_branch(chaindata):
    """That is said when the fault is set; other lies about them are possible."""
    blocks = RecordedBlocks(chaindata / "blocks" / "steem_2017_2020.chain.jsonl")
    chain = Chain(blocks, start=0.0, ready=45, interval_s=0, keep=None)
    with in_thread(DevNode(chain)) as node:
        with pytest.raises(ChainError, match="recorded blocks have no other branch"):
            node.faults.set("fork-from:30000001")
        true = block_of(node.url, 30_000_040)
        node.faults.set("other-block:30000040")
        assert block_of(node.url, 30_000_040)["block_id"] != true["block_id"]
        node.faults.set("altered-block:30000040")
        node.faults.clear("other-block")
        lie = block_of(node.url, 30_000_040)
        assert lie["block_id"] == true["block_id"]
        assert lie != true


def test_wrong_chain(node):
    """Config and version name another chain; get back to one's own by clearing."""
    node.faults.set("wrong-chain")
    wrong = "beeab0de" + "0" * 56
    assert ask(node.url, "condenser_api.get_config")["STEEM_CHAIN_ID"] == wrong
    request = call("database_api.get_version") | {"params": {}}
    assert answer_to(node.url, request)["result"]["chain_id"] == wrong
    node.faults.set(f"wrong-chain:{'ab' * 32}")
    assert ask(node.url, "condenser_api.get_config")["STEEM_CHAIN_ID"] == "ab" * 32
    node.faults.clear()
    assert ask(node.url, "condenser_api.get_config")["STEEM_CHAIN_ID"] == "0" * 64


def operations(block):
    return [each for transaction in block["transactions"] for each in transaction["operations"]]


def test_altered_block(node):
    """The same id and header, but one operation is another."""
    true = [block_of(node.url, num) for num in range(20, 31)]
    busy = next(block for block in true if operations(block))
    num = serialize.block_num(busy["block_id"])
    node.faults.set(f"altered-block:{num}")
    lie = block_of(node.url, num)
    changed = [
        (one, two) for one, two in zip(operations(busy), operations(lie), strict=True) if one != two
    ]
    assert len(changed) == 1
    assert "mallory" in changed[0][1][1].values()
    assert lie | {"transactions": []} == busy | {"transactions": []}
    assert not verified(appbase_block(node.url, num)["block"], num)
    node.faults.set("altered-block")
    assert [block_of(node.url, n)["block_id"] for n in range(20, 31)] == [
        block["block_id"] for block in true
    ]
    differ = [operations(block_of(node.url, n)) for n in range(20, 31)]
    assert all(a != operations(b) for a, b in zip(differ, true, strict=True) if operations(b))


def test_other_block(node):
    """A different id, which is right for what is in it; it follows the same block."""
    num = next(n for n in range(20, READY) if operations(block_of(node.url, n)))
    true = appbase_block(node.url, num)["block"]
    node.faults.set(f"other-block:{num}")
    lie = appbase_block(node.url, num)["block"]
    assert lie["block_id"] != true["block_id"]
    assert lie["previous"] == true["previous"]
    assert lie["transactions"] != true["transactions"]
    assert verified(true, num)
    assert verified(lie, num)
    assert block_of(node.url, num)["block_id"] == lie["block_id"]
    assert block_of(node.url, num + 1)["previous"] == true["block_id"]


def test_other_block_at_the_head():
    """Without a number it is always the newest one, which is announced by its wrong id."""
    clock = Clock()
    with running(clock) as node:
        true = block_of(node.url, READY)["block_id"]
        node.faults.set("other-block")
        properties = ask(node.url, PROPERTIES)
        assert properties["head_block_id"] == block_of(node.url, READY)["block_id"] != true
        clock.now += 30
        assert block_of(node.url, READY)["block_id"] == true
        head = ask(node.url, PROPERTIES)
        assert block_of(node.url, head["head_block_number"])["block_id"] == head["head_block_id"]


def test_faults_of_the_chain_add_up():
    """A stale node on another branch that lacks its newest blocks."""
    with running(faults=["missing-block:2", "fork-from:10", "stale-head:5"]) as node:
        assert head_of(node.url) == READY - 5
        found = [bool(block_of(node.url, READY - back)) for back in range(4, 9)]
        assert found == [False, False, False, True, True]
        assert block_of(node.url, 11)["block_id"] != node.chain.block(11).id


# ---- when they strike


def new_faults(clock=None, **settings):
    return Faults(clock=clock or Clock(), **settings)


def strikes(faults, count=200):
    return [faults.plan(b"{}").answer is not None for _ in range(count)]


def test_share_is_drawn_from_the_seed():
    """The same seed draws the same requests, whatever else is on; another one others."""
    faults, also, other = new_faults(seed=1), new_faults(seed=1), new_faults(seed=2)
    for each in (faults, other):
        each.set("http-502@0.2")
    also.set("hang@0.3", "latency:1@0.4", "http-502@0.2")
    drawn = strikes(faults)
    assert 15 < sum(drawn) < 65
    assert strikes(other) != drawn
    also_drawn = [also.plan(b"{}").answer for _ in drawn]
    assert [also_drawn[i] is not None for i, struck in enumerate(drawn) if struck] == [True] * sum(
        drawn
    )


def test_times_and_for():
    """Ended by what comes first; setting it again begins anew."""
    clock = Clock()
    faults = new_faults(clock)
    faults.set("http-502,times:3")
    assert strikes(faults, 5) == [True] * 3 + [False] * 2
    assert faults.active == ()
    faults.set("http-502,for:2.5,times:3")
    assert strikes(faults, 1) == [True]
    clock.now += 2.5
    assert strikes(faults, 1) == [False]
    faults.set("http-502,times:3")
    assert strikes(faults, 4) == [True] * 3 + [False]
    assert faults.struck("http-502") == 7


def test_the_one_set_first_answers():
    """One of several answers; the others wait for their turn."""
    faults = new_faults()
    faults.set("hang,times:2", "http-502")
    names = [faults.plan(b"{}").answer.name for _ in range(4)]
    assert names == ["hang", "hang", "http-502", "http-502"]
    assert faults.struck("http-502") == 2


def test_a_share_over_http(node):
    """About a fifth of the requests fail, the rest is well."""
    node.faults.set("http-502@0.2")
    with connection_to(node.url) as connection:
        statuses = []
        for _ in range(100):
            connection.request("POST", "/", json.dumps(call(PROPERTIES)))
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    assert set(statuses) == {200, 502}
    assert 5 < statuses.count(502) < 40


def test_clear_one_of_several(node):
    """The others stay on."""
    node.faults.set("latency:1", "http-502", "internal-error")
    node.faults.clear("http-502")
    assert node.faults.active == (parse("latency:1"), parse("internal-error"))
    assert ask(node.url, PROPERTIES)["code"] == -32603


def test_switched_in_the_event_loop():
    """Also from the node's own thread."""

    async def run():
        clock = Clock()
        async with (
            DevNode(new_chain(clock), clock=clock) as node,
            aiohttp.ClientSession() as session,
        ):
            node.faults.set("http-502")
            async with session.post(node.url, json=call(PROPERTIES)) as response:
                assert response.status == 502
            node.faults.set("refuse")
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.post(node.url, json=call(PROPERTIES))
            node.faults.clear()
            async with session.post(node.url, json=call(PROPERTIES)) as response:
                assert response.status == 200

    asyncio.run(run())


# ---- how they are written


@st.composite
def faults_as_asked_for(draw):
    kind = draw(st.sampled_from(KINDS))
    arguments = []
    for parameter in kind.parameters:
        if parameter.choices:
            value = st.sampled_from(parameter.choices)
        elif parameter.name == "ID":
            value = st.text("0123456789abcdef", min_size=64, max_size=64)
        elif parameter.pattern:
            value = st.text(string.ascii_lowercase + "-", min_size=1, max_size=32)
        elif kind.name == "hole" and arguments:
            value = st.integers(arguments[0], parameter.most)
        else:
            value = st.integers(parameter.least, parameter.most)
        arguments.append(draw(st.none() | value if parameter.optional else value))
    on_connections = kind.scope is Scope.CONNECTION
    millionths = st.integers(1, 10**6).map(lambda number: number / 10**6)
    return Fault(
        kind.name,
        tuple(arguments),
        1.0 if on_connections else draw(st.just(1.0) | millionths),
        draw(st.none() | st.integers(1, 10**15).map(lambda number: number / 10**6)),
        None if on_connections else draw(st.none() | st.integers(1, 2**32 - 1)),
    )


@given(faults_as_asked_for())
def test_what_is_written_is_read_back(fault):
    """`str` of a fault is a fault again, the same one."""
    assert parse(str(fault)) == fault


def said_about(text):
    """What is wrong with a text as a fault, or nothing."""
    try:
        parse(text)
    except DevNodeError as error:
        return str(error)
    return ""


@given(st.text() | st.text("httprefusdly-:@,.0123456789forims", max_size=30))
def test_rubbish_is_one_clear_line(text):
    """Any text is a fault or one line about what is wrong with it."""
    said = said_about(text)
    if said:
        assert len(said.splitlines()) == 1
        assert said.startswith("fault ")
    else:
        assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "fault", "shortest"),
    [
        ("http-502", Fault("http-502", ("nginx",)), "http-502"),
        ("http-502:nginx", Fault("http-502", ("nginx",)), "http-502"),
        ("http-502@0.20", Fault("http-502", ("nginx",), 0.2), "http-502@0.2"),
        (" http-503:30 ", Fault("http-503", (30,)), "http-503:30"),
        ("hang@1,for:2.50", Fault("hang", (), 1.0, 2.5), "hang,for:2.5"),
        ("hang,times:3,for:1", Fault("hang", (), 1.0, 1.0, 3), "hang,for:1,times:3"),
        ("hole:7", Fault("hole", (7, None)), "hole:7"),
        ("fork-from:9", Fault("fork-from", (9, "fork")), "fork-from:9"),
        ("head-back:1:flap", Fault("head-back", (1, "flap")), "head-back:1:flap"),
    ],
)
def test_what_a_text_means(text, fault, shortest):
    """With defaults filled in, and left out again."""
    assert parse(text) == fault
    assert str(fault) == shortest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no fault ''"),
        ("htp-502", "did you mean http-502"),
        ("HTTP-502", "did you mean http-502"),
        ("frozen", "did you mean frozen-head"),
        ("zzz", "`--fault list` shows them all"),
        ("http-502:apache", "PAGE 'apache' is not nginx or cloudflare"),
        ("http-502:nginx:5", "too many arguments; it is written http-502[:PAGE]"),
        ("latency", "MS is missing, a whole number from 1 to 3600000; it is written latency:MS"),
        ("latency:-1", "MS '-1' is not a whole number from 1 to 3600000"),
        ("latency:²", "MS '²' is not a whole number"),
        ("http-502@0", "share '0' is not a number above 0 and up to 1"),
        ("http-502@1.1", "share '1.1' is not"),
        ("http-502@", "share '' is not"),
        ("http-502@0.2@0.3", "share '0.2@0.3' is not"),
        ("http-502,for:0", "for '0' is not seconds above 0"),
        ("http-502,times:0", "times '0' is not a whole number from 1"),
        ("http-502,times:1.5", "times '1.5' is not"),
        ("http-502,for:1,for:2", "'for:2' is not for:SECONDS or times:N, each at most once"),
        ("http-502,until:5", "'until:5' is not for:SECONDS or times:N"),
        ("refuse@0.5", "refuse takes no @SHARE"),
        ("tls,times:2", "tls takes no times"),
        ("hole:5:4", "LAST 4 is below NUM 5"),
        ("wrong-chain:xyz", "ID 'xyz' is not text like [0-9a-f]{64}"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text, said):
    """What is wrong and what is allowed; the closest names for one that is none."""
    with pytest.raises(FaultError, match=re.escape(said)) as raised:
        parse(text)
    assert raised.value.text == text


def test_a_fault_that_was_put_together_is_checked(node):
    """As if it had been written."""
    with pytest.raises(FaultError, match=r"share '1\.5' is not"):
        node.faults.set(Fault("hang", (), 1.5))
    with pytest.raises(FaultError, match="did you mean http-502"):
        node.faults.clear("http-52")


# ---- the control endpoint and the command


def control(url, method, name="", body=None):
    response, text = exchange(url, body, method=method, path=f"/faults{name}")
    return response.status, json.loads(text)


def test_control(node):
    """See, set, and clear one or all over HTTP, untouched by the faults themselves."""
    before = node.requests
    status, state = control(node.url, "GET")
    assert (status, state["active"]) == (200, [])
    assert [each["fault"] for each in state["known"]] == [kind.usage for kind in KINDS]
    status, state = control(node.url, "POST", body="hang\n\n  http-502@0.2,for:30\n")
    assert status == 200
    assert state["active"] == [
        {"fault": "hang", "struck": 0, "left_s": None},
        {"fault": "http-502@0.2,for:30", "struck": 0, "left_s": 30.0},
    ]
    status, state = control(node.url, "DELETE", "/hang")
    assert [each["fault"] for each in state["active"]] == ["http-502@0.2,for:30"]
    assert control(node.url, "DELETE")[1]["active"] == []
    assert node.requests == before
    assert healthy(node.url)


@pytest.mark.parametrize(
    ("method", "name", "body", "said"),
    [
        ("POST", "", "http-502\nhtp-503", "fault 'htp-503': there is no fault 'htp-503'; did you"),
        ("POST", "", " \n", "one fault a line"),
        ("POST", "", "\xff\xfe", "there is no fault"),
        ("POST", "", "fork-from:4000000\nhole:9:1", "LAST 1 is below NUM 9"),
        ("DELETE", "/htp-502", None, "did you mean http-502"),
    ],
)
def test_control_refuses(node, method, name, body, said):
    """400 with one line, and nothing is changed."""
    status, answer = control(node.url, method, name, body and body.encode("latin-1"))
    assert status == 400
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert node.faults.active == ()


def test_control_says_that_it_will_refuse(node):
    """The request that sets `refuse` is still answered."""
    status, state = control(node.url, "POST", body="refuse")
    assert (status, state["active"][0]["fault"]) == (200, "refuse")
    with connection_to(node.url) as connection, pytest.raises(ConnectionRefusedError):
        connection.connect()


LINE = re.compile(r"steembot-devnode: (http://\S+) block 1 to 5, (https://\S+) certificate (\S+)\n")


def test_command():
    """Options set faults from the start; HTTP and SIGUSR1 switch them; --https adds a port."""
    options = ("--generate", "1", "--ops", "1", "--ready", "5", "--https")
    with devnode(*options, "--fault", "http-502", "--fault", "latency:1") as (process, line):
        url, https_url, certificate = LINE.fullmatch(line).groups()
        assert exchange(url, b"{}")[0].status == 502
        assert control(url, "DELETE", "/http-502")[0] == 200
        assert head_of(url) >= 5
        context = ssl.create_default_context(cafile=certificate)
        assert answer_to(https_url, call(PROPERTIES), context=context)["result"]
        control(url, "POST", body="refuse")
        with connection_to(url) as connection, pytest.raises(ConnectionRefusedError):
            connection.connect()
        process.send_signal(signal.SIGUSR1)

        def answers():
            try:
                return exchange(url, b"{}")[0].status == 200
            except ConnectionRefusedError:
                return False

        wait_until(answers)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "faults: http-502, latency:1\n" in err
    assert "faults: latency:1, refuse\n" in err
    assert "faults: none\n" in err
    assert "Traceback" not in err
    assert not Path(certificate).exists()


@pytest.mark.parametrize("option", [("--fault", "list"), ("--faults",)])
def test_command_lists_the_faults(option):
    """One line each, without needing a chain."""
    command = [sys.executable, "-m", "steembot.devnode", *option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stdout == table() + "\n"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("htp-502", "fault 'htp-502': there is no fault 'htp-502'; did you mean http-502"),
        ("fork-from:0", "NUM '0' is not a whole number"),
    ],
)
def test_command_refuses(fault, said):
    """One line and exit 78."""
    with devnode("--generate", "1", "--fault", fault) as (process, line):
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, line) == (78, "")
    assert said in err
    assert len(err.splitlines()) == 1


# ---- documentation


def test_the_page_has_every_fault():
    """docs/faults.md tells the same names and deeds as the node itself."""
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
    _, _, page = page.partition("\n## The faults\n")
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.splitlines()
        if line.startswith("| `")
    ]
    told = {row[0]: row[1] for row in rows}
    assert told == {f"`{kind.usage}`": kind.what for kind in KINDS}
