"""The whole road in real processes, without systemd: node, broadcaster, socket, bot."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from steembot.feed.client import ask_status
from tests.support.nodes import make_chain, serving
from tests.support.processes import Process, environment
from tests.support.waiting import PATIENCE_S, wait_until

TALLY = """
from steembot.bot import Bot
bot = Bot()
@bot.on('*')
def do(op, ctx):
    ctx.log.info('do %s', op.cursor)
@bot.undo('*')
def undo(op, ctx):
    ctx.log.info('undo %s', op.cursor)
"""

LINK = "https://steemit.com/@"
FIRST_BLOCK = 30_000_000


def links_of(path: Path) -> list[str]:
    """The root posts of a recorded chain, in chain order: no replies, no patches, each once."""
    links: list[str] = []
    for line in path.read_text().splitlines():
        for transaction in json.loads(line)["block"]["transactions"]:
            for operation in transaction["operations"]:
                value = operation["value"]
                if (
                    operation["type"] == "comment_operation"
                    and not value["parent_author"]
                    and not value["body"].startswith("@@ -")
                ):
                    links.append(f"{LINK}{value['author']}/{value['permlink']}")
    return list(dict.fromkeys(links))


def transactions_of(block) -> list[dict]:
    return json.loads(block.condenser_json())["transactions"]


def cursors_of(chain, first: int, last: int) -> list[str]:
    """The cursors of all operations of these blocks, as the chain is now."""
    return [
        f"{num}-{chain.block(num).id}-{trx}-{op}-0"
        for num in range(first, last + 1)
        for trx, transaction in enumerate(transactions_of(chain.block(num)))
        for op, _ in enumerate(transaction["operations"])
    ]


def links_in(lines: list[str]) -> list[str]:
    return [line[line.index(LINK) :] for line in lines if LINK in line]


class Swarm:
    """A devnode, and the settings by which a broadcaster and bots find each other."""

    def __init__(self, tmp_path: Path, node_url: str, start: int | str) -> None:
        self._tmp_path = tmp_path
        self.env = environment(
            STEEMBOT_NODES=node_url,
            STEEMBOT_NODE_RATE=1000,  # its slots are far shorter than a real chain's
            STEEMBOT_START=start,
            STEEMBOT_SOCKET=tmp_path / "broadcaster.sock",
            STEEMBOT_STATE_DIR=tmp_path / "state",
        )

    def broadcaster(self) -> Process:
        return Process("steembot-broadcaster", env=self.env, cwd=self._tmp_path)

    def head(self) -> int:
        """The newest block that the broadcaster has."""
        return ask_status(self._tmp_path / "broadcaster.sock", PATIENCE_S).head.num

    def has(self, num: int) -> bool:
        """Whether the broadcaster's newest block is that one."""
        head = ask_status(self._tmp_path / "broadcaster.sock", PATIENCE_S).head
        return head is not None and head.num == num

    def bot(self, **more: str) -> Process:
        return Process("steembot-bot", env=self.env | more, cwd=self._tmp_path)


def devnode(tmp_path: Path, *arguments: str) -> Process:
    return Process("steembot-devnode", *arguments, env=environment(), cwd=tmp_path)


def url_of(node: Process) -> str:
    node.says("http://127.0.0.1:")
    return next(line.split()[1] for line in node.lines if "http://127.0.0.1:" in line)


@pytest.fixture
def recorded(chaindata) -> Path:
    return chaindata / "blocks" / "steem_2017_2020.chain.jsonl"


def test_recorded_blocks_give_exactly_their_new_posts(tmp_path, recorded):
    """Every root post of real blocks, once, in chain order; replies and edits never."""
    expected = links_of(recorded)
    assert len(expected) > 50
    with devnode(tmp_path, "--blocks", str(recorded), "--interval", "0.02") as node:
        swarm = Swarm(tmp_path, url_of(node), FIRST_BLOCK)
        with swarm.broadcaster(), swarm.bot() as bot:
            bot.wait_for(lambda lines: len(links_in(lines)) >= len(expected), "all links")
            bot.signal(signal.SIGTERM)
            assert bot.ended() == 0
    assert links_in(bot.lines) == expected


def test_irreversible_mode_gives_the_same_posts_later(tmp_path, recorded):
    """What is irreversible in the end is everything, in the same order."""
    expected = links_of(recorded)
    with devnode(tmp_path, "--blocks", str(recorded), "--interval", "0.02") as node:
        swarm = Swarm(tmp_path, url_of(node), FIRST_BLOCK)
        with swarm.broadcaster(), swarm.bot(STEEMBOT_MODE="irreversible") as bot:
            bot.wait_for(lambda lines: len(links_in(lines)) >= len(expected), "all links")
    assert links_in(bot.lines) == expected


@pytest.mark.parametrize("victim", ["broadcaster", "bot", "both"])
def test_kill_9_loses_and_doubles_nothing(tmp_path, recorded, victim):
    """Killed at any instant and started again, the links are those of an undisturbed run."""
    expected = links_of(recorded)
    lines: list[str] = []
    with devnode(tmp_path, "--blocks", str(recorded), "--interval", "0.05") as node:
        swarm = Swarm(tmp_path, url_of(node), FIRST_BLOCK)
        broadcaster, bot = swarm.broadcaster(), swarm.bot()
        kills = 0
        try:
            for goal in (5, 15, 25, 35, 45, 55, len(expected)):
                bot.wait_for(
                    lambda new, n=goal: len(set(links_in(lines + new))) >= n, f"{goal} links"
                )
                if goal == len(expected):
                    break
                if victim in ("bot", "both"):
                    bot.__exit__(None, None, None)
                    lines += bot.lines
                    kills += 1
                if victim in ("broadcaster", "both"):
                    broadcaster.__exit__(None, None, None)
                    broadcaster = swarm.broadcaster()
                if victim in ("bot", "both"):
                    bot = swarm.bot()
        finally:
            bot.__exit__(None, None, None)
            broadcaster.__exit__(None, None, None)
    got = links_in(lines + bot.lines)
    assert list(dict.fromkeys(got)) == expected
    assert len(got) - len(expected) <= kills, "at most the one in flight at each kill comes twice"


def test_a_bot_that_was_away_goes_on_where_it_was(tmp_path, recorded):
    """Stopped for a while, then started: not a post missed, none twice."""
    expected = links_of(recorded)
    with devnode(tmp_path, "--blocks", str(recorded), "--interval", "0.05") as node:
        swarm = Swarm(tmp_path, url_of(node), FIRST_BLOCK)
        with swarm.broadcaster() as broadcaster:
            with swarm.bot() as first:
                first.wait_for(lambda lines: len(links_in(lines)) >= 10, "10 links")
                first.signal(signal.SIGTERM)
                assert first.ended() == 0
            broadcaster.says("left: it said goodbye")
            last = FIRST_BLOCK + len(recorded.read_text().splitlines()) - 1
            missed = min(swarm.head() + 10, last)
            wait_until(lambda: swarm.head() >= missed, f"block {missed}")
            with swarm.bot() as second:
                second.wait_for(
                    lambda lines: len(links_in(first.lines + lines)) >= len(expected), "the rest"
                )
    assert links_in(first.lines + second.lines) == expected


def test_connected_and_disconnected_are_said_once_each(tmp_path):
    """A broadcaster that ends and returns: one line each way."""
    with devnode(tmp_path, "--generate", "a", "--interval", "0.1") as node:
        swarm = Swarm(tmp_path, url_of(node), "head")
        with swarm.bot() as bot:
            with swarm.broadcaster() as broadcaster:
                bot.says("connected to the broadcaster")
                broadcaster.signal(signal.SIGTERM)
                assert broadcaster.ended() == 0
            bot.says("disconnected from the broadcaster")
            with swarm.broadcaster():
                bot.wait_for(
                    lambda lines: sum("connected to the b" in line for line in lines) >= 2, "again"
                )
                bot.signal(signal.SIGTERM)
                assert bot.ended() == 0
    # Not just "connected", which is also in the name of this test's folder.
    said = re.findall(r"\b(?:dis)?connected (?:to|from) the b", "\n".join(bot.lines))
    assert said == ["connected to the b", "disconnected from the b", "connected to the b"]


def reach(bot: Process, num: int) -> None:
    """Wait for an operation of this block or, since a block may be empty, of a later one."""
    seen = len(bot.lines)
    bot.wait_for(
        lambda lines: any(
            int(line.split(" do ")[1].split("-")[0]) >= num
            for line in lines[seen:]
            if " do " in line
        ),
        f"block {num}",
    )


def test_forks_reach_the_bot_as_undos(tmp_path, moving_node):
    """A bot with an undo handler ends with exactly the canonical chain's votes."""
    (tmp_path / "tally.py").write_text(TALLY)
    chain = moving_node.chain
    swarm = Swarm(tmp_path, moving_node.url, 1)
    with swarm.broadcaster(), swarm.bot(STEEMBOT_HANDLERS="tally") as bot:
        for depth in (1, 3, 8):
            reach(bot, chain.head.num + 2)
            moving_node.call(lambda d=depth: chain.fork(d))
        while not any(" undo " in line for line in bot.lines):
            # On a busy machine the bot may be behind all of these.
            reach(bot, chain.head.num + 2)
            moving_node.call(lambda: chain.fork(12))
        end = chain.head.num + 3
        reach(bot, end + 1)
    held: list[str] = []
    undone = 0
    for line in bot.lines:
        if " undo " in line:
            assert held.pop() == line.split(" undo ")[1], "the newest operation first"
            undone += 1
        elif " do " in line:
            held.append(line.split(" do ")[1])
    assert undone > 0
    canonical = cursors_of(chain, 1, end)
    assert [cursor for cursor in held if int(cursor.split("-")[0]) <= end] == canonical


def test_a_testnet_is_followed_and_its_files_are_its_own(tmp_path, moving_node):
    """By its chain id; nodes, bots and states of the chain itself are refused, by name."""
    other = "5" * 64
    swarm = Swarm(tmp_path, moving_node.url, 1)
    testnet = {"STEEMBOT_CHAIN_ID": other}
    moving_node.call(lambda: moving_node.faults.set(f"wrong-chain:{other}"))
    with swarm.broadcaster() as wrong:
        wrong.says(f"its chain id is {other}")
    swarm.env |= testnet
    with swarm.broadcaster(), swarm.bot() as bot:
        bot.says(LINK)
    del swarm.env["STEEMBOT_CHAIN_ID"]
    with swarm.bot() as bot:
        assert bot.ended() == 1
    assert any(f"the chain 'steem-{other}'" in line for line in bot.lines)


@pytest.mark.parametrize("start", ["head", "30"])
@pytest.mark.parametrize("mode", ["head", "irreversible"])
def test_a_fork_of_the_first_block_is_followed(tmp_path, start, mode):
    """A first start, and that very block is replaced, and the one below: undone, and gone on."""
    (tmp_path / "tally.py").write_text(TALLY)
    with serving(make_chain("young", ready=30, interval_s=3600), 1) as (node,):
        chain = node.chain
        swarm = Swarm(tmp_path, node.url, start)
        with (
            swarm.broadcaster() as broadcaster,
            swarm.bot(STEEMBOT_HANDLERS="tally", STEEMBOT_MODE=mode) as bot,
        ):
            bot.says("connected to the broadcaster")
            wait_until(lambda: swarm.has(30))
            if mode == "head" and start != "head":
                bot.says(f" do 30-{chain.block(30).id}")
            for depth in (1, 3):  # the log's first block, and then also the one below it
                node.call(lambda d=depth: chain.fork(d))
                broadcaster.says(f"block 30 is now {chain.block(30).id}")
            node.call(lambda: chain.advance(time.monotonic() + 40 * 3600))
            reach(bot, 40)
            swarm_bot_lines = list(bot.lines)
    held: list[str] = []
    for line in swarm_bot_lines:
        if " undo " in line:
            assert held.pop() == line.split(" undo ")[1]
        elif " do " in line:
            held.append(line.split(" do ")[1])
    assert held
    assert held == [cursor for cursor in cursors_of(chain, 30, chain.head.num) if cursor in held]
    missing = [c for c in cursors_of(chain, 32, 39) if c not in held]
    assert missing == []
    assert not any("refused" in line for line in swarm_bot_lines)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"STEEMBOT_CHAIN": "bitcoin"}, ["STEEMBOT_CHAIN='bitcoin'", "steem, hive"]),
        ({"STEEMBOT_NODES": "wss://x.example"}, ["STEEMBOT_NODES='wss://x.example'", "WebSocket"]),
        ({"STEEMBOT_NODES": "ftp://x"}, ["STEEMBOT_NODES='ftp://x'", "https://"]),
        ({"STEEMBOT_START": "-5"}, ["STEEMBOT_START='-5'", "head, or a block number"]),
        ({"STEEMBOT_NODE": "x"}, ["STEEMBOT_NODE='x'", "did you mean STEEMBOT_NODES?"]),
    ],
)
@pytest.mark.parametrize("process", ["steembot-broadcaster", "steembot-bot"])
def test_a_wrong_setting_ends_the_process_with_one_line(tmp_path, process, setting, words):
    """Status 78, and one line that names the setting, the value and what is allowed."""
    env = Swarm(tmp_path, "http://127.0.0.1:9", 1).env | setting
    with Process(process, env=env, cwd=tmp_path) as ended:
        assert ended.ended() == 78
    (line,) = ended.lines
    for word in words:
        assert word in line


def test_handlers_that_do_not_import_end_with_their_traceback(tmp_path):
    """Status 78, the setting, and where in the author's code it failed."""
    (tmp_path / "broken.py").write_text("def f():\n    return 1 / 0\nf()\n")
    swarm = Swarm(tmp_path, "http://127.0.0.1:9", 1)
    with swarm.bot(STEEMBOT_HANDLERS="broken") as bot:
        assert bot.ended() == 78
    assert "STEEMBOT_HANDLERS='broken'" in bot.lines[0]
    assert any("ZeroDivisionError" in line for line in bot.lines)


WAITING_BOT = """
from pathlib import Path
from steembot.bot import Bot, Later
bot = Bot()

@bot.on("comment", "vote", "transfer", "custom_json")
def use(op, ctx):
    ctx.state["count"] = ctx.state.get("count", 0) + 1
    if not Path("service").exists():
        raise Later("the service is away")
    print("used", ctx.state["count"])

@bot.every(0.1)
def tick(ctx):
    print("tick, head", ctx.head)
"""


def test_a_bot_waits_for_a_service_and_does_all_else_meanwhile(tmp_path):
    """Timers, heartbeats, reloads and the status go on; SIGTERM ends it; nothing is lost."""
    (tmp_path / "waiting.py").write_text(WAITING_BOT)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(PATIENCE_S)

    def status(words: str) -> None:
        while words not in listening.recv(65536).decode():
            pass

    more = {"STEEMBOT_HANDLERS": "waiting", "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with (
        listening,
        devnode(tmp_path, "--generate", "a", "--interval", "0.1") as node,
        (swarm := Swarm(tmp_path, url_of(node), 1)).broadcaster(),
    ):
        with swarm.bot(**more) as bot:
            bot.says("waits: the service is away; it is tried again in 1 s")
            status("waits: the service is away")
            heads = {line for line in bot.lines if line.startswith("tick")}
            bot.wait_for(
                lambda lines: len({w for w in lines if w.startswith("tick")} - heads) > 3, "heads"
            )
            bot.signal(signal.SIGHUP)
            bot.says("settings read again")
            status("WATCHDOG=1")
            bot.signal(signal.SIGTERM)
            assert bot.ended() == 0
        assert not any("used" in line or "dead letter" in line for line in bot.lines)
        with swarm.bot(**more) as bot:
            bot.says("waits: the service is away")
            (tmp_path / "service").touch()
            bot.says("waits no longer")
            bot.says("used 100")
            bot.signal(signal.SIGTERM)
            assert bot.ended() == 0
    counts = [int(line.split()[1]) for line in bot.lines if line.startswith("used")]
    assert counts == list(range(1, len(counts) + 1))
    assert not any("disconnected" in line for line in bot.lines)


def test_what_a_bots_file_prints_is_seen_while_it_runs(tmp_path):
    """``print()`` in a handlers' file needs no flush and no end of the process."""
    path = tmp_path / "talks.py"
    path.write_text(
        "from steembot.bot import Bot\nbot = Bot()\nbot.on('vote')(lambda op, ctx: None)\n"
        "print('loaded \\ud83d')\n@bot.every(0.1)\ndef tick(ctx): print('tick')\n"
    )
    more = {"STEEMBOT_HANDLERS": str(path), "PYTHONUNBUFFERED": ""}
    with Swarm(tmp_path, "http://127.0.0.1:9", 1).bot(**more) as bot:
        bot.says(r"loaded \ud83d")
        bot.says("tick")
        assert bot.runs


def test_a_second_broadcaster_does_not_steal_the_socket(tmp_path):
    """A path that another process serves is refused, and the first one goes on."""
    with devnode(tmp_path, "--generate", "a", "--interval", "0.1") as node:
        swarm = Swarm(tmp_path, url_of(node), "head")
        with swarm.broadcaster() as first, swarm.bot() as bot:
            bot.says("connected to the broadcaster")
            second_env = swarm.env | {"STEEMBOT_STATE_DIR": str(tmp_path / "other")}
            with Process("steembot-broadcaster", env=second_env, cwd=tmp_path) as second:
                assert second.ended() == 78
            assert "another process serves" in second.lines[-1]
            bot.wait_for(links_in, "a link")
            assert first.lines


def test_help_and_unknown_arguments(tmp_path):
    """``--help`` is a manual page; settings are no arguments."""
    for process in ("steembot-broadcaster", "steembot-bot"):
        with Process(process, "--help", env=environment(), cwd=tmp_path) as helped:
            assert helped.ended() == 0
        assert helped.lines[0].startswith(f"{process} - ")
        with Process(process, "--nodes", env=environment(), cwd=tmp_path) as refused:
            assert refused.ended() == 1
        assert "environment variables" in refused.lines[0]
