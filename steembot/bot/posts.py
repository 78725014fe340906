"""New or edited? What a bot remembers of posts, and how it tells an edit from a new post.

On Steem a post and its edits are the same operation, ``comment``, with the same author and
permlink. Nothing in an edit says that it is one. It is told by two facts, without asking a node:

- **The post was seen before.** Which posts a bot was given is kept on disk, as two numbers each.
  It is bounded: beyond :data:`MAX_POSTS` those are forgotten whose last version is the oldest.
- **The body is a patch.** Clients send most edits as a difference to the old text
  (``@@ -1,9 +1,12 @@ …``), and steemd reads one from any body that parses as such, if the post
  exists. A body that only begins like a patch is a text like any other.

A post that its author deleted is no longer there: the next ``comment`` with its name is a new one.

What cannot be known from operations alone: an edit that replaces the whole body, of a post older
than the bot or forgotten since, looks like a new post; and a new post that consists of nothing but
a well-formed patch looks like an edit. Timestamps do not help: an edit is stamped with its own
block's time, and one in a permlink is the author's to choose. Nor does the chain's rule of one new
post in five minutes and author: it needs to know for certain that the first of two was new.

A new post that a fork takes back and another block brings again is the same post. Where the bot
has an undo handler for comments, it was told of the undo and is told that the post is new again.
Where it has none, the post stays known, and so it is announced once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from steembot.operation import Operation
from steembot.storage.database import Connection

MAX_POSTS = 500_000
"""Posts and replies that a bot remembers, in some 25 MB: a month of all of Steem, or more."""

EVICT_POSTS = 1_000
"""How many are forgotten at a time."""

_HEADER = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")


class _Seen(msgspec.Struct):
    """``first`` tells which operation made the post: a number made from its cursor.

    It is negative while the post is deleted.
    """

    first: int
    last_block: int


class Posts:
    """Which posts were seen. Changes are kept aside until the runner settles or drops them.

    What is settled waits to be written with the next commit.
    """

    def __init__(self, connection: Connection, max_posts: int = MAX_POSTS) -> None:
        self._connection = connection
        self._max_posts = max_posts
        self._changed: dict[int, _Seen] = {}
        self._settled: dict[int, _Seen] = {}
        self._count: int | None = None

    def note(self, op: Operation) -> bool:
        """Remember the post of a ``comment``. Returns whether this operation is an edit of it.

        The answer for one operation is always the same, however often it is delivered.
        """
        key, this = _key(op), _number(str(op.cursor))
        seen = self._find(key)
        is_first = seen is None or seen.first < 0 or seen.first == this
        last_block = op.block_num if seen is None else max(seen.last_block, op.block_num)
        self._changed[key] = _Seen(this if seen is None or is_first else seen.first, last_block)
        return not is_first or is_patch(op.value["body"])

    def note_deletion(self, op: Operation, *, undo: bool) -> None:
        """Take note of a ``delete_comment``, or of its undo."""
        key = _key(op)
        seen = self._find(key)
        if seen is not None and (seen.first < 0) == undo:
            last_block = max(seen.last_block, op.block_num)
            self._changed[key] = _Seen(-seen.first, last_block)
        elif seen is None and undo:  # it is there again, and its next version will be an edit
            self._changed[key] = _Seen(_number(str(op.cursor)), op.block_num)

    def _find(self, key: int) -> _Seen | None:
        return self._changed.get(key) or self._settled.get(key) or self._look_up(key)

    def forget(self, op: Operation) -> None:
        """Take back within the caller's transaction what this operation, if the first, noted."""
        value = op.value
        if isinstance(value.get("author"), str) and isinstance(value.get("permlink"), str):
            self._count = None
            self._connection.execute(
                "DELETE FROM post WHERE key = ? AND first = ?",
                (_number(f"{value['author']}/{value['permlink']}"), _number(str(op.cursor))),
            )

    def settle(self) -> list[tuple[int, int, int]]:
        """Keep the changes, and return them as :meth:`restore` takes them."""
        changed = self._changed
        self._settled.update(changed)
        self._changed = {}
        return [(key, seen.first, seen.last_block) for key, seen in changed.items()]

    def restore(self, settled: Sequence[tuple[int, int, int]]) -> None:
        """Take over what another process settled and did not write."""
        for key, first, last_block in settled:
            self._settled[key] = _Seen(first, last_block)

    def write(self) -> None:
        """Write what is settled within the transaction that the caller began."""
        if not self._settled:
            return
        execute = self._connection.execute
        self._connection.executemany(
            "INSERT INTO post VALUES (?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET first = excluded.first, "
            "last_block = excluded.last_block",
            [(key, seen.first, seen.last_block) for key, seen in self._settled.items()],
        )
        if self._count is None:
            (self._count,) = execute("SELECT count(*) FROM post").fetchone()
        else:  # an upper bound, as edits count too; exact again when it is reached
            self._count += len(self._settled)
        if self._count > self._max_posts:
            self._evict()

    def written(self) -> None:
        """Take note that what was settled is committed."""
        self._settled.clear()

    def drop(self) -> None:
        """Forget the changes."""
        self._changed.clear()

    def _evict(self) -> None:
        execute = self._connection.execute
        (count,) = execute("SELECT count(*) FROM post").fetchone()
        excess = count - self._max_posts + min(EVICT_POSTS, self._max_posts // 10)
        if excess > 0:
            execute(
                "DELETE FROM post WHERE key IN (SELECT key FROM post ORDER BY last_block LIMIT ?)",
                (excess,),
            )
            count -= excess
        self._count = count

    def _look_up(self, key: int) -> _Seen | None:
        row = self._connection.execute(
            "SELECT first, last_block, fold FROM post WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        first, last_block, fold = row
        if key ^ first ^ last_block != fold:
            raise self._connection.damaged("what is remembered of a post is not what was written")
        return _Seen(first, last_block)


def _key(op: Operation) -> int:
    return _number(f"{op.value['author']}/{op.value['permlink']}")


def is_patch(body: str) -> bool:
    """Tell whether a body is a patch as google's diff-match-patch writes it, from end to end.

    steemd applies nothing else: where this does not parse, it takes the body as the whole text.
    """
    first, _, rest = body.partition("\n")
    if not _HEADER.fullmatch(first) or not rest:
        return False
    return all(not line or line[0] in "+- " or _HEADER.fullmatch(line) for line in rest.split("\n"))


def _number(text: str) -> int:
    """Make 63 bits of a text: among 500,000 posts two meet with a probability of 1 : 70,000,000."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
