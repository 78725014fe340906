"""steembot-bot - run one bot's handlers on the feed.

SYNOPSIS
    steembot-bot [--help | --version | --check-settings]

DESCRIPTION
    Connects to the broadcaster's socket, asks for just the operation types that the bot's
    handlers want, and calls the handlers, one operation after the other in chain order. The
    position behind each operation is on disk together with what the handler stored, so after
    any end of the process the bot goes on exactly where it was.

TRUST
    The broadcaster is believed. The handlers are the administrator's own code; what they raise
    ends neither the bot nor the operation, which is tried again and then kept as a dead letter.
    Where they raise Later, it waits until they succeed, and those behind it wait too.

SIGNALS
    SIGTERM, SIGINT   finish the operation in hand, then end
    SIGHUP            read the settings anew: the log level takes effect at once, others at the
                      next start

LOG
    What the handlers log. Connected and disconnected, once each. Failures of handlers; each new
    dead letter once, with a MESSAGE_ID of its own.

LIMITS
    Reaches the broadcaster's socket and nothing else. Remembers 500,000 posts. Keeps 10,000 dead
    letters; with so many it waits at the next operation that fails, and says so.

SETTINGS (environment, or a file: /etc/steembot/steembot.env under systemd, else .env here)
    STEEMBOT_HANDLERS, STEEMBOT_BOT_NAME, STEEMBOT_MODE, STEEMBOT_START, STEEMBOT_SOCKET,
    STEEMBOT_STATE_DIR, STEEMBOT_CHAIN, STEEMBOT_CHAIN_ID, STEEMBOT_VIRTUAL_OPS, STEEMBOT_LOG_LEVEL,
    STEEMBOT_METRICS: see the README.

EXIT STATUS
    0 after SIGTERM or SIGINT, 78 for settings, handlers or permissions that can't be used,
    1 otherwise.
"""

from __future__ import annotations

import sys

from steembot import service, settings
from steembot.bot import process


def main() -> int:
    """Run the bot and return its exit status."""
    service.answer_flags("bot", sys.argv[1:], __doc__ or "", settings.load)
    return service.run("bot", process.run)


if __name__ == "__main__":
    sys.exit(main())
