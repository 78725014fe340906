"""What the devnode's tests share."""

import pytest

from steembot.devnode.generate import GeneratedBlocks
from tests.conftest import GENESIS


@pytest.fixture(scope="session")
def generated():
    """The first 120 blocks of a generated chain: those that `still_node` has."""
    source = GeneratedBlocks("tests", genesis_time=GENESIS)
    return [source.next(source.slots_to_next()) for _ in range(120)]
