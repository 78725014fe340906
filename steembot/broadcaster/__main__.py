"""steembot-broadcaster - follow the chain, serve it as a feed.

SYNOPSIS
    steembot-broadcaster [--help | --version | --check-settings]

DESCRIPTION
    Follows a Steem blockchain over HTTP(S) and passes every operation on, by type, to local
    clients over one AF_UNIX socket. Keeps the recent blocks in a block log, so that a client
    that was away goes on where it was.

TRUST
    Nodes are believed block by block: each must join the one before it. Clients are not
    believed: whoever sends what is no message is dropped, and nobody else notices. Who may
    connect is decided by the permissions of the socket.

SOCKET
    Under systemd the socket is steembot-broadcaster.socket's, passed on as LISTEN_FDS under the
    name "broadcaster"; without it the process refuses to start. In a terminal the process binds
    STEEMBOT_SOCKET itself, unless another process serves that path.

SIGNALS
    SIGTERM, SIGINT   end within a second
    SIGHUP            read the settings anew: nodes, quorum, node rate and log level take effect at
                      once and drop no client, others at the next start

LOG
    Clients that subscribe and leave, and why. A node that fails, once, and its return. A fork. What
    a reload took up, and what it did not. A trouble that lasts, once a minute.

LIMITS
    512 clients, 1000 blocks of credit each. Messages from clients: 64 KiB.

SETTINGS (environment, or a file: /etc/steembot/steembot.env under systemd, else .env here)
    STEEMBOT_CHAIN, STEEMBOT_CHAIN_ID, STEEMBOT_NODES, STEEMBOT_PROXY, STEEMBOT_QUORUM,
    STEEMBOT_NODE_RATE, STEEMBOT_START,
    STEEMBOT_SOCKET, STEEMBOT_STATE_DIR, STEEMBOT_LOG_BLOCKS, STEEMBOT_VIRTUAL_OPS,
    STEEMBOT_LOG_LEVEL, STEEMBOT_METRICS: see the README.

EXIT STATUS
    0 after SIGTERM or SIGINT, 78 for a setting or socket that can't be used, 1 otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

from steembot import service, settings
from steembot.broadcaster.broadcaster import Broadcaster

_M_ARENA_MAX = -8  # malloc.h of glibc, mallopt(3)


def main() -> int:
    """Run the broadcaster and return its exit status."""
    # glibc keeps freed memory apart for each thread; these threads take turns anyway.
    with contextlib.suppress(AttributeError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    service.answer_flags("broadcaster", sys.argv[1:], __doc__ or "", settings.load)
    return service.run("broadcaster", lambda: Broadcaster().run())


if __name__ == "__main__":
    sys.exit(main())
