"""A node whose answers were made beforehand, so that it is not what a benchmark measures.

    python -m bench.answers [--ops 50] [--kinds 200] LATENCY_MS...

One port for each latency, all with the same chain; prints their URLs as JSON. The chain has a
million blocks, each a generated one under a new number, time and id, so that any distance can be
caught up with. Its head moves on with the clock. ``get_block`` is answered from ready pieces; the
rest, which nobody asks often, by the devnode's own code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from typing import Any

import msgspec

from steembot.devnode.chain import SLOT_SECONDS, Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.rpc import Rpc

HEAD = 1_000_000
"""The head's number at the start."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_MARK = re.compile(rb'("(?:@id@|@previous@|@time@)"|"block_num":@num@)')


class Call(msgspec.Struct):
    """What matters of a JSON-RPC call."""

    method: str
    id: Any = None
    params: Any = None


_decode = msgspec.json.Decoder(Call | list[Call]).decode


def block_id(num: int) -> str:
    """Return the id of the block of that number; its first 32 bits are the number, as on Steem."""
    return f"{num:08x}{num:032x}"


class Template:
    """A block's JSON, cut where its number, id, previous id and time stand."""

    def __init__(self, text: bytes, num: int) -> None:
        block = msgspec.json.decode(text)
        for old, mark in (
            (b'"%s"' % block["block_id"].encode(), b'"@id@"'),
            (b'"%s"' % block["previous"].encode(), b'"@previous@"'),
            (b'"timestamp":"%s"' % block["timestamp"].encode(), b'"timestamp":"@time@"'),
            (b'"block_num":%d' % num, b'"block_num":@num@'),
        ):
            text = text.replace(old, mark)
        self._pieces = _MARK.split(text)
        places: dict[bytes, list[int]] = {}
        for place in range(1, len(self._pieces), 2):
            places.setdefault(self._pieces[place], []).append(place)
        self._places = places

    def fill(self, num: int, timestamp: int) -> bytes:
        """Return the JSON of the block under another number."""
        pieces = self._pieces.copy()
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(timestamp))
        for mark, value in (
            (b'"@id@"', b'"%s"' % block_id(num).encode()),
            (b'"@previous@"', b'"%s"' % block_id(num - 1).encode()),
            (b'"@time@"', b'"%s"' % when.encode()),
            (b'"block_num":@num@', b'"block_num":%d' % num),
        ):
            for place in self._places.get(mark, ()):
                pieces[place] = value
        return b"".join(pieces)


class Answers:
    """Answers requests about the chain."""

    def __init__(self, ops: int, kinds: int) -> None:
        source = GeneratedBlocks("bench", genesis_time=1_600_000_002, operations=ops)
        chain = Chain(source, start=0.0, ready=kinds, interval_s=3600, keep=None)
        self._rpc = Rpc(chain)
        blocks = [chain.block(num) for num in range(1, kinds + 1)]
        found = [block for block in blocks if block is not None]
        self._condenser = [Template(each.condenser_json(), each.num) for each in found]
        self._appbase = [Template(each.appbase_json(), each.num) for each in found]
        now = int(time.time())
        self._genesis = now - now % SLOT_SECONDS - HEAD * SLOT_SECONDS
        self.requests = 0

    @property
    def head(self) -> int:
        """The newest block's number now."""
        return (int(time.time()) - self._genesis) // SLOT_SECONDS

    def answer(self, body: bytes) -> bytes:
        """Return the body of the answer to a request's body."""
        self.requests += 1
        try:
            request = _decode(body)
        except msgspec.MsgspecError:
            return self._rpc.answer(body)
        if isinstance(request, list):
            return b"[" + b",".join(map(self._reply, request)) + b"]"
        return self._reply(request)

    def _reply(self, call: Call) -> bytes:
        name, params = call.method, call.params
        if name == "call":
            api, method, params = (*params, [])[:3]
            name = f"{api}.{method}"
        if name in ("condenser_api.get_block", "database_api.get_block", "get_block"):
            result = self._block(self._condenser, int(params[0])) or b"null"
        elif name == "block_api.get_block":
            block = self._block(self._appbase, int(params["block_num"]))
            result = b'{"block":%s}' % block if block else b"{}"
        else:
            params = {} if call.params is None else call.params
            reply = self._rpc.reply(
                {"jsonrpc": "2.0", "method": call.method, "params": params, "id": 0}
            )
            if "result" in reply and name.endswith("get_dynamic_global_properties"):
                reply["result"] |= self._head()
            return msgspec.json.encode(reply | {"id": call.id})
        return b'{"jsonrpc":"2.0","result":%s,"id":%s}' % (result, msgspec.json.encode(call.id))

    def _block(self, templates: list[Template], num: int) -> bytes | None:
        if not 1 <= num <= self.head:
            return None
        return templates[num % len(templates)].fill(num, self._genesis + SLOT_SECONDS * num)

    def _head(self) -> dict[str, Any]:
        head = self.head
        when = time.gmtime(self._genesis + SLOT_SECONDS * head)
        return {
            "head_block_number": head,
            "head_block_id": block_id(head),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", when),
            "last_irreversible_block_num": head - 15,
        }


class Connection(asyncio.Protocol):
    """A client's connection: just enough of HTTP/1.1 for JSON-RPC, and nothing that takes time."""

    def __init__(self, answers: Answers, latency_s: float) -> None:
        self._answers = answers
        self._latency_s = latency_s
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete now."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", self._buffer[:end])
            length = int(found[1]) if found else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if self._latency_s:
                loop = asyncio.get_running_loop()
                loop.call_later(self._latency_s, self._send, body)
            else:
                self._send(body)

    def _send(self, body: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        reply = self._answers.answer(body)
        self._transport.writelines((_HEAD % len(reply), reply))


async def serve(answers: Answers, latencies_ms: list[float]) -> None:
    """Serve on a port for each latency, until the process is ended."""
    loop = asyncio.get_running_loop()
    urls = {}
    for latency_ms in latencies_ms:

        def connection(latency_s: float = latency_ms / 1000) -> Connection:
            return Connection(answers, latency_s)

        server = await loop.create_server(connection, "127.0.0.1", 0)
        urls[f"{latency_ms:g}"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps(urls), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Make the answers, then serve them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("latencies_ms", type=float, nargs="+")
    parser.add_argument("--ops", type=int, default=50)
    parser.add_argument("--kinds", type=int, default=200)
    given = parser.parse_args()
    asyncio.run(serve(Answers(given.ops, given.kinds), given.latencies_ms))


if __name__ == "__main__":
    main()
