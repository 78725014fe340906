"""Log the link of each new post, once: not for replies, not again for edits.

:mod:`steembot.bot.posts` tells a new post from an edit.
"""

from __future__ import annotations

from urllib.parse import quote

from steembot import events
from steembot.bot import Bot, Context, Operation
from steembot.bot.filters import new_post

bot = Bot()


@bot.on("comment", where=new_post)
def announce(op: Operation, ctx: Context) -> None:
    """Log the post's link."""
    author, permlink = op.value["author"], op.value["permlink"]
    # The chain allows any UTF-8 in a permlink, a line's end among them.
    ctx.log.info(
        "%s/@%s/%s", ctx.chain.link_base, quote(author), quote(permlink), extra=events.NEW_POST()
    )
