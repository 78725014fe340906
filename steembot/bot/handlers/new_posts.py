"""Log the link of each new post, once: not for replies, not again for edits.

On Steem a post, a reply and an edit are all ``comment`` operations. A reply has a parent author.
An edit repeats author and permlink, so a post seen before is one; and clients write most edits
as a patch of the body (``@@ -1,9 +1,12 @@ …``), which tells an edit of a post that is older
than this bot.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from steembot.bot import Bot, Context, Operation

bot = Bot()

_PATCH = re.compile(r"@@ -\d+(,\d+)? \+\d+(,\d+)? @@\n")
"""How a patch begins that google's diff-match-patch wrote; steemd applies no other kind."""


@bot.on("comment")
def new_post(op: Operation, ctx: Context) -> None:
    """Log the link if this operation makes a new post."""
    if op.value["parent_author"] or _PATCH.match(op.value["body"]):
        return
    author, permlink = op.value["author"], op.value["permlink"]
    post = f"{author}/{permlink}"
    if post in ctx.state:
        return
    ctx.state[post] = op.block_num
    # The chain allows any UTF-8 in a permlink, a line's end among them.
    ctx.log.info("%s/@%s/%s", ctx.chain.link_base, quote(author), quote(permlink))
