"""What the devnode's tests run, and how they ask it over HTTP."""

import json
import subprocess
import sys
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.server import DevNode
from steembot.devnode.thread import in_thread
from tests.conftest import GENESIS

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


def recorded(chaindata):
    with (chaindata / "rpc" / "failures.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


@contextmanager
def devnode(*options):
    """Run the command; give its process and the first line it prints."""
    command = [sys.executable, "-m", "steembot.devnode", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
