"""Fixtures for both ends of the feed."""

from __future__ import annotations

import logging

import pytest

from tests.feed.ends import Driven
from tests.feed.memory_chain import MemoryChain


@pytest.fixture
def chain():
    """A chain of three blocks."""
    chain = MemoryChain()
    chain.grow(("comment", "vote"), ("vote",), ("transfer", "comment"))
    return chain


@pytest.fixture
def driven(chain, tmp_path):
    """A server of that chain, which the test drives."""
    with Driven(chain, tmp_path / "feed.sock") as driven:
        yield driven


@pytest.fixture
def said(caplog):
    """What the server logged, as text."""
    caplog.set_level(logging.INFO, "steembot.feed.server")
    return lambda: [record.getMessage() for record in caplog.records]
