"""What a person names to a command, checked, so that no command waits for what never comes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

import click

from steembot.bot import operation_types
from steembot.chain.profiles import PROFILES
from steembot.feed.wire import EVERY_TYPE

# Steem's is_valid_account_name() asks for more of the parts between dots; old accounts break it.
_ACCOUNT = re.compile(r"[a-z][a-z0-9.-]{2,15}")


def operation_types_of(chain: str, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the types named, or ``*`` where none is.

    Raises :class:`click.BadParameter` for one that the chain does not have.
    """
    for kind in named:
        if kind == EVERY_TYPE or kind in operation_types.OF_CHAIN[chain]:
            continue
        title = PROFILES[chain].title
        if kind in operation_types.KNOWN:
            remedy = "set STEEMBOT_CHAIN to the chain that has it"
        elif near := operation_types.nearest(kind):
            remedy = f"did you mean {near!r}?"
        else:
            remedy = "names look like 'comment' or 'custom_json'"
        raise click.BadParameter(f"{kind!r} is no operation type of {title}; {remedy}")
    return named or (EVERY_TYPE,)


def virtual(named: tuple[str, ...]) -> list[str]:
    """Return those of the types that come only where virtual operations are switched on."""
    return [kind for kind in named if kind in operation_types.VIRTUAL]


def account(named: str) -> str:
    """Return an account's name as the chain has it, given as people write it, with ``@`` or not.

    Raises :class:`click.BadParameter` for one that no account can have.
    """
    name = named.strip().removeprefix("@").lower()
    if not _ACCOUNT.fullmatch(name):
        raise click.BadParameter(
            f"{named!r} is no account's name: allowed are 3 to 16 of a-z, 0-9, '-' and '.', "
            "beginning with a letter"
        )
    return name


def nearest(name: str, known: Collection[str]) -> str:
    """Return words about the known name that a wrong one was probably meant to be, and the rest."""
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}there are: {', '.join(sorted(known))}"
