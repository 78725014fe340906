"""The settings file that an installation brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from steembot import settings
from tests.system.conftest import REPOSITORY

EXAMPLE = REPOSITORY / "deploy/systemd/steembot.env"


@pytest.fixture
def shown() -> dict[str, str]:
    """Return the settings that the example shows, all commented out."""
    lines = EXAMPLE.read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)
    settings_shown = [line[1:] for line in lines if line.startswith("#STEEMBOT_")]
    return dict(line.split("=", 1) for line in settings_shown)


def test_shows_every_setting(shown: dict[str, str]) -> None:
    """No setting is missing from the example, and it shows none that isn't one."""
    assert set(shown) == set(settings._READERS)


def test_shows_the_defaults(shown: dict[str, str], tmp_path: Path) -> None:
    """Taking away every # changes nothing."""
    systemd = {"STATE_DIRECTORY": "/var/lib/steembot-broadcaster"}
    assert settings.load(shown, tmp_path) == settings.load(systemd, tmp_path)
