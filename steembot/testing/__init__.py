"""For a bot author's own tests: a chain to script, and a bot run against it in this process.

::

    from steembot.testing import BotRun, Chain

    def test_it_announces_new_posts(tmp_path):
        chain = Chain()
        run = BotRun("my_bot.py", chain, tmp_path)
        chain.post("alice", "hello", body="Hi @bob!")
        run.catch_up()
        assert run.log == ["https://steemit.com/@alice/hello"]

No node, no network, no waiting: blocks go through the same code as in service (the feed's session,
the bot's runner, its state on disk), but sockets and processes are left out, and the clock is the
chain's. A :class:`BotRun` dies where it is told to and is started again, as systemd would do it.
"""

from steembot.testing.bot_run import BotRun, CrashPoint, Killed
from steembot.testing.chain import SLOT_S, START, Chain

__all__ = ["SLOT_S", "START", "BotRun", "Chain", "CrashPoint", "Killed"]
