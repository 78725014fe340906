"""A disk without room: nothing is lost, the words say it, and it goes on by itself."""

from __future__ import annotations

import pytest

from steembot.broadcaster.block_log import BlockLog
from steembot.chain.follower import Change
from steembot.errors import DiskError
from tests.support.blocks import make_chain
from tests.support.disks import fill
from tests.support.processes import Process, environment


def places_in(lines: list[str]) -> list[str]:
    """Return the cursors of the operations that the bot saw."""
    return [line.split(" saw ")[1] for line in lines if " saw " in line]


def test_a_change_that_found_no_room_can_be_applied_later(small_disk):
    """The log says so, stays readable, holds whole changes only, and takes the rest later."""
    chain = make_chain(1, 3000, types=("comment",) * 20)
    with BlockLog(small_disk / "log", chain="steem", keep_blocks=10_000) as log:
        log.apply(Change((), tuple(chain[:10])), 0)
        ballast = small_disk / "ballast"
        fill(ballast)
        done = 10
        with pytest.raises(DiskError, match="cannot be written"):  # noqa: PT012
            while True:
                log.apply(Change((), tuple(chain[done : done + 10])), 0)
                done += 10
        assert log.head.num == done
        assert [log.block(num) for num in (1, done)] == [chain[0], chain[done - 1]]
        ballast.unlink()
        log.apply(Change((), tuple(chain[done : done + 10])), 0)
        assert log.head.num == done + 10
    with BlockLog(small_disk / "log", chain="steem", keep_blocks=10_000) as log:
        assert [log.block(num) for num in range(1, done + 11)] == chain[: done + 10]


def test_the_broadcaster_stands_still_and_goes_on(small_disk, tmp_path, moving_node):
    """One line when there is no room, one when there is; the feed has no hole."""
    ballast = small_disk / "ballast"
    env = environment(
        STEEMBOT_NODES=moving_node.url,
        STEEMBOT_NODE_RATE=1000,  # its slots are far shorter than a real chain's
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=small_disk,
    )
    (tmp_path / "count.py").write_text(
        "from steembot.bot import Bot\n"
        "bot = Bot()\n"
        "@bot.on('*')\n"
        "def every(op, ctx): ctx.log.info('saw %s', op.cursor)\n"
    )
    bot_env = env | {"STEEMBOT_STATE_DIR": str(tmp_path), "STEEMBOT_HANDLERS": "count"}
    with (
        Process("steembot-broadcaster", env=env, cwd=tmp_path) as broadcaster,
        Process("steembot-bot", env=bot_env, cwd=tmp_path) as bot,
    ):
        bot.says(" saw 30-")
        fill(ballast)
        broadcaster.says("the feed stands still")
        ballast.unlink()
        broadcaster.says("can be written again")
        later = moving_node.chain.head.num + 5  # which may have no operation, so nothing to be seen
        bot.wait_for(
            lambda lines: any(int(place.split("-")[0]) >= later for place in places_in(lines)),
            f"block {later} or a later one",
        )
    places = places_in(bot.lines)
    nums = sorted({int(place.split("-")[0]) for place in places})
    with_operations = [
        num
        for num in range(1, nums[-1] + 1)
        if moving_node.chain.block(num).appbase_block()["transactions"]
    ]
    assert nums == with_operations
    assert len(places) == len(set(places))
    assert sum("cannot be written" in line for line in broadcaster.lines) == 1
