"""Which block the nodes agree on."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from steembot.chain.agreement import agree, same
from tests.support.blocks import make_block, with_operations

ONE = make_block(7, "0" * 40)
OTHER = make_block(7, "0" * 40, "other")


def with_body(body: bytes):
    """The first block with another body of its first operation: same id, other contents."""
    first, *rest = ONE.operations
    return with_operations(ONE, (msgspec.structs.replace(first, value=body), *rest))


def test_the_quorum_decides_and_names_who_is_against():
    """Two of three have one block; the third is named."""
    verdict = agree({"a": OTHER, "b": ONE, "c": ONE}, 2)
    assert verdict.block == ONE
    assert verdict.against == ("a",)


def test_the_same_id_with_other_contents_is_another_block():
    """An id alone convinces nobody."""
    lie = with_body(b'{"n": "9/9", "salt": ""}')
    assert lie.id == ONE.id
    assert agree({"a": lie, "b": ONE}, 2).block is None
    assert agree({"a": lie, "b": ONE, "c": ONE}, 2).against == ("a",)


def test_another_way_to_write_json_is_the_same_block():
    """Spaces, order of members and escapes don't count."""
    assert same(ONE, with_body(b'{ "salt":"", "n":"\\u0037/0" }'))
    assert not same(ONE, with_body(b"not json"))


@given(
    blocks=st.lists(st.sampled_from([ONE, OTHER, with_body(b"{}")]), max_size=7),
    needed=st.integers(1, 5),
)
def test_agreement_needs_that_many(blocks, needed):
    """A block is agreed on exactly if so many have it, and all others are named."""
    answers = {f"n{index}": block for index, block in enumerate(blocks)}
    verdict = agree(answers, needed)
    most = max((blocks.count(block) for block in blocks), default=0)
    assert verdict.votes == most
    assert (verdict.block is not None) == (most >= needed)
    if verdict.block is not None:
        assert set(verdict.against) == {n for n, b in answers.items() if b != verdict.block}
