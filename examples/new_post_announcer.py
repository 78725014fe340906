"""Announce each new post of some tags, with title and link; silent about replies and edits."""

from __future__ import annotations

import os
from urllib.parse import quote

from steembot.bot import Bot, Context, Operation
from steembot.bot.filters import new_post, tagged, tags_of

TAGS = os.environ.get("ANNOUNCE_TAGS", "photography,art").split(",")

bot = Bot()


@bot.on("comment", where=new_post & tagged(*TAGS), max_age=3600)
def announce(op: Operation, ctx: Context) -> None:
    """Log one line for the post, and count it for its tags."""
    author, permlink = op.value["author"], op.value["permlink"]
    title = " ".join(op.value["title"].split()) or "(no title)"
    link = f"{ctx.chain.link_base}/@{quote(author)}/{quote(permlink)}"
    ctx.log.info("%s by @%s: %s", title, author, link)
    counts = ctx.state.get("counts", {})
    for tag in tags_of(op):
        if tag in TAGS:
            counts[tag] = counts.get(tag, 0) + 1
    ctx.state["counts"] = counts


@bot.every(86_400)
def say_counts(ctx: Context) -> None:
    """Once a day: how many there were of each tag."""
    counts = sorted(ctx.state.get("counts", {}).items())
    ctx.log.info("posts so far: %s", ", ".join(f"{tag} {count}" for tag, count in counts))
