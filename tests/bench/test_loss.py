"""What is held against what was printed."""

from __future__ import annotations

from bench.loss import Post, Verdict, judge

POSTS = [Post(1, "@a/old"), Post(5, "@a/x"), Post(6, "@b/y"), Post(7, "@a/x"), Post(8, "@a/old")]


def verdict(printed: str, *, edits: bool = False, first: int = 5, last: int = 8) -> Verdict:
    return judge(POSTS, printed.split(), edits=edits, first=first, last=last)


def test_each_new_post_once_is_right():
    """An edit is no new post."""
    assert verdict("@a/x @b/y") == Verdict(posts=2, missed=0, doubled=0)


def test_what_is_not_there_is_missed_and_what_is_there_again_is_doubled():
    """One does not make up for the other."""
    assert verdict("@a/x @a/x @a/x") == Verdict(posts=2, missed=1, doubled=2)


def test_where_edits_are_printed_too_each_counts():
    """The article's program is not blamed for what it was made to do."""
    assert verdict("@a/x @a/x @b/y", edits=True) == Verdict(posts=3, missed=0, doubled=0)
    assert verdict("@a/x @b/y", edits=True) == Verdict(posts=3, missed=1, doubled=0)


def test_posts_from_before_and_after_are_nobodys_concern():
    """Nor are links that are on no block, as of a branch that is gone."""
    assert verdict("@a/old @a/x @b/y @c/gone") == Verdict(posts=2, missed=0, doubled=0)
    assert verdict("", last=5) == Verdict(posts=1, missed=1, doubled=0)
