"""Decide whom to vote for, and log it. Nothing is signed: the line is a proposal to a person.

Votes for new posts of authors on a list that are long enough, not more than so many a day and one
a day and author; a post waits five minutes, and is left alone if its author deletes it till then.
"""

from __future__ import annotations

import os

from steembot.bot import Bot, Context, Operation
from steembot.bot.filters import by, new_post

AUTHORS = os.environ.get("CURATE_AUTHORS", "alice,bob").split(",")
VOTES_A_DAY = 10
LEAST_WORDS = 200
WAIT_S = 300

bot = Bot()


@bot.on("comment", where=by(*AUTHORS) & new_post, max_age=WAIT_S)
def consider(op: Operation, ctx: Context) -> None:
    """Note a post that is long enough."""
    words = len(op.value["body"].split())
    if words >= LEAST_WORDS:
        post = f"{op.value['author']}/{op.value['permlink']}"
        due = int(op.timestamp.timestamp()) + WAIT_S
        ctx.state["waiting"] = {**ctx.state.get("waiting", {}), post: due}


@bot.undo("comment", where=by(*AUTHORS) & new_post)
@bot.on("delete_comment", where=by(*AUTHORS))
def forget(op: Operation, ctx: Context) -> None:
    """Forget a post that its author deleted or a fork took back."""
    waiting = ctx.state.get("waiting", {})
    waiting.pop(f"{op.value['author']}/{op.value['permlink']}", None)
    ctx.state["waiting"] = waiting


@bot.on("*")
def vote(op: Operation, ctx: Context) -> None:
    """Decide, by the chain's own clock."""
    now = int(op.timestamp.timestamp())
    waiting = ctx.state.get("waiting", {})
    for post in [post for post, due in waiting.items() if due <= now]:
        del waiting[post]
        ctx.state["waiting"] = waiting
        day, voted = ctx.state.get("voted", [0, []])
        voted = voted if day == now // 86_400 else []
        author = post.partition("/")[0]
        if author not in voted and len(voted) < VOTES_A_DAY:
            ctx.state["voted"] = [now // 86_400, [*voted, author]]
            ctx.log.info("vote for @%s", post)
