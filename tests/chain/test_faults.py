"""Each way in which nodes were seen to fail: the stream goes on, and says whose fault it is.

The node that fails is always the one that the user named first.
"""

from __future__ import annotations

import logging
import random

import pytest

from steembot.devnode.fault_kinds import KINDS
from tests.support.following import Recorder, streaming
from tests.support.nodes import make_chain, serving

NOT_SAID = ""

# Fault, and what the log has to say about the node; nothing where it does no harm.
CASES = {
    "refuse": "Connection refused",
    "latency:700": NOT_SAID,
    "http-403": "HTTP 403",
    "http-413": "HTTP 413",
    "http-429:1": "HTTP 429",
    "http-500": "HTTP 500",
    "http-502": "HTTP 502",
    "http-503:1": "HTTP 503",
    "http-504": "HTTP 504",
    "rate:3": "HTTP 429",
    "plain-text": "not the answer asked for",
    "empty-body": "not the answer asked for",
    "truncated": "not the answer asked for",
    "reset": "node http",
    "hang": NOT_SAID,
    "drip": NOT_SAID,
    "internal-error": "JSON-RPC error -32603",
    "request-timeout": "JSON-RPC error 1000",
    "upstream-error": "JSON-RPC error 1100",
    "bad-batch": "JSON-RPC error -32603",
    "batch-limit:7": NOT_SAID,
    "database-lock": "JSON-RPC error -32003",
    "server-error": "JSON-RPC error -32000",
    "missing-block:2": NOT_SAID,
    "hole:10:12": NOT_SAID,
    "missing-virtual:3": NOT_SAID,
    "stale-head:1000": NOT_SAID,
    "frozen-head": NOT_SAID,
    "head-back:20:flap": NOT_SAID,
    "head-back:20": NOT_SAID,
    "fork-from:20": NOT_SAID,
    "wrong-chain": "its chain id is beeab0de",
    "altered-block": NOT_SAID,
    "other-block": NOT_SAID,
}


def test_each_fault_of_the_devnode_has_a_case():
    """A new fault needs a decision here."""
    assert {case.split(":")[0] for case in CASES} == {kind.name for kind in KINDS} - {"tls"}


def lines_with(caplog: pytest.LogCaptureFixture, urls: list[str]) -> list[str]:
    """Return the lines that name one of these nodes."""
    return [line for line in list(caplog.messages) if any(url in line for url in urls)]


@pytest.mark.parametrize("fault", CASES)
def test_the_stream_goes_on(fault, caplog):
    """With the first of three nodes at fault, every block comes, once, in order, and soon."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    # Two nodes are needed to find out who invents blocks.
    lies = fault.split(":")[0] in ("altered-block", "other-block", "fork-from")
    chain = make_chain("faults", ready=30, interval_s=0.04, ops=4)
    with serving(chain) as nodes:
        nodes[0].faults.set(fault)
        options = {"virtual_ops": "virtual" in fault, "quorum": 2 if lies else 1}
        with streaming(recorder, nodes.urls, **options):
            recorder.wait_for(50)
            if said := CASES[fault]:
                recorder.wait(lambda: said in "\n".join(lines_with(caplog, nodes.urls[:1])))
    truth = [chain.block(num).id for num in range(1, 51)]
    contents = [chain.block(num).condenser_json() for num in range(1, 51)]
    assert [block.id for block in recorder.blocks[:50]] == truth
    for block, content in zip(recorder.blocks, contents, strict=False):
        assert all(op.value in content for op in block.operations if not op.virtual_op)
    lines = lines_with(caplog, nodes.urls[:1])
    assert sum("asking it again later" in line for line in lines) <= 1, "said once a minute"
    assert not lines_with(caplog, nodes.urls[1:]), "the others did nothing wrong"


@pytest.mark.parametrize("how", ["garbage", "close", "silent"])
def test_tls_that_fails(how, caplog):
    """A node whose TLS fails is passed over; without a fault its certificate is refused."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()
    chain = make_chain("faults", ready=30, interval_s=0.04, ops=4)
    with serving(chain, https=True) as nodes:
        nodes[0].faults.set(f"tls:{how}")
        with streaming(recorder, [nodes[0].https_url, nodes.urls[1]], timeout_s=2):
            recorder.wait_for(40)
    assert [block.num for block in recorder.blocks[:40]] == list(range(1, 41))


@pytest.mark.parametrize("fault", ["hang", "refuse", "http-502", "reset", "frozen-head"])
def test_a_fault_in_the_middle(fault):
    """A node that fails while it is being followed is left at once, and taken up again."""
    recorder = Recorder()
    with serving(make_chain("middle", ready=20, interval_s=0.05, ops=4)) as nodes:
        # To wait for the answer of a node that hangs would take longer than is waited here.
        with streaming(recorder, nodes.urls, timeout_s=20 if fault == "hang" else 5) as stream:
            recorder.wait_for(30)
            recorder.wait(lambda: stream.situation.node == nodes.urls[0])
            nodes[0].faults.set(fault)
            recorder.wait_for(len(recorder.blocks) + 20, timeout_s=18)
            nodes[0].faults.clear()
            recorder.wait(lambda: stream.situation.node == nodes.urls[0])
        truth = [nodes.chain.block(block.num).id for block in recorder.blocks]
    assert [block.id for block in recorder.blocks] == truth


def test_all_nodes_down_is_said_and_survived(caplog):
    """Without any node nothing moves, the trouble is named, attempts go on; then all comes."""
    recorder = Recorder()
    chain = make_chain("down", ready=20, interval_s=0.05, ops=4)
    with serving(chain) as nodes, streaming(recorder, nodes.urls) as stream:
        recorder.wait_for(25)
        for node in nodes.nodes:
            node.faults.set("http-502")
        recorder.wait(lambda: "HTTP 502" in stream.situation.trouble)
        assert stream.situation.ill == 3
        attempted = stream.situation.attempted
        recorder.wait(lambda: stream.situation.attempted > attempted)
        for node in nodes.nodes:
            node.faults.clear()
        recorder.wait_for(60)
        recorder.wait(lambda: not stream.situation.trouble)
    assert sum("HTTP 502" in line for line in caplog.messages) <= 3


MIXED = [
    *("http-502@0.3", "http-503:1@0.2", "internal-error@0.3", "truncated@0.3", "reset@0.3"),
    *("hang@0.05", "missing-block:2", "frozen-head", "stale-head:30", "head-back:20:flap"),
    *("batch-limit:20", "plain-text@0.3", "database-lock@0.02", "latency:300", "refuse"),
    *("bad-batch@0.3", "empty-body@0.3", "drip@0.05", "hole:{next}", "http-429:1@0.2"),
]


@pytest.mark.parametrize("seed", [1])
def test_a_mix_of_faults_over_ten_thousand_blocks(seed):
    """Nothing is lost, doubled or out of order while each of three nodes fails in many ways."""
    rng = random.Random(seed)
    recorder = Recorder()
    total = 10_000
    # However long it takes, no block is forgotten.
    with serving(make_chain(f"mix {seed}", ready=20, interval_s=0.002, ops=1, keep=None)) as nodes:
        with streaming(recorder, nodes.urls, timeout_s=2):
            while (had := len(recorder.blocks)) < total:
                for node in nodes.nodes:
                    # One node is well at any time, but never the same one for long.
                    node.faults.clear()
                for node in rng.sample(nodes.nodes, 2):
                    fault = rng.choice(MIXED).format(next=had + rng.randrange(1, 50))
                    node.faults.set(fault)
                recorder.wait_for(had + rng.randrange(50, 1500))
        for block in recorder.blocks[:total]:
            assert block.id == nodes.chain.block(block.num).id
    assert [block.num for block in recorder.blocks[:total]] == list(range(1, total + 1))
