"""Machines on which a test installs steembot itself, beside the one that has it already."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.conftest import boot
from tests.system.machine import Machine


@pytest.fixture(scope="module")
def bare() -> Iterator[Machine]:
    """Lend a machine on which steembot was never installed."""
    with boot() as machine:
        yield machine
