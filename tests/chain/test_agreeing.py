"""Several nodes over HTTP: agreement, help for a slow one, one that comes back."""

from __future__ import annotations

import logging
import time

import pytest

from steembot.chain import pool
from steembot.chain import stream as stream_module
from steembot.chain.rate import BURST
from tests.support.following import PATIENCE_S, Recorder, fork_until, streaming
from tests.support.nodes import make_chain, serving


def says(caplog: pytest.LogCaptureFixture, *words: str) -> bool:
    """Whether a line was logged that has all these words."""
    return any(all(word in line for word in words) for line in list(caplog.messages))


def test_a_quorum_of_two_needs_two(caplog):
    """With one node left nothing is delivered, and the reason is said; with two it goes on."""
    recorder = Recorder()
    with serving(make_chain("two", ready=20, interval_s=0.05), 2) as nodes:
        nodes[1].faults.set("http-502")
        with streaming(recorder, nodes.urls, quorum=2) as stream:
            recorder.wait(lambda: "2 nodes must agree" in stream.situation.trouble)
            assert not recorder.blocks
            nodes[1].faults.clear()
            recorder.wait_for(30)
            recorder.wait(lambda: not stream.situation.trouble)
    assert "2 nodes must agree, and 1 of 2 answer" in caplog.text


def test_two_of_two_that_differ_deliver_nothing(caplog):
    """Nobody can tell who lies: nothing is delivered and both answers are in the log."""
    recorder = Recorder()
    chain = make_chain("differ", ready=20, interval_s=0.05)
    with serving(chain, 2) as nodes, streaming(recorder, nodes.urls, quorum=2) as stream:
        recorder.wait_for(25)
        nodes[0].faults.set("altered-block")
        recorder.wait(lambda: "no 2 nodes agree on block" in stream.situation.trouble)
        had = len(recorder.blocks)
        attempted = stream.situation.attempted
        recorder.wait(lambda: stream.situation.attempted > attempted + 1)
        assert len(recorder.blocks) == had
        nodes[0].faults.clear()
        recorder.wait_for(had + 20)
    assert all(url in caplog.text for url in nodes.urls)


def test_a_liar_is_named_and_rests(caplog):
    """One of three sends the right id with other contents; the two others are believed."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    with serving(make_chain("liar", ready=20, interval_s=0.05)) as nodes:
        with streaming(recorder, nodes.urls, quorum=2):
            recorder.wait_for(25)
            nodes[1].faults.set("altered-block")
            recorder.wait(lambda: says(caplog, nodes.urls[1], "has other contents there"))
            recorder.wait_for(len(recorder.blocks) + 25)
        truth = [nodes.chain.block(block.num).id for block in recorder.blocks]
    assert [block.id for block in recorder.blocks] == truth


def test_a_late_answer_holds_nothing_up():
    """A node that takes a second is helped out by one that does not, and is not preferred long."""
    recorder = Recorder()
    chain = make_chain("late", ready=20, interval_s=0.05)
    with serving(chain, 2) as nodes, streaming(recorder, nodes.urls) as stream:
        recorder.wait_for(40)
        nodes[0].faults.set("latency:2000")
        recorder.wait_for(len(recorder.blocks) + 60)
        recorder.wait(lambda: stream.situation.node == nodes.urls[1])


def test_a_node_with_a_fork_of_its_own_is_not_followed(caplog):
    """Blocks are not removed on the word of one node while another one still has them."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    with serving(make_chain("alone", ready=40, interval_s=0.05)) as nodes:
        with streaming(recorder, nodes.urls):
            recorder.wait_for(45)
            nodes[0].faults.set(f"fork-from:{nodes.chain.head.num - 5}")
            recorder.wait(lambda: says(caplog, nodes.urls[0], "elsewhere"))
            recorder.wait_for(len(recorder.blocks) + 35)
        truth = [nodes.chain.block(block.num).id for block in recorder.blocks]
    assert recorder.removed == 0
    assert [block.id for block in recorder.blocks] == truth


def test_a_fork_of_all_nodes_is_followed():
    """What every node has replaced is replaced here."""
    recorder = Recorder()
    with serving(make_chain("forks", ready=40, interval_s=0.05)) as nodes:
        with streaming(recorder, nodes.urls):
            for depth in (1, 5, 12):
                had = nodes.chain.head.num
                recorder.wait(lambda n=had: recorder.blocks and recorder.blocks[-1].num >= n)
                nodes.call(lambda d=depth: nodes.chain.fork(d))
            fork_until(recorder, lambda: recorder.removed, nodes)
            had = nodes.chain.head.num + 3
            recorder.wait(lambda: recorder.blocks[-1].num >= had)
        for block in recorder.blocks[:had]:
            assert block.id == nodes.chain.block(block.num).id
    assert recorder.removed >= 1


def test_a_start_at_the_head_is_not_at_a_stale_one(monkeypatch):
    """A first node that is far behind does not decide where a first start begins."""
    # The others tell theirs a little later, on a busy machine much later.
    monkeypatch.setattr(stream_module, "GRACE_S", PATIENCE_S)
    monkeypatch.setattr(pool, "SLOW_S", PATIENCE_S)
    recorder = Recorder()
    with serving(make_chain("stale", ready=60, interval_s=0.05)) as nodes:
        nodes[0].faults.set("stale-head:50")
        for node in nodes.nodes[1:]:
            node.faults.set("latency:100")
        with streaming(recorder, nodes.urls, start=None):
            recorder.wait_for(10)
    assert recorder.blocks[0].num >= 60


def test_the_rate_holds_for_each_node():
    """Whatever is to be fetched, a node gets no more requests than it may."""
    recorder = Recorder()
    chain = make_chain("rate", ready=400, interval_s=3600, ops=1)
    with serving(chain, 1) as nodes:
        begun = time.monotonic()
        with streaming(recorder, nodes.urls, requests_per_s=5):
            recorder.wait_for(400)
        assert nodes[0].requests <= BURST + 5 * (time.monotonic() - begun)
