"""Open a session on a chain in memory, and read it."""

from __future__ import annotations

import pytest

from steembot.errors import FeedError
from steembot.feed import wire
from steembot.feed.session import Session

EVERYTHING = ("*",)


def subscribe(chain, after, *, types=EVERYTHING, mode="head", credit=wire.MAX_CREDIT) -> Session:
    """Open a session."""
    request = wire.Subscribe(wire.VERSION, "test", list(types), mode, str(after), credit)
    return Session(request, chain)


def read(session, steps=None) -> list[wire.Reply]:
    """Take what there is, or so many steps of it."""
    messages = []
    while steps is None or len(messages) < steps:
        step = session.next()
        if step is None:
            break
        session.take(step)
        messages.append(step.message)
    return messages


def refused(call) -> FeedError:
    """Return the error that a call ends in."""
    with pytest.raises(FeedError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value
