"""Operations, blocks and cursors."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.operation import (
    BLOCK_LEVEL,
    Block,
    BlockRef,
    Cursor,
    Operation,
    RawOperation,
    unpack,
)

ID = "02f0a1b2" + "c" * 32

u32 = st.integers(0, BLOCK_LEVEL)
ids = st.text("0123456789abcdef", min_size=40, max_size=40)
cursors = st.builds(Cursor, u32, ids, u32, u32, u32)
places = st.tuples(u32, u32, u32)


def raw(value: bytes = b"{}") -> RawOperation:
    """A vote with this body."""
    return RawOperation("vote", 3, 1, 0, "ab" * 20, value)


@given(cursors)
def test_a_cursor_survives_its_text(cursor):
    """What str() wrote, parse() reads back, and the text is one token that fits the wire."""
    token = str(cursor)
    assert Cursor.parse(token) == cursor
    assert len(token) <= 128
    assert token.isascii()
    assert not set(token) & set(" \n\t/")


@given(st.one_of(st.text(), st.from_regex(r"\d+-[0-9a-f]+-\d+-\d+-\d+")))
def test_text_is_a_cursor_or_a_value_error(text):
    """Any text is either exactly what str() writes, or refused with ValueError."""
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert str(cursor) == text


@pytest.mark.parametrize(
    "token",
    [
        "",
        "head",
        "5",
        f"5-{ID}-0-0",
        f"5-{ID}-0-0-0-0",
        f"5-{ID}-0-0-0\n",
        f"-5-{ID}-0-0-0",
        f"5-{ID.upper()}-0-0-0",
        f"5-{ID[:-1]}-0-0-0",
        f"05-{ID}-0-0-0",
        f"\u0665-{ID}-0-0-0",  # ARABIC-INDIC DIGIT FIVE, a digit to int() and to \d
        f"1\u0665-{ID}-0-0-0",
        f"4294967296-{ID}-0-0-0",
        f"5-{ID}-4294967296-0-0",
    ],
)
def test_what_is_no_cursor_is_named(token):
    """A token that str() never writes is refused, and the error shows it."""
    with pytest.raises(ValueError, match="is not a cursor") as caught:
        Cursor.parse(token)
    assert repr(token) in str(caught.value)


def test_a_long_token_is_not_repeated_in_full():
    """An error about a token stays short however long the token is."""
    with pytest.raises(ValueError) as caught:
        Cursor.parse("9" * 100_000)
    assert len(str(caught.value)) < 200


@given(places)
def test_the_end_of_a_block_is_behind_all_its_operations(place):
    """No operation of a block stands behind the block's end."""
    assert Cursor(7, ID, *place).within_block <= Cursor.end_of(7, ID).within_block


def test_virtual_operations_come_behind_the_operation_that_made_them():
    """Within a block: by transaction, operation, virtual; those of the block itself last."""
    order = [
        Cursor(7, ID, 0, 0),
        Cursor(7, ID, 0, 1),
        Cursor(7, ID, 0, 1, 1),
        Cursor(7, ID, 0, 1, 2),
        Cursor(7, ID, 1, 0),
        Cursor(7, ID, BLOCK_LEVEL, 0, 3),
    ]
    assert sorted(order, key=lambda cursor: cursor.within_block) == order


def test_an_operation_knows_its_cursor_and_time():
    """Unpacking keeps the position and makes the time an aware one in UTC."""
    operation = unpack(
        raw(b'{"voter":"ann","weight":-10000}'), BlockRef(49324466, ID), 1_600_000_002
    )
    assert operation == Operation(
        type="vote",
        value={"voter": "ann", "weight": -10000},
        block_num=49324466,
        block_id=ID,
        timestamp=datetime(2020, 9, 13, 12, 26, 42, tzinfo=UTC),
        trx_id="ab" * 20,
        trx_in_block=3,
        op_in_trx=1,
        virtual_op=0,
    )
    assert operation.cursor == Cursor(49324466, ID, 3, 1)


def test_words_are_frozen():
    """Nobody can change an operation, a block or a cursor that others hold too."""
    block = Block.of(1, ID, ID, 0, [raw()])
    with pytest.raises(AttributeError):
        block.num = 2
    with pytest.raises(AttributeError):
        raw().type = "transfer"
    with pytest.raises(AttributeError):
        unpack(raw(), block.ref, 0).type = "transfer"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'"text"',
        b"null",
        b"{} {}",
        b'{"a":',
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_no_object_is_a_decode_error(body):
    """Whatever is wrong with a body, it is one error: the runner passes such an operation by."""
    with pytest.raises(msgspec.MsgspecError):
        unpack(raw(body), BlockRef(1, ID), 0)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"\xff":1}', {"\ufffd": 1}),
        (b'{"a":1e999}', {"a": float("inf")}),
        (b'{"a":"\\ud800"}', {"a": "\ufffd"}),
        (b'{"a":18446744073709551616}', {"a": 2**64}),
    ],
)
def test_a_body_that_other_readers_take_is_read_as_they_do(body, value):
    """With U+FFFD for what is no text; only then is the operation not exact."""
    operation = unpack(raw(body), BlockRef(1, ID), 0)
    assert operation.value == value
    assert operation.exact == ("\ufffd" not in str(value) and value != {"a": float("inf")})


@given(st.binary())
def test_any_body_is_an_operation_or_a_decode_error(body):
    """No bytes in a body raise anything else."""
    try:
        operation = unpack(raw(body), BlockRef(1, ID), 0)
    except msgspec.MsgspecError:
        return
    assert isinstance(operation.value, dict)


def test_a_reference_is_short_for_people():
    """A block in a log line is its number and the beginning of its id."""
    assert str(BlockRef(49324466, ID)) == f"49324466 ({ID[:16]})"
