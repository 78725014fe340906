"""Call a webhook when somebody mentions an account in a new post or reply.

A bot has no network: its unit's drop-in has to allow it (see docs/writing-a-bot.md).
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request

from steembot.bot import Bot, Context, Later, Operation
from steembot.bot.filters import by, mentions, new_post, new_reply

ACCOUNT = os.environ.get("NOTIFY_ACCOUNT", "alice")
WEBHOOK = os.environ.get("NOTIFY_WEBHOOK", "")
TIMEOUT_S = 5

bot = Bot()


@bot.on("comment", where=mentions(ACCOUNT) & ~by(ACCOUNT) & (new_post | new_reply), max_age=86_400)
def notify(op: Operation, ctx: Context) -> None:
    """Send who, where and the beginning of the text. It waits while the webhook is away."""
    author, permlink = op.value["author"], op.value["permlink"]
    message = {
        # The receiver can tell a repetition by it: after a crash a message may come twice.
        "id": str(op.cursor),
        "author": author,
        "link": f"{ctx.chain.link_base}/@{author}/{permlink}",
        "text": op.value["body"][:500],
    }
    ctx.log.info("@%s mentions @%s: %s", author, ACCOUNT, message["link"])
    if WEBHOOK and not ctx.dry_run:
        _post(message)


def _post(message: dict[str, str]) -> None:
    request = urllib.request.Request(  # noqa: S310 (the administrator's own address)
        WEBHOOK, json.dumps(message).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            pass
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500:
            raise  # it does not want this message, however often it is sent
        raise Later("the webhook is away") from error
