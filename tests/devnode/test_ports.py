"""A port by itself: what happens to connections that nobody has served yet."""

import asyncio
import gc
import socket
import warnings

from steembot.devnode.ports import Port


def test_a_connection_that_was_just_accepted_is_closed_with_the_port():
    """Also one whose turn in the event loop has not come."""

    async def run():
        port = Port("127.0.0.1", 0, asyncio.Protocol)
        with socket.create_connection(("127.0.0.1", port.number)) as client:
            client.setblocking(False)
            port._accept(port._listener)
            assert port._accepting
            await port.close()
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(run())
        gc.collect()
    assert [str(each.message) for each in told] == []
