"""The feed's messages: bytes and back, and bytes that are none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steembot.errors import WireError
from steembot.feed import wire
from steembot.operation import BLOCK_LEVEL, BlockRef, Cursor, RawOperation
from steembot.text import LINE_CHARACTERS
from tests.support.hostile import HOSTILE, anything, controls

u32 = st.integers(0, BLOCK_LEVEL)
ids = st.text("0123456789abcdef", min_size=40, max_size=40)
credits_ = st.integers(1, wire.MAX_CREDIT)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", fullmatch=True)
types = st.one_of(st.just("*"), st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True))
modes = st.sampled_from(["head", "irreversible"])
refs = st.builds(BlockRef, u32, ids)
cursors = st.builds(Cursor, u32, ids, u32, u32, u32)
operations = st.builds(RawOperation, types, u32, u32, u32, ids, st.binary(max_size=100))
operation_lists = st.lists(operations, max_size=5).map(tuple)

requests = st.one_of(
    st.builds(
        wire.Subscribe,
        version=st.integers(0, 2**31),
        name=names,
        types=st.lists(types, min_size=1, max_size=8),
        mode=modes,
        after=st.text(st.characters(exclude_categories=["Cs"]), max_size=128),
        credit=credits_,
    ),
    st.builds(wire.Grant, blocks=credits_),
    st.builds(wire.Unsubscribe),
    st.builds(wire.AskStatus),
)
replies = st.one_of(
    st.builds(
        wire.Subscribed,
        version=u32,
        session=texts,
        chain=texts,
        head=st.none() | refs,
        irreversible=u32,
        oldest=st.none() | u32,
        after=st.none() | cursors,
    ),
    st.builds(
        wire.BlockMessage,
        num=u32,
        id=ids,
        previous=ids,
        timestamp=u32,
        irreversible=u32,
        operations=operation_lists,
    ),
    st.builds(wire.Undo, num=u32, id=ids, previous=ids, timestamp=u32, operations=operation_lists),
    st.builds(wire.Progress, cursor=cursors, irreversible=u32, timestamp=u32),
    st.builds(wire.Heartbeat, head=st.none() | refs, irreversible=u32),
    st.builds(
        wire.Status,
        version=u32,
        session=texts,
        chain=texts,
        head=st.none() | refs,
        head_timestamp=u32,
        irreversible=u32,
        oldest=st.none() | u32,
        words=texts,
        clients=st.lists(
            st.builds(
                wire.ClientStatus,
                name=names,
                pid=u32,
                uid=st.integers(-1, BLOCK_LEVEL),
                types=st.lists(types, max_size=3),
                mode=modes,
                lag=u32,
                credit=u32,
            ),
            max_size=3,
        ),
    ),
    st.builds(wire.Error, code=st.sampled_from([*wire.ErrorCode]).map(str), text=texts),
)


@st.composite
def damaged(draw, messages):
    """A valid message's bytes with a few of them changed, inserted, removed or repeated."""
    data = bytearray(wire.encode(draw(messages)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 8))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == 1:
            data[place:place] = draw(st.binary(max_size=8))
        elif kind == 2:
            del data[place : place + length]
        else:
            data[place:place] = data[place : place + length] * draw(st.integers(1, 40))
    return bytes(data)


@given(requests)
def test_a_request_survives_the_wire(request_):
    """What a client says is what the server reads, in one frame below the limit."""
    frame = wire.encode(request_)
    assert wire.decode_request(frame) == request_
    assert wire.decode_request(memoryview(frame)) == request_
    assert len(frame) <= wire.MAX_REQUEST_BYTES


@given(replies)
def test_a_reply_survives_the_wire(reply):
    """What the server says is what a client reads."""
    frame = wire.encode(reply)
    assert wire.decode_reply(frame) == reply
    assert wire.decode_reply(memoryview(frame)) == reply


@given(requests, replies)
def test_the_two_directions_are_not_taken_for_each_other(request_, reply):
    """No reply is a request, save that the answer to ``status`` has the same name with fields."""
    if not isinstance(reply, wire.Status):
        with pytest.raises(WireError):
            wire.decode_request(wire.encode(reply))
    with pytest.raises(WireError):
        wire.decode_reply(wire.encode(request_))


@given(st.one_of(st.binary(max_size=300), damaged(requests)))
def test_any_bytes_are_a_request_or_a_wire_error(frame):
    """No bytes that a client can send raise anything but WireError."""
    try:
        request_ = wire.decode_request(frame)
    except WireError:
        return
    assert isinstance(request_, wire.Request)
    assert wire.decode_request(wire.encode(request_)) == request_


@given(st.one_of(st.binary(max_size=300), damaged(replies)))
def test_any_bytes_are_a_reply_or_a_wire_error(frame):
    """No bytes that a server can send raise anything but WireError."""
    try:
        reply = wire.decode_reply(frame)
    except WireError:
        return
    assert isinstance(reply, wire.Reply)


@given(st.dictionaries(st.text(max_size=10), st.integers() | st.text() | st.none(), max_size=4))
def test_what_a_newer_client_adds_is_passed_over(more):
    """Fields that this version does not know do not make a message wrong."""
    try:
        frame = msgspec.msgpack.encode(more | {"kind": "credit", "blocks": 5})
    except (OverflowError, UnicodeEncodeError):  # not to be said in MessagePack
        return
    assert wire.decode_request(frame) == wire.Grant(5)


def subscribe(**fields) -> bytes:
    """A valid subscription's bytes, with fields of it changed."""
    valid = {
        "kind": "subscribe",
        "version": wire.VERSION,
        "name": "bot",
        "types": ["comment"],
        "mode": "head",
        "after": "head",
        "credit": 1,
    }
    return msgspec.msgpack.encode(valid | fields)


def test_the_valid_subscription_is_valid():
    """What the next test changes would be taken if it were not changed."""
    assert isinstance(wire.decode_request(subscribe()), wire.Subscribe)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "subscription"},
        {"kind": 1},
        {"version": "1"},
        {"version": 1.5},
        {"name": ""},
        {"name": "n" * 65},
        {"name": "two words"},
        {"name": "bot\n"},  # would forge a line in the log
        {"name": "bot\x1b[31m"},
        {"name": "b\u00f6t"},
        {"types": []},
        {"types": ["vote"] * 257},
        {"types": ["Vote"]},
        {"types": ["vote\n"]},
        {"types": [""]},
        {"types": ["v" * 65]},
        {"types": ["comment*"]},
        {"types": "comment"},
        {"types": None},
        {"mode": "safe"},
        {"after": 5},
        {"after": "9" * 129},
        {"credit": 0},
        {"credit": -1},
        {"credit": wire.MAX_CREDIT + 1},
        {"credit": 2**64 - 1},
        {"credit": True},
    ],
)
def test_a_field_out_of_bounds_is_a_wire_error(fields):
    """Every field of a request has its bounds, and is refused beyond them."""
    with pytest.raises(WireError, match="not a message of this protocol"):
        wire.decode_request(subscribe(**fields))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x80",
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"kind": "status"}',
        wire.encode(wire.AskStatus()) + b"\x00",  # something behind the message
        wire.encode(wire.AskStatus())[:-1],
        b"\x81\xa4kind\xa7goodbye",
        b"\x82\xa4kind\xa6status\xa1x" + b"\x91" * 60_000,  # nested deeper than the stack
        b"\x82\xa4kind\xa6status\xa1x\xdd\xff\xff\xff\xff",  # four thousand million elements
        b"\x82\xa4kind\xa6status\xa1x\xdb\xff\xff\xff\xff",
        b"\x82\xa4kind\xa9subscribe\xa5types\xdd\xff\xff\xff\xff",
        b"\x82\xa4kind\xa9subscribe\xa4name\xa2\xff\xfe",
    ],
)
def test_bytes_that_are_no_request_are_a_wire_error(frame):
    """Rubbish, cut messages and bombs are refused, and cost nothing."""
    with pytest.raises(WireError):
        wire.decode_request(frame)


def test_a_request_above_the_limit_is_not_even_looked_at():
    """The size decides before anything is parsed; a request of the exact size is read."""
    padding = wire.MAX_REQUEST_BYTES - len(subscribe(x="")) - 2
    longest = subscribe(x="p" * padding)
    assert len(longest) == wire.MAX_REQUEST_BYTES
    wire.decode_request(longest)
    with pytest.raises(WireError, match="65537 bytes; at most 65536 are allowed"):
        wire.decode_request(subscribe(x="p" * (padding + 1)))


def test_a_reply_above_the_limit_is_not_even_looked_at():
    """A server that sends more than it may is not believed."""
    with pytest.raises(WireError, match="at most"):
        wire.decode_reply(bytes(wire.MAX_REPLY_BYTES + 1))


@pytest.mark.parametrize("timestamp", [-1, 2**32, 2**63])
def test_a_time_that_no_block_can_have_is_a_wire_error(timestamp):
    """A block's time has 32 bits; another one would have no date."""
    frame = wire.encode(wire.BlockMessage(1, "a", "b", timestamp, 1, ()))
    with pytest.raises(WireError):
        wire.decode_reply(frame)


def test_the_names_on_the_wire_do_not_change():
    """Clients in other languages know messages by these bytes; changing them raises VERSION."""
    assert wire.VERSION == 1
    cursor = Cursor(7, "ab", 1, 2)
    operation = RawOperation("vote", 1, 2, 0, "cd", b"{}")
    plain = [
        (
            wire.Subscribe(1, "bot", ["vote"], "head", "7", 5),
            {
                "kind": "subscribe",
                "version": 1,
                "name": "bot",
                "types": ["vote"],
                "mode": "head",
                "after": "7",
                "credit": 5,
            },
        ),
        (wire.Grant(5), {"kind": "credit", "blocks": 5}),
        (wire.Unsubscribe(), {"kind": "unsubscribe"}),
        (wire.AskStatus(), {"kind": "status"}),
        (
            wire.Subscribed(1, "s", "steem", BlockRef(9, "ef"), 8, 1, cursor),
            {
                "kind": "subscribed",
                "version": 1,
                "session": "s",
                "chain": "steem",
                "head": [9, "ef"],
                "irreversible": 8,
                "oldest": 1,
                "after": [7, "ab", 1, 2, 0],
            },
        ),
        (
            wire.BlockMessage(7, "ab", "aa", 3, 6, (operation,)),
            {
                "kind": "block",
                "num": 7,
                "id": "ab",
                "previous": "aa",
                "timestamp": 3,
                "irreversible": 6,
                "operations": [["vote", 1, 2, 0, "cd", b"{}"]],
            },
        ),
        (
            wire.Undo(7, "ab", "aa", 3, (operation,)),
            {
                "kind": "undo",
                "num": 7,
                "id": "ab",
                "previous": "aa",
                "timestamp": 3,
                "operations": [["vote", 1, 2, 0, "cd", b"{}"]],
            },
        ),
        (
            wire.Progress(cursor, 6, 3),
            {
                "kind": "progress",
                "cursor": [7, "ab", 1, 2, 0],
                "irreversible": 6,
                "timestamp": 3,
            },
        ),
        (wire.Heartbeat(None, 0), {"kind": "heartbeat", "head": None, "irreversible": 0}),
        (
            wire.Error("too_old", "gone"),
            {"kind": "error", "code": "too_old", "text": "gone"},
        ),
    ]
    for message, fields in plain:
        assert msgspec.msgpack.decode(wire.encode(message)) == fields


@given(anything)
@example(HOSTILE)
def test_any_words_for_people_can_be_sent_and_control_nothing(text):
    """A node's error text reaches each ``steembot status`` as one short line."""
    node = wire.NodeStatus("http://a", "resting", 0, 1.0, None, {}, text)
    status = wire.Status(1, "s", "steem", None, 0, 0, None, text, [], [node])
    for sent in (status, wire.Error("version", text)):
        received = wire.decode_reply(wire.encode(sent))
        words = [received.text] if isinstance(received, wire.Error) else [received.words]
        words += [one.trouble for one in getattr(received, "nodes", [])]
        assert all(controls(shown, ends="") == set() for shown in words)
        assert max(map(len, words)) <= LINE_CHARACTERS
