"""Ready-made conditions for ``@bot.on(…, where=…)``, which combine with ``&``, ``|`` and ``~``.

::

    @bot.on("comment", where=new_post & tagged("art") & ~by("alice"))

Each takes the operation and ``ctx`` and says yes or no. One that is asked about an operation of
another type says no. What stands on the right of ``&`` or ``|`` is only asked where that matters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from steembot.bot.authorities import actors_of
from steembot.bot.functions import check_answer, check_function
from steembot.operation import Operation, decode_leniently

if TYPE_CHECKING:
    from steembot.bot.context import Context

Ask = Callable[[Operation, "Context"], object]


class Filter:
    """A condition. ``remembers`` says that it must know which posts were seen before."""

    def __init__(self, ask: Ask, words: str, *, remembers: bool = False) -> None:
        self._ask = ask
        self._words = words
        self.remembers = remembers

    def __call__(self, op: Operation, ctx: Context) -> bool:  # noqa: D102 (the class says it)
        answer = self._ask(op, ctx)
        if answer is not True and answer is not False:
            check_answer(self, answer)
        return bool(answer)

    def __and__(self, other: Ask) -> Filter:
        right = _made(other)
        return Filter(
            lambda op, ctx: self(op, ctx) and right(op, ctx),
            f"({self} & {right})",
            remembers=self.remembers or right.remembers,
        )

    def __rand__(self, other: Ask) -> Filter:
        return _made(other) & self

    def __or__(self, other: Ask) -> Filter:
        right = _made(other)
        return Filter(
            lambda op, ctx: self(op, ctx) or right(op, ctx),
            f"({self} | {right})",
            remembers=self.remembers or right.remembers,
        )

    def __ror__(self, other: Ask) -> Filter:
        return _made(other) | self

    def __invert__(self) -> Filter:
        return Filter(lambda op, ctx: not self(op, ctx), f"~{self}", remembers=self.remembers)

    def __repr__(self) -> str:
        return self._words


def _made(ask: Ask) -> Filter:
    if isinstance(ask, Filter):
        return ask
    check_function(ask, ("op", "ctx"), "a condition")
    return Filter(ask, _words_of(ask))


def _words_of(ask: Ask) -> str:
    return repr(ask) if isinstance(ask, Filter) else getattr(ask, "__name__", repr(ask))


# ---- posts and replies. On Steem a post, a reply and an edit of either are all `comment`.


def _is_root(op: Operation, _ctx: object) -> bool:
    return op.type == "comment" and not op.value["parent_author"]


def _is_reply(op: Operation, _ctx: object) -> bool:
    return op.type == "comment" and bool(op.value["parent_author"])


def _is_edit(op: Operation, ctx: Context) -> bool:
    return op.type == "comment" and ctx.is_edit


post = Filter(_is_root, "post")
"""A post, new or edited."""

reply = Filter(_is_reply, "reply")
"""A reply, new or edited."""

edit = Filter(_is_edit, "edit", remembers=True)
"""An edit of a post or a reply. :mod:`steembot.bot.posts` says how it is told, and its limits."""

new_post = post & ~edit
new_post._words = "new_post"  # noqa: SLF001 (as people write it)

new_reply = reply & ~edit
new_reply._words = "new_reply"  # noqa: SLF001


def reply_to(*accounts: str) -> Filter:
    """A reply to a post or a reply of one of these accounts."""
    wanted = _accounts("reply_to", accounts)
    return Filter(
        lambda op, _ctx: op.type == "comment" and op.value["parent_author"] in wanted,
        f"reply_to{accounts}",
    )


# ---- who, where, what about


def by(*accounts: str) -> Filter:
    """An operation that one of these accounts does: as author, voter, sender and so on.

    That is whose authority the chain asks for (:mod:`steembot.bot.authorities`): for
    ``custom_json`` whoever signed it. Virtual operations are nobody's.
    """
    wanted = _accounts("by", accounts)

    return Filter(
        lambda op, _ctx: not wanted.isdisjoint(actors_of(op.type, op.value)), f"by{accounts}"
    )


def tags_of(op: Operation) -> tuple[str, ...]:
    """Return a post's tags, its category or community first, none twice.

    ``json_metadata`` is whatever the author's client wrote. What is no list of texts, or one text
    with tags between blanks or commas, counts as no tags.
    """
    if op.type != "comment":
        return ()
    value = op.value
    category = [] if value.get("parent_author") else [value.get("parent_permlink")]
    tags = metadata_of(op).get("tags")
    if isinstance(tags, str):
        tags = re.split(r"[\s,]+", tags)
    given = [*category, *(tags if isinstance(tags, list) else ())]
    names = (tag.strip().lstrip("#").lower() for tag in given if isinstance(tag, str))
    return tuple(dict.fromkeys(name for name in names if name))


def metadata_of(op: Operation) -> dict[str, Any]:
    """Return a post's ``json_metadata``; empty where it is none that can be read."""
    given = op.value.get("json_metadata")
    if isinstance(given, str):
        try:
            given = decode_leniently(given)
        except msgspec.MsgspecError:
            return {}
    return given if isinstance(given, dict) else {}


def tagged(*tags: str) -> Filter:
    """A post with one of these tags, the category included. Upper and lower case are the same."""
    wanted = frozenset(tag.lstrip("#").lower() for tag in _some("tagged", tags))
    return Filter(lambda op, _ctx: not wanted.isdisjoint(tags_of(op)), f"tagged{tags}")


def in_community(*names: str) -> Filter:
    """A post in one of these communities, such as ``hive-123456``: the first tag names it."""
    wanted = frozenset(_some("in_community", names))
    for name in wanted:
        if not re.fullmatch(r"hive-[123]\d{4,6}", name):
            raise ValueError(f"in_community({name!r}): a community's name is like 'hive-123456'")
    return Filter(
        lambda op, _ctx: _is_root(op, None) and op.value["parent_permlink"] in wanted,
        f"in_community{names}",
    )


# What stands before an @ decides, as in condenser's HtmlReady.js, whose two lists of signs have in
# common: ASCII letters and digits, _, # and /. A second @ is no name's beginning either. U+FF20 is
# the sign of East Asian keyboards.
_MENTION = re.compile(
    r"(?<![a-z0-9_#/@\uff20])[@\uff20]([a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*)",
    re.IGNORECASE | re.ASCII,
)
_ACCOUNT_LENGTHS = range(3, 17)  # STEEM_MIN_ACCOUNT_NAME_LENGTH and MAX in steem's config.hpp


def mentions_of(op: Operation) -> tuple[str, ...]:
    """Return the accounts that a post or reply names as ``@account``, none twice.

    In title and body; not in web addresses (``…/@alice/post``) and mail addresses. Letters that are
    not ASCII may stand right before and behind it. In an edit that was sent as a patch, those in
    the patch, in which words of the old text may stand too.
    """
    if op.type != "comment":
        return ()
    text = f"{op.value.get('title', '')}\n{op.value.get('body', '')}"
    found = (name.lower().rstrip("-") for name in _MENTION.findall(text))
    return tuple(dict.fromkeys(name for name in found if len(name) in _ACCOUNT_LENGTHS))


def mentions(*accounts: str) -> Filter:
    """A post or reply that names one of these accounts as ``@account``."""
    wanted = _accounts("mentions", accounts)
    return Filter(lambda op, _ctx: not wanted.isdisjoint(mentions_of(op)), f"mentions{accounts}")


_TRANSFERS = ("transfer", "recurrent_transfer", "fill_recurrent_transfer")


def transfer_to(*accounts: str) -> Filter:
    """A transfer to one of these accounts."""
    wanted = _accounts("transfer_to", accounts)
    return Filter(
        lambda op, _ctx: op.type in _TRANSFERS and op.value["to"] in wanted,
        f"transfer_to{accounts}",
    )


def custom_json_id(*ids: str) -> Filter:
    """A ``custom_json`` with one of these ids, such as ``follow``."""
    wanted = frozenset(_some("custom_json_id", ids))
    return Filter(
        lambda op, _ctx: op.type == "custom_json" and op.value["id"] in wanted,
        f"custom_json_id{ids}",
    )


def _accounts(what: str, names: tuple[str, ...]) -> frozenset[str]:
    """Take account names as people write them, with or without ``@``."""
    return frozenset(name.removeprefix("@").lower() for name in _some(what, names))


def _some(what: str, names: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong or not names:
        raise ValueError(f"{what}{names!r}: name one or more, each as text")
    return names
