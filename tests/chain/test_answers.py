"""What a node answers is within its ranges, or nothing of it goes any further."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.chain.answers import Answers, decode_block_replies, decode_replies
from steembot.chain.profiles import PROFILES
from steembot.errors import NodeAnswerError, NodeError
from steembot.operation import BLOCK_LEVEL, Block, Cursor

NUM = 1000
ID = f"{NUM:08x}" + "ab" * 16
PREVIOUS = f"{NUM - 1:08x}" + "cd" * 16
TRX = "0123456789abcdef" * 2 + "01234567"
answers = Answers("http://a.example", PROFILES["steem"].symbols)


def given_block(**changes) -> dict:
    return {
        "previous": PREVIOUS,
        "timestamp": "2020-01-01T00:00:00",
        "block_id": ID,
        "transaction_ids": [TRX],
        "transactions": [{"operations": [["vote", {"voter": "a"}]]}],
        "witness": "w",
    } | changes


def properties(**changes) -> bytes:
    fields = {
        "head_block_number": NUM,
        "head_block_id": ID,
        "time": "2020-01-01T00:00:00",
        "last_irreversible_block_num": NUM - 15,
    }
    return json.dumps(fields | changes).encode()


def block(**changes) -> Block | None:
    return answers.block(NUM, msgspec.Raw(json.dumps(given_block(**changes)).encode()))


BAD_IDS = [
    ID.upper(),
    ID + " ",
    ID[:-1] + "z",
    ID[:-1],
    ID + "0",
    "",
    ID + "\n",
    " " + ID[1:],
    None,
    7,
]


@pytest.mark.parametrize("value", BAD_IDS)
@pytest.mark.parametrize("member", ["block_id", "previous"])
def test_an_id_is_forty_lower_case_hex_digits(member, value):
    """Whatever else it is would be stored as a position, and end what reads it."""
    with pytest.raises(NodeAnswerError):
        block(**{member: value})
    with pytest.raises(NodeAnswerError):
        answers.head(msgspec.Raw(properties(head_block_id=value)))


@pytest.mark.parametrize(
    "value", [TRX.upper(), TRX[:-1], TRX + "0", TRX[:-1] + "z", TRX[:-1] + "\n"]
)
def test_a_transactions_id_is_one_too(value):
    """In a block and among virtual operations."""
    with pytest.raises(NodeAnswerError):
        block(transaction_ids=[value])


@pytest.mark.parametrize("value", ["", "Vote", "vote\u001b[31m", "v" * 65, "vote ", "1vote", None])
def test_an_operations_type_is_a_name(value):
    """Small letters, digits and underscores, as in the chain's sources."""
    with pytest.raises(NodeAnswerError):
        block(transactions=[{"operations": [[value, {}]]}])


@pytest.mark.parametrize(
    "value",
    [
        "9999-12-31T00:00:00",
        "0001-01-01T00:00:00",
        "1970-01-01T00:00:00",
        "2106-02-07T06:28:16",
        "2020-01-01T00:00:00Z",
        "2020-13-01T00:00:00",
        "",
        1577836800,
        None,
    ],
)
def test_a_time_fits_into_32_bits(value):
    """Of a block, and of a head."""
    with pytest.raises(NodeAnswerError):
        block(timestamp=value)
    with pytest.raises(NodeAnswerError):
        answers.head(msgspec.Raw(properties(time=value)))
    assert block(timestamp="2106-02-07T06:28:15").timestamp == 2**32 - 1


@pytest.mark.parametrize("value", [-1, 2**32, 2**70, 1.5, "5", None, True])
def test_a_blocks_number_fits_into_32_bits(value):
    """Of a head, and of the last irreversible block."""
    for member in ("head_block_number", "last_irreversible_block_num"):
        with pytest.raises(NodeAnswerError):
            answers.head(msgspec.Raw(properties(**{member: value})))


def test_nothing_above_the_head_is_irreversible():
    """A node that says so is wrong somewhere."""
    with pytest.raises(NodeAnswerError, match="irreversible block 1001 above its head"):
        answers.head(msgspec.Raw(properties(last_irreversible_block_num=NUM + 1)))


def test_a_nodes_words_are_cut_and_on_one_line():
    """An error of 600 KB with line ends is one short line."""
    error = {"code": -32603, "message": "\x1b[31mline\n" + "x" * 600_000}
    body = json.dumps([{"id": 0, "error": error}]).encode()
    with pytest.raises(NodeError) as caught:
        answers.results(body, decode_replies, 1)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("odd", [rb"cut \ud83d", rb"\udc00", b"a\xffb", rb"\\ud83d", b"\x01"])
def test_a_text_that_is_none_goes_on_as_the_node_wrote_it(odd):
    """All nodes say so alike, so it is the chain's: no reason to call any of them failing."""
    body = (
        json.dumps([{"id": 0, "result": given_block()}]).encode().replace(b'"a"', b'"' + odd + b'"')
    )
    (given,) = answers.results(body, decode_block_replies, 1)
    (made,) = answers.blocks([NUM], [given])
    (operation,) = made.operations
    assert operation.value == b'{"voter": "' + odd + b'"}'


def row(kind="producer_reward", trx=BLOCK_LEVEL, op=0, virtual=0, who="w", **more) -> dict:
    return {
        "trx_id": "0" * 40,
        "block": NUM,
        "trx_in_block": trx,
        "op_in_trx": op,
        "virtual_op": virtual,
        "op": [kind, {"who": who}],
    } | more


def virtual_of(*rows: dict) -> list[tuple]:
    joined = answers.joined(block(), msgspec.Raw(json.dumps(rows).encode()), believe_none=False)
    if joined is None:
        return []
    cursors = [
        Cursor(NUM, ID, op.trx_in_block, op.op_in_trx, op.virtual_op) for op in joined.operations
    ]
    assert len(set(cursors)) == len(cursors), "two operations at one place"
    assert joined.operations[0].type == "vote"
    return [(op.type, json.loads(op.value)["who"]) for op in joined.operations[1:]]


def test_virtual_operations_that_are_all_numbered_0_come_in_the_order_given():
    """As steemd of 2017 and 2018 told them; each gets a place of its own."""
    rows = [row(who="a"), row("curation_reward", who="b"), row(who="c")]
    assert virtual_of(*rows) == [
        ("producer_reward", "a"),
        ("curation_reward", "b"),
        ("producer_reward", "c"),
    ]


def test_a_row_that_is_there_twice_counts_once():
    """Numbered or not."""
    assert virtual_of(row(who="a"), row(who="b"), row(who="a")) == [
        ("producer_reward", "a"),
        ("producer_reward", "b"),
    ]
    assert len(virtual_of(row(virtual=1), row(virtual=2), row(virtual=1))) == 2


def test_two_at_one_place_get_two_places():
    """What numbers do not tell apart is told apart by the order."""
    rows = [row(virtual=1, who="a"), row(virtual=1, who="b")]
    assert virtual_of(*rows) == [("producer_reward", "a"), ("producer_reward", "b")]


def test_numbers_that_tell_them_apart_stay():
    """So that a cursor that somebody stored still names the same operation."""
    joined = answers.joined(
        block(),
        msgspec.Raw(json.dumps([row(virtual=7, who="a"), row(virtual=9, who="b")]).encode()),
        believe_none=False,
    )
    assert [op.virtual_op for op in joined.operations] == [0, 7, 9]


def test_a_transactions_own_operation_among_them_is_no_virtual_one():
    """Some nodes tell all operations whatever they were asked for."""
    own = row("vote", trx=0, op=0, op_=0)
    assert virtual_of(own | {"op": ["vote", {"voter": "a"}]}, row(who="a")) == [
        ("producer_reward", "a")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"block": NUM + 1},
        {"trx_in_block": -2},
        {"trx_in_block": 2**32},
        {"op_in_trx": -1},
        {"op_in_trx": 2**32},
        {"virtual_op": -1},
        {"virtual_op": 2**40},
        {"trx_id": "z" * 40},
        {"op": ["Bad", {}]},
    ],
)
def test_a_virtual_operations_place_is_within_its_range(change):
    """Or the node has failed."""
    with pytest.raises(NodeAnswerError):
        virtual_of(row(virtual=1) | change)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=50),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["properties", "block", "operation", "row"]),
    changes=st.dictionaries(
        st.sampled_from([*given_block(), *json.loads(properties()), *row(), "operations"]),
        values,
        min_size=1,
        max_size=3,
    ),
)
def test_any_answer_is_within_its_ranges_or_the_nodes_failure(kind, changes):
    """Whatever stands in the place of a member: nothing else is raised, nothing false gets by."""
    try:
        if kind == "properties":
            head = answers.head(
                msgspec.Raw(json.dumps(json.loads(properties()) | changes).encode())
            )
            assert 0 <= head.irreversible <= head.num < 2**32
            assert 0 < head.timestamp < 2**32
            return
        if kind == "row":
            made = answers.joined(
                block(), msgspec.Raw(json.dumps([row() | changes]).encode()), believe_none=True
            )
        elif kind == "operation":
            made = block(transactions=[{"operations": [["vote", changes]]}])
        else:
            made = block(**changes)
    except NodeError:
        return
    if made is not None:
        assert (made.num, 0 < made.timestamp < 2**32) == (NUM, True)
        for operation in made.operations:
            place = operation.trx_in_block, operation.op_in_trx, operation.virtual_op
            text = "-".join(map(str, (NUM, made.id, *place)))
            assert str(Cursor.parse(text)) == text
            bytes.fromhex(operation.trx_id)
            json.loads(operation.value)
