"""How much a node is asked for at once: as much as it bears, and within memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steembot.chain.pace import MOST_REQUESTS, REQUEST_BYTES, Pace


def settle(pace: Pace, latency_s: float, block_s: float, rounds: int = 400) -> None:
    """Answer as a node does that works on one request after the other."""
    for _ in range(rounds):
        busy_s = pace.requests * pace.blocks * block_s
        pace.answered(pace.blocks, pace.blocks * 30_000, max(latency_s + busy_s / 2, busy_s))


def test_it_grows_to_what_the_latency_hides():
    """The longer the way, the more requests are under way; the size grows to the batch's limit."""
    near, far = Pace(50), Pace(50)
    settle(near, 0.0, 0.0004)
    settle(far, 0.2, 0.0004)
    assert near.blocks == far.blocks == 50
    assert near.requests < far.requests <= MOST_REQUESTS


def test_it_begins_quickly():
    """A node that is far away is asked for more at once after a few answers, not after hundreds."""
    pace = Pace(50)
    settle(pace, 0.2, 0.00004, rounds=12)
    assert pace.blocks == 50
    assert pace.requests >= 8


def test_only_whole_requests_tell_whether_there_are_too_many():
    """A short one is quicker for that alone; but where weight decides, no two are just alike."""
    counted, weighed = Pace(50), Pace(200)
    for pace in (counted, weighed):
        settle(pace, 0.2, 0.00004)
        assert pace.requests > 8
    assert counted.blocks == 50
    assert 50 < weighed.blocks < 100
    before = counted.requests
    for _ in range(200):
        counted.answered(49, 49 * 30_000, 2.0)
        weighed.answered(weighed.blocks - 5, (weighed.blocks - 5) * 30_000, 2.0)
    assert counted.requests == before
    assert weighed.requests < 5


def test_a_failure_halves_and_a_refusal_is_remembered():
    """After a timeout half is asked for; a batch limit is found out and kept."""
    pace = Pace(50)
    settle(pace, 0.1, 0.0004)
    requests = pace.requests
    pace.failed()
    assert pace.blocks == 25
    assert pace.requests <= requests // 2 + 1
    pace.refused(25)
    assert pace.blocks == 12
    settle(pace, 0.1, 0.0004, rounds=20)
    assert pace.blocks == 12


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("answered"), st.integers(1, 10**7), st.floats(0, 20)),
            st.just(("failed",)),
            st.just(("refused",)),
        ),
        max_size=100,
    )
)
def test_bounds_hold_whatever_happens(events):
    """One block and one request at least; never more than allowed, nor than fits into memory."""
    pace = Pace(50)
    for what, *values in events:
        if what == "answered":
            size_bytes, latency_s = values
            pace.answered(pace.blocks, size_bytes * pace.blocks, latency_s)
        elif what == "failed":
            pace.failed()
        else:
            pace.refused(pace.blocks)
        assert 1 <= pace.blocks <= 50
        assert 1 <= pace.requests <= MOST_REQUESTS
        assert pace.blocks == 1 or pace.blocks * pace.block_bytes <= REQUEST_BYTES
