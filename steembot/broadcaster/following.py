"""The thread that follows the chain, and the change to other nodes while it does.

A change of nodes ends the stream that runs and begins another one behind the block log's head, in
the same thread, so that there is one writer all the time. Whoever reads the feed sees blocks that
come a little later. Requests that are under way at the old nodes are left to end by themselves;
their answers lead nowhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from steembot.chain.node import Node
from steembot.chain.stream import ChainStream

STOP_S = 2.0
"""How long the end of the process waits for the thread."""


class Following:
    """Follows the chain in a thread of its own, from :meth:`start` to :meth:`stop`.

    ``begin(nodes, quorum)`` makes a stream that goes on where the block log ends. ``ended()`` is
    called, from the thread, when an error ended it; ``failure`` then holds that.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        quorum: int,
        begin: Callable[[Sequence[Node], int], ChainStream],
        ended: Callable[[], None],
    ) -> None:
        self._begin = begin
        self._ended = ended
        self._nodes, self._quorum = list(nodes), quorum
        self._lock = threading.Lock()  # between asking for another stream and making it
        self._stream = begin(nodes, quorum)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="chain")
        self.failure: BaseException | None = None

    @property
    def stream(self) -> ChainStream:
        """The stream that runs now. May be read from any thread."""
        return self._stream

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def change_over(self, nodes: Sequence[Node], quorum: int) -> None:
        """Follow by these nodes from now on. Returns at once; may be called from any thread."""
        with self._lock:
            self._nodes, self._quorum = list(nodes), quorum
            self._stream.stop()

    def stop(self) -> None:
        """End the thread, and wait a moment for it."""
        with self._lock:
            self._stopping = True
            self._stream.stop()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        """Run one stream after the other; an unexpected end is the process's end."""
        try:
            while True:
                self._stream.run()
                with self._lock:
                    if self._stopping:
                        return
                    self._stream = self._begin(self._nodes, self._quorum)
        except BaseException as error:  # noqa: BLE001 (raised again in the main thread)
            self.failure = error
            self._ended()
