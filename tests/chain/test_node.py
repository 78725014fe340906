"""One node over beem: what it gives, and how each kind of failure is named."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time

import pytest

from steembot.chain.node import MAX_BATCH, Node
from steembot.errors import (
    NodeAnswerError,
    NodeError,
    NodeLimitError,
    NodeRpcError,
    NodeStatusError,
    NodeTimeoutError,
    NodeUnreachableError,
)
from tests.support.scripted_http import drip, http, raw, reset, serving
from tests.support.waiting import PATIENCE_S


def asked(url: str, **options) -> Node:
    """Return a node whose chain id was seen before, so that the next answer is the asked one."""
    node = Node(url, **options)
    node._identified = True
    return node


def test_head_is_what_the_node_says(still_node):
    """Number, id, time and last irreversible block come as the node gave them."""
    head = Node(still_node.url).head()
    assert head.num == still_node.chain.head.num == 120
    assert head.id == still_node.chain.head.id
    assert head.irreversible == still_node.chain.irreversible_num
    assert head.timestamp % 3 == 0


def test_blocks_carry_every_operation_with_its_place(still_node):
    """Operations come in chain order, counted within their transaction, bodies untouched."""
    nums = range(1, MAX_BATCH + 1)
    blocks = Node(still_node.url).blocks(nums, 0)
    for num, block in zip(nums, blocks, strict=True):
        truth = json.loads(still_node.chain.block(num).condenser_json())
        assert (block.num, block.id, block.previous) == (num, truth["block_id"], truth["previous"])
        expected = [
            (kind, trx, op, trx_id, value)
            for trx, (transaction, trx_id) in enumerate(
                zip(truth["transactions"], truth["transaction_ids"], strict=True)
            )
            for op, (kind, value) in enumerate(transaction["operations"])
        ]
        assert expected == [
            (op.type, op.trx_in_block, op.op_in_trx, op.trx_id, json.loads(op.value))
            for op in block.operations
        ]


def test_two_equal_operations_in_one_transaction_are_two(still_node):
    """Equal operations differ in ``op_in_trx`` and nothing else, and none is merged."""
    blocks = Node(still_node.url).blocks(range(1, 51), 0)
    seen: set[tuple[int, str, str, bytes]] = set()
    twins = 0
    for block in blocks:
        for op in block.operations:
            content = (block.num, op.trx_id, op.type, op.value)
            twins += content in seen
            seen.add(content)
    assert twins, "the generated chain has such twins; none came through"


def test_a_block_that_is_not_there_yet_is_none(still_node):
    """Above the head there is ``None``, beside the blocks that exist."""
    blocks = Node(still_node.url).blocks([119, 120, 121], 0)
    assert [block and block.num for block in blocks] == [119, 120, None]


def test_poll_asks_for_head_and_block_at_once(still_node):
    """One request answers both."""
    node = asked(still_node.url)
    before = still_node.requests
    head, block = node.poll(120)
    assert (head.num, block.num) == (120, 120)
    assert node.poll(121)[1] is None
    assert still_node.requests - before == 2


def test_virtual_operations_join_in_the_chains_order(still_node):
    """Behind the operations of their transaction, block-level ones last, none merged or lost."""
    nums = range(1, 26)
    node = Node(still_node.url, virtual_ops=True)
    plain = Node(still_node.url).blocks(nums, 0)
    for block, without in zip(node.blocks(nums, 0), plain, strict=True):
        own = [op for op in block.operations if not op.virtual_op]
        assert own == list(without.operations)
        places = [op.within_block for op in block.operations]
        assert places == sorted(set(places))
        at_block_level = [op.type for op in block.operations if op.trx_in_block == 2**32 - 1]
        assert "producer_reward" in at_block_level
        truth = still_node.chain.block(block.num).virtual_operations()
        virtual = [op.type for op in block.operations if op.virtual_op]
        assert sorted(virtual) == sorted(
            each.operation["type"].removesuffix("_operation") for each in truth
        )


@pytest.mark.parametrize(("irreversible", "believed"), [(49, False), (50, True)])
def test_no_virtual_operations_is_believed_of_irreversible_blocks_only(
    still_node, irreversible, believed
):
    """Above the last irreversible block a node may just not have them yet: ask again."""
    block = json.loads(still_node.chain.block(50).condenser_json())
    answer = [{"id": 0, "result": block}, {"id": 1, "result": []}]
    with serving(http(json.dumps(answer).encode())) as url:
        (got,) = asked(url, virtual_ops=True).blocks([50], irreversible)
    assert (got is not None) == believed


def test_config_names_the_chain(still_node):
    """The constants hold the chain id."""
    assert set(Node(still_node.url).config()["STEEM_CHAIN_ID"]) == {"0"}


def test_every_recorded_failure_is_a_node_error(chaindata):
    """Each real failure answer, whatever was asked, ends as a named error and nothing else."""
    seen = set()
    for line in (chaindata / "rpc" / "failures.jsonl").read_text().splitlines():
        record = json.loads(line)
        answer = record["response"]
        body = answer if isinstance(answer, str) else json.dumps(answer)
        status = f"{record['http_status']} {record['http_reason']}"
        with serving(http(body.encode(), status)) as url:
            node = asked(url, timeout_s=PATIENCE_S)
            for call in (node.head, lambda n=node: n.blocks([1, 2], 0), lambda n=node: n.poll(7)):
                with pytest.raises(NodeError) as caught:
                    call()
                seen.add(type(caught.value))
                if record["http_status"] != 200:
                    assert isinstance(caught.value, NodeStatusError)
                    assert caught.value.status == record["http_status"]
    assert seen == {NodeStatusError, NodeAnswerError, NodeRpcError}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", NodeAnswerError),
        (b"11 eof_exception: End Of File", NodeAnswerError),
        (b'[{"id":1,"result":{"previous":', NodeAnswerError),
        (b"[]", NodeAnswerError),
        (b'[{"id":5,"result":null},{"id":6,"result":null}]', NodeAnswerError),
        (b'[{"id":1,"result":null},{"id":1,"result":null}]', NodeAnswerError),
        (b'[{"id":0,"result":{}},{"id":1,"result":null}]', NodeAnswerError),
        (b'{"id":1,"result":null}', NodeAnswerError),
        (b'{"id":null,"error":{"code":1600,"message":"Batch size too large"}}', NodeLimitError),
        (b'[{"id":1,"result":null},{"id":2,"error":{"code":-32603,"message":"x"}}]', NodeRpcError),
        (b"\xff\xfe[", NodeAnswerError),
        (b"[" * 100_000, NodeAnswerError),
    ],
)
def test_an_unusable_answer_is_named(body, error):
    """Truncated, empty, deep, foreign or refused: the error says which node and what it sent."""
    with serving(http(body)) as url, pytest.raises(error) as caught:
        asked(url, timeout_s=PATIENCE_S).blocks([1, 2], 0)
    assert url in str(caught.value)


@pytest.mark.parametrize("name", ["block_id", "previous"])
def test_an_id_that_does_not_fit_the_number_is_refused(still_node, name):
    """A block's id begins with its number, so another block in its place is noticed."""
    block = json.loads(still_node.chain.block(50).condenser_json())
    block[name] = f"{77:08x}" + block[name][8:]
    answer = json.dumps([{"jsonrpc": "2.0", "id": 0, "result": block}]).encode()
    with serving(http(answer)) as url, pytest.raises(NodeAnswerError, match=f"50 with {name}"):
        asked(url).blocks([50], 0)


def test_a_password_goes_to_the_node_and_nowhere_else():
    """It is sent as HTTP wants it; what people see, errors too, has stars in its place."""
    sent: list[bytes] = []

    def refuse(connection, request):
        sent.append(request)
        http(b"no", "500 Internal Server Error")(connection, request)

    with serving(refuse) as url:
        node = asked(url.replace("//", "//ann:s3cret@"))
        with pytest.raises(NodeStatusError) as caught:
            node.head()
    (request,) = sent
    assert b"Authorization: Basic " + base64.b64encode(b"ann:s3cret") in request
    assert node.url == str(node) == url.replace("//", "//ann:***@")
    assert node.url in str(caught.value)
    assert "s3cret" not in repr(caught.value)


def test_connection_refused_is_unreachable():
    """Nobody listens: the error names the node and the plain reason."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # so that nobody else gets the port, and does not listen
        with pytest.raises(NodeUnreachableError, match="Connection refused"):
            asked(f"http://127.0.0.1:{silent.getsockname()[1]}").head()


@pytest.mark.parametrize(
    "script",
    [
        reset,
        raw(b""),
        raw(b"nonsense\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"),
    ],
)
def test_a_broken_connection_is_unreachable(script):
    """Reset or closed in the middle, closed without a word, not HTTP at all."""
    with serving(script) as url, pytest.raises(NodeUnreachableError):
        asked(url, timeout_s=PATIENCE_S).head()


def test_a_node_that_never_answers_is_abandoned():
    """Accepting and saying nothing ends at the deadline."""
    stop = threading.Event()
    with serving(lambda _c, _r: stop.wait(PATIENCE_S) and None) as url:
        with pytest.raises(NodeTimeoutError, match=r"within 0\.5 s"):
            asked(url, timeout_s=0.5).head()
        stop.set()


def test_a_node_that_trickles_is_abandoned():
    """One byte at a time renews requests' own timeout for ever; the deadline still holds."""
    stop = threading.Event()
    with serving(drip(stop)) as url:
        begun = time.monotonic()
        with pytest.raises(NodeTimeoutError):
            asked(url, timeout_s=0.5).head()
        assert time.monotonic() - begun < PATIENCE_S
        stop.set()
