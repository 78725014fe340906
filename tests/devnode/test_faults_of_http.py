"""Faults of HTTP, over real HTTP: statuses, pages, bodies, and how slowly they come."""

import json
import re
import socket
import time
from collections import deque
from contextlib import ExitStack
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from urllib.parse import urlsplit

import pytest

from steembot.devnode.fault_notation import parse
from tests.devnode.client import (
    PROPERTIES,
    READY,
    TIMEOUT_S,
    Clock,
    call,
    connection_to,
    exchange,
    head_of,
    recorded,
    running,
)
from tests.support.waiting import wait_until

# ---- statuses and pages


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
    before = node.faults.struck("hang")
    with connection_to(node.url) as connection:
        connection.request("POST", "/", json.dumps(call(PROPERTIES)))
        wait_until(lambda: node.faults.struck("hang") > before)
        connection.sock.settimeout(0.3)
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
        assert time.monotonic() - end < TIMEOUT_S
        with pytest.raises((ConnectionResetError, RemoteDisconnected)):
            connection.getresponse()


def test_drip(node):
    """One byte at a time of the right body."""
    node.faults.set("drip:30")
    with connection_to(node.url) as connection:
        start = time.monotonic()
        connection.request("POST", "/", json.dumps(call(PROPERTIES)))
        response = connection.getresponse()
        assert int(response.headers["Content-Length"]) > 500
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
