"""A front before a node: it passes requests on, and may answer some of them otherwise."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.scripted_http import Script, http, serving

RANGE = b"get_block_range"

Change = Callable[[bytes, Callable[[], bytes]], bytes | Script | None]
"""Given a request's body and how to get the node's answer to it: another answer, or ``None``."""


class Front:
    """What was asked, body by body; ``url`` is where."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[bytes] = []

    @property
    def ranges(self) -> int:
        """How many of the requests were for a range."""
        return sum(RANGE in request for request in self.requests)


@contextmanager
def fronting(node_url: str, change: Change) -> Iterator[Front]:
    """Serve the node's answers as ``change`` will have them."""
    front = Front()

    def play(connection, request) -> None:
        body = request.partition(b"\r\n\r\n")[2]
        front.requests.append(body)

        def ask() -> bytes:
            with urllib.request.urlopen(node_url, data=body) as answer:
                return answer.read()

        answer = change(body, ask)
        script = answer if callable(answer) else http(ask() if answer is None else answer)
        script(connection, request)

    with serving(play) as front.url:
        yield front
