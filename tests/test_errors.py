"""What errors say, and what they keep to themselves."""

from __future__ import annotations

import pytest

from steembot import settings
from steembot.errors import SettingsError, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:pw@api.example/rpc", "https://ann:***@api.example/rpc"),
        ("http://:pw@[::1]:8090", "http://:***@[::1]:8090"),
        ("https://ann:p@w:x@api.example", "https://ann:***@api.example"),
        (
            "http://a:1@b.example,http://c:2@d.example",
            "http://a:***@b.example,http://c:***@d.example",
        ),
        ("https://api.example:443/a:b@c", "https://api.example:443/a:b@c"),
        ("https://ann@api.example", "https://ann@api.example"),
        ("no URL, ann:pw@host", "no URL, ann:pw@host"),
    ],
)
def test_a_password_in_a_url_is_not_shown(text, shown):
    """It alone is replaced: the user's name, a port and a path stay."""
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STEEMBOT_NODES", "wss://ann:s3cret@api.example"),
        ("STEEMBOT_NODES", "https://ann:s3cret@api.example:port"),
        ("STEEMBOT_NODES", "https://ann:s3cret@a.example,https://ann:s3cret2@a.example"),
        ("STEEMBOT_NODE", "https://ann:s3cret@api.example"),
    ],
)
def test_a_wrong_setting_does_not_show_a_password(tmp_path, name, value):
    """Whatever is wrong with it, also its name."""
    with pytest.raises(SettingsError) as caught:
        settings.load({name: value}, tmp_path)
    assert "ann:***@" in str(caught.value)
    assert "s3cret" not in str(caught.value)
