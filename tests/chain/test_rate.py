"""How often a node is asked, and what it demands itself."""

from __future__ import annotations

import re
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.chain.node import Node
from steembot.chain.rate import BURST, LONGEST_PAUSE_S, RateLimit, retry_after_s
from steembot.errors import NodeBusyError, NodeStatusError
from tests.support.scripted_http import http, raw, serving


@given(steps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200), rate=st.integers(1, 50))
def test_the_rate_is_kept(steps, rate):
    """Whatever comes when, never more than the burst and the rate allow in any second."""
    limit = RateLimit(rate, burst=5)
    now, sent = 100.0, []
    for step in steps:
        now += step
        sent.append(now + limit.reserve(now))
    assert sent == sorted(sent)
    for begin in sent:
        assert sum(begin <= each < begin + 1 - 1e-6 for each in sent) <= 5 + rate


def test_the_rate_can_be_changed():
    """From then on it is the new one; a pause that the node demanded stays."""
    limit = RateLimit(1)
    limit.pause(100.0, 60)
    assert [limit.reserve(100.0) for _ in range(BURST + 2)][-2:] == [1.0, 2.0]
    limit.change(100)
    waits = [limit.reserve(100.0) for _ in range(101)]
    assert waits[-1] - waits[0] == pytest.approx(1.0)
    assert limit.paused_s(110.0) == 50.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999999999", LONGEST_PAUSE_S),
        (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Wed, 99 Foo 2020 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    """Both forms of RFC 9110 are read, bounded, and anything else counts as not said."""
    assert retry_after_s(text, 1_000_000) == seconds


@given(st.text())
def test_no_retry_after_breaks_anything(text):
    """Any text gives a pause within bounds, or none."""
    seconds = retry_after_s(text, 1_000_000)
    assert seconds is None or 0 <= seconds <= LONGEST_PAUSE_S


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_node_that_wants_a_pause_gets_it(status):
    """After Retry-After no request leaves for so long, whoever wants to send it."""
    answer = f"HTTP/1.1 {status}\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n".encode()
    begun = time.monotonic()
    with serving(raw(answer)) as url:
        node = Node(url)
        with pytest.raises(NodeStatusError) as refused:
            node.head()
    assert refused.value.retry_after_s == 60
    with pytest.raises(NodeBusyError, match=r"wants no request for \d+ s more") as busy:
        node.head()  # nobody listens there any more
    left_s = int(re.findall(r"for (\d+) s", str(busy.value))[0])
    assert 59 - (time.monotonic() - begun) <= left_s <= 60


def test_other_statuses_demand_nothing():
    """A 502 is no demand for a pause."""
    with serving(http(b"", "502 Bad Gateway")) as url, pytest.raises(NodeStatusError) as refused:
        Node(url).head()
    assert refused.value.retry_after_s == 0
