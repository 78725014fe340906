"""Faults of connections: who is refused or fails a handshake, and that all is well afterwards."""

import json
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.devnode.client import (
    PROPERTIES,
    READY,
    TIMEOUT_S,
    Clock,
    answer_to,
    call,
    connection_to,
    exchange,
    head_of,
    healthy,
    is_cut,
    running,
)
from tests.support.waiting import wait_until


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
        timeout = 0.5 if seen is TimeoutError else TIMEOUT_S
        with pytest.raises(seen):
            exchange(by_tls.https_url, b"{}", context=context, timeout=timeout)
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
