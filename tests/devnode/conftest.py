"""What the devnode's tests share."""

import pytest

from steembot.devnode.generate import GeneratedBlocks
from tests.conftest import GENESIS
from tests.devnode.client import healthy, running


@pytest.fixture(scope="session")
def generated():
    """The first 120 blocks of a generated chain: those that `still_node` has."""
    source = GeneratedBlocks("tests", genesis_time=GENESIS)
    return [source.next(source.slots_to_next()) for _ in range(120)]


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
