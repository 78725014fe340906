"""What a person names: taken as they write it, and refused where it never comes."""

from __future__ import annotations

import click
import pytest

from steembot.cli import wanted


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("alice", "alice"),
        ("@alice", "alice"),
        (" @Alice ", "alice"),
        ("a-1.bob2", "a-1.bob2"),
        ("@bob.kr", "bob.kr"),
    ],
)
def test_an_account_is_taken_as_people_write_it(written, name):
    """With its @, with capitals, with spaces around it."""
    assert wanted.account(written) == name


@pytest.mark.parametrize(
    "written",
    [
        "",
        "@",
        "al",
        "a" * 17,
        "1bob",
        "ali ce",
        "@@alice",
        "알리스",
        "a_b_c",
    ],
)
def test_an_account_that_cannot_be_is_refused(written):
    """The chain never has it, so whoever asks for it would wait for ever."""
    with pytest.raises(click.BadParameter, match="allowed are 3 to 16"):
        wanted.account(written)


@pytest.mark.parametrize(
    ("kind", "near"),
    [
        ("coment", "comment"),
        ("Vote", "vote"),
        ("custom-json", "custom_json"),
        ("vote_operation", "vote"),
    ],
)
def test_the_nearest_type_is_suggested(kind, near):
    """A slip is told, with what was meant."""
    with pytest.raises(click.BadParameter, match=f"did you mean '{near}'"):
        wanted.operation_types_of("steem", ("vote", kind))


def test_a_type_of_the_other_chain_is_refused():
    """It exists, and never comes here."""
    with pytest.raises(click.BadParameter, match="STEEMBOT_CHAIN"):
        wanted.operation_types_of("steem", ("recurrent_transfer",))
    assert wanted.operation_types_of("hive", ("recurrent_transfer",)) == ("recurrent_transfer",)


def test_all_types_come_where_none_is_named():
    """As with ``*``."""
    assert wanted.operation_types_of("steem", ()) == ("*",)
    assert wanted.operation_types_of("steem", ("*",)) == ("*",)
