"""Following a real node over HTTP: in order, without a hole, over failures and forks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import msgspec
import pytest

from steembot import repeats
from steembot.chain import troubles
from steembot.chain.node import Fetched, Head, Node
from steembot.chain.stream import ChainStream
from steembot.operation import Block
from tests.support.following import Recorder, following, fork_until, streaming
from tests.support.nodes import make_chain
from tests.support.nodes import serving as serving_nodes
from tests.support.scripted_http import http, serving
from tests.support.waiting import wait_until


def test_catches_up_and_stays_at_the_head(moving_node):
    """From the first block to a moving head, every block once, in order."""
    recorder = Recorder()
    with streaming(recorder, [moving_node.url]):
        recorder.wait(lambda: len(recorder.blocks) >= 60)
    truth = [moving_node.chain.block(num).id for num in range(1, 61)]
    assert [block.id for block in recorder.blocks[:60]] == truth
    assert recorder.irreversible >= 30


def test_begins_at_the_head(still_node):
    """Without a start the head is the first block."""
    recorder = Recorder()
    with streaming(recorder, [still_node.url], start=None):
        recorder.wait(lambda: recorder.blocks)
    assert [block.num for block in recorder.blocks] == [120]


def test_goes_on_after_the_tip(still_node):
    """A later run begins behind the block where the one before ended."""
    recorder = Recorder()
    node = Node(still_node.url)
    recorder.blocks = [block for block in node.blocks(range(70, 81), 0) if block is not None]
    with streaming(recorder, [still_node.url], tip=recorder.blocks[-1].ref, start=None):
        recorder.wait(lambda: len(recorder.blocks) == 51)
    assert [block.num for block in recorder.blocks] == list(range(70, 121))


def test_follows_forks(moving_node):
    """Forks of several depths at the head end in the node's chain."""
    recorder = Recorder()
    with streaming(recorder, [moving_node.url]):
        for depth in (1, 2, 7, 12):
            so_far = moving_node.chain.head.num
            recorder.wait(lambda n=so_far: recorder.blocks and recorder.blocks[-1].num >= n)
            moving_node.call(lambda d=depth: moving_node.chain.fork(d))
        fork_until(recorder, lambda: recorder.removed >= 4, moving_node)
        so_far = moving_node.chain.head.num + 5
        recorder.wait(lambda: recorder.blocks[-1].num >= so_far)
    assert recorder.removed >= 4
    for block in recorder.blocks[:so_far]:
        assert block.id == moving_node.chain.block(block.num).id


def test_a_failing_node_is_said_once_and_so_is_its_return(moving_node, caplog):
    """The other node carries on; one line tells of the failure."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    with (
        serving(http(b"<html>502</html>", "502 Bad Gateway", "text/html")) as ill,
        streaming(recorder, [ill, moving_node.url]),
    ):
        recorder.wait(lambda: len(recorder.blocks) >= 60)
    lines = [r.getMessage() for r in caplog.records if ill in r.getMessage()]
    assert lines == [f"node {ill}: HTTP 502 Bad Gateway; asking it again later"]


def test_that_no_node_answers_is_said_again_and_again_but_not_more(monkeypatch, caplog):
    """With all nodes down each is told once; then the whole, once in each interval."""
    for module in (repeats, troubles):
        monkeypatch.setattr(module, "REPEAT_S", 1.5)

    def said() -> list[logging.LogRecord]:
        return [r for r in caplog.records if r.getMessage().startswith("no node answers")]

    begun = time.monotonic()
    with (
        serving(http(b"<html>502</html>", "502 Bad Gateway", "text/html")) as one,
        serving(http(b"<html>503</html>", "503 Service Unavailable", "text/html")) as other,
        streaming(Recorder(), [one, other]) as following,
    ):
        wait_until(lambda: len(said()) >= 3, "the third time")
        trouble = following.situation.trouble
    # By the stream's own clock; what it said may have been written down any time later.
    assert len(said()) * 1.5 <= time.monotonic() - begun
    assert said()[0].getMessage().removeprefix("no node answers; last was ") in caplog.text
    assert "HTTP 50" in trouble


def test_a_node_that_was_away_is_followed_again(caplog):
    """Refused, then there: one warning, one return, and not a block missing."""
    from steembot.devnode.chain import Chain  # noqa: PLC0415
    from steembot.devnode.generate import GeneratedBlocks  # noqa: PLC0415
    from steembot.devnode.server import DevNode  # noqa: PLC0415
    from steembot.devnode.thread import in_thread  # noqa: PLC0415

    caplog.set_level(logging.INFO)
    recorder = Recorder()
    source = GeneratedBlocks("away", genesis_time=1_600_000_002)
    chain = Chain(source, start=time.monotonic(), ready=30, interval_s=0.05)
    with in_thread(DevNode(chain, faults=["refuse"])) as node:
        url = node.url
        with streaming(recorder, [url]) as stream:
            recorder.wait(lambda: stream.situation.trouble)
            node.faults.clear()
            recorder.wait_for(50)
    told = [r.getMessage() for r in caplog.records]
    assert sum("Connection refused" in line for line in told) == 1
    assert told.count(f"node {url} is back") == 1
    assert [block.num for block in recorder.blocks] == list(range(1, len(recorder.blocks) + 1))


class Boaster(Node):
    """A node that announces so many blocks more than there are."""

    by = 0

    def head(self) -> Head:
        return self._boast(super().head())

    def poll(self, num: int) -> tuple[Head, Block | None]:
        head, block = super().poll(num)
        return self._boast(head), block

    def _boast(self, head: Head) -> Head:
        num = min(head.num + self.by, 2**32 - 1)
        return msgspec.structs.replace(head, num=num, id=f"{num:08x}{head.id[8:]}")


@pytest.mark.parametrize(("by", "first"), [(2**32, True), (1_000_000, True), (1_000_000, False)])
def test_a_head_that_does_not_exist_is_not_waited_for(moving_node, caplog, by, first):
    """A node announces what time does not allow, or what it does not have, beside an honest one."""
    recorder = Recorder()
    boaster, honest = (
        Boaster(moving_node.url.replace("127.0.0.1", "localhost")),
        Node(moving_node.url),
    )
    boaster.by = by
    nodes = [boaster, honest] if first else [honest, boaster]
    with following(recorder, nodes) as stream:
        recorder.wait_for(40)
        # It may be asked for what it announced; then it is believed one block at a time.
        wait_until(lambda: stream.situation.behind < 1000, "a head that can be")
        seen = len(recorder.blocks)
        behind = []
        recorder.wait(
            lambda: behind.append(stream.situation.behind) or len(recorder.blocks) > seen + 20
        )
        assert max(behind) < 1000
    if by == 2**32:
        assert "no chain can have more than" in caplog.text


class Inconsistent(Node):
    """A node whose block 50 does not join its own block 49."""

    def poll(self, num: int) -> tuple[Head, Block | None]:
        head, block = super().poll(num)
        return head, self._spoil(block)

    def fetch(self, nums: Sequence[int], irreversible: int) -> Fetched[Block | None]:
        fetched = super().fetch(nums, irreversible)
        spoilt = [self._spoil(block) for block in fetched.results]
        return msgspec.structs.replace(fetched, results=spoilt)

    def _spoil(self, block: Block | None) -> Block | None:
        if block is None or block.num != 50:
            return block
        return msgspec.structs.replace(block, previous=f"{49:08x}" + "f" * 32)


@pytest.mark.parametrize("ready", [30, 120])
def test_a_node_that_contradicts_itself_is_named_and_left(caplog, ready):
    """At the head and within a batch: it rests, and the honest one gives the block."""
    recorder = Recorder()
    with serving_nodes(make_chain("odd", ready=ready, interval_s=0.05), 2) as (one, other):
        with following(recorder, [Inconsistent(one.url), Node(other.url)]):
            recorder.wait_for(130)
        assert one.requests < 1000
    assert f"node {one.url}: its block 50 does not join its own block 49" in caplog.text
    assert not any(record.getMessage().startswith(f"node {other.url}") for record in caplog.records)


class Hasty(Node):
    """A node that calls its head irreversible."""

    def poll(self, num: int) -> tuple[Head, Block | None]:
        head, block = super().poll(num)
        return msgspec.structs.replace(head, irreversible=head.num), block


class Trusting(Recorder):
    """Takes a change of what is irreversible back, too."""

    def apply(self, change, irreversible: int) -> None:
        self.irreversible = min(self.irreversible, irreversible)
        super().apply(change, irreversible)


def test_a_false_irreversible_block_does_not_stop_the_feed(caplog):
    """A head that was called irreversible is removed by a fork: followed, and nobody is ill."""
    recorder = Trusting()
    with (
        serving_nodes(make_chain("hasty", ready=30, interval_s=3600), 2) as (one, other),
        following(recorder, [Hasty(one.url), Node(other.url)]),
    ):
        # It stands still for so long that it is believed.
        recorder.wait(lambda: recorder.irreversible == 30)
        one.call(lambda: one.chain.fork(2))
        recorder.wait(lambda: recorder.blocks[-1].num == 31)
        assert recorder.blocks[-1].id == one.chain.head.id
    assert "block 29 was called irreversible, and a fork removed it all the same" in caplog.text
    assert not any(record.getMessage().startswith("node ") for record in caplog.records)


def test_a_start_above_the_head_waits_and_says_so(still_node, caplog):
    """The chain is not there yet: one line, no block, no failure."""
    recorder = Recorder()
    with streaming(recorder, [still_node.url], start=500) as stream:
        wait_until(lambda: caplog.records, "the line")
        assert stream.situation.trouble == ""
    assert "waiting for block 500: the node's head is block 120" in caplog.text
    assert recorder.blocks == []


def test_an_error_of_the_log_ends_the_stream(still_node):
    """What ``apply`` raises ends the run: a block that isn't durable is not followed further."""

    def apply(_change, _irreversible) -> None:
        raise OSError("no space left")

    recorder = Recorder()
    recorder.apply = apply
    stream = ChainStream(
        [Node(still_node.url)],
        tip=None,
        irreversible=0,
        start=1,
        id_at=recorder.id_at,
        oldest=lambda: recorder.oldest,
        apply=apply,
    )
    with pytest.raises(OSError, match="no space left"):
        stream.run()
