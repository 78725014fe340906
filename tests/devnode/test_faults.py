"""Which faults strike: by share, by time, by order, over HTTP and in the event loop."""

import asyncio
import json

import aiohttp
import pytest

from steembot.devnode.fault_notation import parse
from steembot.devnode.faults import Faults
from steembot.devnode.server import DevNode
from tests.devnode.client import PROPERTIES, Clock, ask, call, connection_to, new_chain


def new_faults(clock=None, **settings):
    return Faults(clock=clock or Clock(), **settings)


def strikes(faults, count=200):
    return [faults.plan(b"{}").answer is not None for _ in range(count)]


def test_share_is_drawn_from_the_seed():
    """The same seed draws the same requests, whatever else is on; another one others."""
    faults, also, other = new_faults(seed=1), new_faults(seed=1), new_faults(seed=2)
    for each in (faults, other):
        each.set("http-502@0.2")
    also.set("hang@0.3", "latency:1@0.4", "http-502@0.2")
    drawn = strikes(faults)
    assert 15 < sum(drawn) < 65
    assert strikes(other) != drawn
    also_drawn = [also.plan(b"{}").answer for _ in drawn]
    assert [also_drawn[i] is not None for i, struck in enumerate(drawn) if struck] == [True] * sum(
        drawn
    )


def test_times_and_for():
    """Ended by what comes first; setting it again begins anew."""
    clock = Clock()
    faults = new_faults(clock)
    faults.set("http-502,times:3")
    assert strikes(faults, 5) == [True] * 3 + [False] * 2
    assert faults.active == ()
    faults.set("http-502,for:2.5,times:3")
    assert strikes(faults, 1) == [True]
    clock.now += 2.5
    assert strikes(faults, 1) == [False]
    faults.set("http-502,times:3")
    assert strikes(faults, 4) == [True] * 3 + [False]
    assert faults.struck("http-502") == 7


def test_the_one_set_first_answers():
    """One of several answers; the others wait for their turn."""
    faults = new_faults()
    faults.set("hang,times:2", "http-502")
    names = [faults.plan(b"{}").answer.name for _ in range(4)]
    assert names == ["hang", "hang", "http-502", "http-502"]
    assert faults.struck("http-502") == 2


def test_a_share_over_http(node):
    """About a fifth of the requests fail, the rest is well."""
    node.faults.set("http-502@0.2")
    with connection_to(node.url) as connection:
        statuses = []
        for _ in range(100):
            connection.request("POST", "/", json.dumps(call(PROPERTIES)))
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    assert set(statuses) == {200, 502}
    assert 5 < statuses.count(502) < 40


def test_clear_one_of_several(node):
    """The others stay on."""
    node.faults.set("latency:1", "http-502", "internal-error")
    node.faults.clear("http-502")
    assert node.faults.active == (parse("latency:1"), parse("internal-error"))
    assert ask(node.url, PROPERTIES)["code"] == -32603


def test_switched_in_the_event_loop():
    """Also from the node's own thread."""

    async def run():
        clock = Clock()
        async with (
            DevNode(new_chain(clock), clock=clock) as node,
            aiohttp.ClientSession() as session,
        ):
            node.faults.set("http-502")
            async with session.post(node.url, json=call(PROPERTIES)) as response:
                assert response.status == 502
            node.faults.set("refuse")
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.post(node.url, json=call(PROPERTIES))
            node.faults.clear()
            async with session.post(node.url, json=call(PROPERTIES)) as response:
                assert response.status == 200

    asyncio.run(run())
