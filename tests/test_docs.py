"""The documentation keeps what it promises: settings, links, examples."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steembot import events, settings
from steembot.bot import __main__ as bot_main
from steembot.bot.context import Context
from steembot.bot.loading import load_bot
from steembot.broadcaster import __main__ as broadcaster_main
from steembot.chain.profiles import PROFILES
from steembot.feed.server import FeedServer
from steembot.operation import Block, BlockRef, Operation, RawOperation

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
TIMEOUT_S = 20.0


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    section = re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith(f"{heading}\n"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def example(page: str) -> str:
    """Return the only Python example of a page."""
    text = (REPOSITORY / page).read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return code


def named(text: str) -> set[str]:
    """Return the settings that a text names."""
    return set(re.findall(r"\bSTEEMBOT_[A-Z_]+\b", text))


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of the page may end in, as forges make it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ---- settings


def test_the_readme_names_every_setting():
    """The table has a row for each known setting, and none that is unknown."""
    names = [row[0].strip("`") for row in rows(README, "Settings")]
    assert sorted(names) == sorted(settings._READERS)


def test_the_readme_tells_the_defaults(tmp_path):
    """Each default in the table is the one that a process takes."""
    told = {name.strip("`"): default for name, default, *_ in rows(README, "Settings")}
    # Those that are a value, and not words about one.
    values = {n: m[1] for n, d in told.items() if (m := re.match(r"`([^`]+)`", d))}
    assert told.keys() - values.keys() == {
        "STEEMBOT_NODES",
        "STEEMBOT_STATE_DIR",
        "STEEMBOT_METRICS",
        "STEEMBOT_CHAIN_ID",
        "STEEMBOT_PROXY",
    }
    assert settings.load(values, tmp_path) == settings.load({}, tmp_path)
    urls = re.findall(r"`(https://[^`]+)`", README.read_text())
    assert set(urls) == {url for chain in PROFILES.values() for url in chain.nodes}


@pytest.mark.parametrize(
    ("process", "module"), [("broadcaster", broadcaster_main), ("bot", bot_main)]
)
def test_the_readme_tells_who_reads_a_setting(process, module):
    """A process's own man page names the same settings as the table does for it."""
    told = {row[0].strip("`") for row in rows(README, "Settings") if process in row[3].split(", ")}
    assert told == named(module.__doc__.partition("SETTINGS")[2])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_an_unknown_setting(page):
    """A setting that a page speaks of is one that there is."""
    fields = set(events.FIELDS)  # of the journal
    known = settings._READERS.keys() | settings._FOR_TESTS | {settings.FILES} | fields
    assert named(page.read_text()) <= known


# ---- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Each relative link leads to a file that exists, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_paths_in_the_text_exist():
    """A path of the repository that a page names in code marks exists."""
    for page in PAGES:
        for path in re.findall(r"`((?:steembot|deploy|tests|docs)/[\w./-]*)`", page.read_text()):
            if "tally" not in path and "NAME" not in path:  # those that a reader is to add
                assert (REPOSITORY / path).exists(), f"{page.name}: {path}"


# ---- the bot of the README


def test_the_bot_of_the_readme_handles_an_operation(tmp_path, caplog):
    """The example loads as STEEMBOT_HANDLERS loads it, and handles a vote."""
    code = example("README.md")
    assert len([line for line in code.splitlines() if line]) == 5
    (tmp_path / "votes.py").write_text(code)
    bot = load_bot(str(tmp_path / "votes.py"))
    vote = Operation(
        type="vote",
        value={"voter": "ann", "author": "bob", "permlink": "hello", "weight": 10000},
        block_num=7,
        block_id="0" * 40,
        timestamp=datetime(2020, 9, 13, tzinfo=UTC),
        trx_id="0" * 40,
        trx_in_block=0,
        op_in_trx=0,
        virtual_op=0,
    )
    assert bot.types == ("vote",)
    (handler,) = bot.handlers("vote")
    context = Context({})
    with caplog.at_level("INFO"):
        context.enter(vote)
        handler(vote, context)
    assert caplog.messages == ["ann votes for @bob/hello"]


# ---- the clients of docs/


class _Held:
    """Blocks in memory, as the server reads them."""

    first_wanted = None

    def __init__(self, blocks: list[Block]):
        self.blocks = {block.num: block for block in blocks}
        self.gone: dict[str, Block] = {}
        self.forks = 0
        self.irreversible = 1

    @property
    def head(self) -> BlockRef:
        return self.blocks[max(self.blocks)].ref

    @property
    def oldest(self) -> int:
        return min(self.blocks)

    def id_at(self, num: int) -> str | None:
        return self.blocks[num].id if num in self.blocks else None

    def block(self, num: int) -> Block | None:
        return self.blocks.get(num)

    def removed(self, block_id: str) -> Block | None:
        return self.gone.get(block_id)

    def append(self, block: Block) -> None:
        self.blocks[block.num] = block

    def replace(self, block: Block) -> None:
        old = self.blocks[block.num]
        self.gone[old.id] = old
        self.blocks[block.num] = block
        self.forks += 1


def votes(num: int, previous: str, *voters: str) -> Block:
    """A block with these votes; the first voter's name makes its id."""
    return Block.of(
        num,
        f"{num:08x}{voters[0].encode().hex():0>32}",
        previous,
        1_500_000_000 + 3 * num,
        [
            RawOperation(
                type="vote",
                trx_in_block=index,
                op_in_trx=0,
                virtual_op=0,
                trx_id="0" * 40,
                value=b'{"voter":"%b","weight":100}' % voter.encode(),
            )
            for index, voter in enumerate(voters)
        ],
    )


class Program:
    """An example, run as a process of its own beside a server that this one turns."""

    def __init__(self, server: FeedServer, process: subprocess.Popen[bytes]):
        self._server = server
        self._pipe = process.stdout.fileno()
        self._rest = b""

    def lines(self, count: int) -> list[str]:
        """Serve until the program has printed so many more lines."""
        while self._rest.count(b"\n") < count:
            serve_until(self._server, self._pipe)
            read = os.read(self._pipe, 65536)
            assert read, f"the program ended, after {self._rest!r}"
            self._rest += read
        *lines, self._rest = self._rest.split(b"\n", count)
        return [line.decode() for line in lines]


@contextmanager
def running(server: FeedServer, code: str, *arguments: str, **variables: str) -> Iterator[Program]:
    """Run a program and lend it; what it says on standard error is pytest's to show."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, **variables},
    ) as process:
        try:
            yield Program(server, process)
        finally:
            process.kill()


def serve_until(server: FeedServer, readable: int) -> None:
    """Serve until a descriptor becomes readable."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        server.turn(time.monotonic())
        if select.select([readable], [], [], 0.005)[0]:
            return
    raise TimeoutError(f"nothing came in {TIMEOUT_S} s")


@pytest.fixture
def held() -> _Held:
    """Lend three blocks of votes."""
    one = votes(1, "0" * 40, "ann")
    two = votes(2, one.id, "bob", "cy")
    return _Held([one, two, votes(3, two.id, "dan", "eve")])


@pytest.fixture
def server(held, tmp_path) -> Iterator[FeedServer]:
    """Lend a broadcaster's end of the feed."""
    path = tmp_path / "feed.sock"
    with FeedServer(held, chain="steem", path=path, listener=None) as server:
        yield server


def test_the_client_of_the_protocol_page_works(held, server, tmp_path):
    """A client written from the page alone prints each vote, and takes back what a fork undid."""
    code = example("docs/protocol.md")
    assert "steembot" not in code
    # msgpack is no requirement of ours; what the client uses of it, msgspec does as well.
    shim = "from msgspec.msgpack import decode as unpackb, encode as packb\n"
    (tmp_path / "msgpack.py").write_text(shim)
    path = str(tmp_path / "feed.sock")
    with running(server, code, path, "1", PYTHONPATH=str(tmp_path)) as program:
        assert program.lines(4) == ["+ 2 bob 100", "+ 2 cy 100", "+ 3 dan 100", "+ 3 eve 100"]
        held.replace(votes(3, held.blocks[2].id, "fay"))
        assert program.lines(3) == ["- 3 eve 100", "- 3 dan 100", "+ 3 fay 100"]


def test_the_daemon_of_the_page_on_processes_works(held, server, tmp_path):
    """The example counts what comes, takes back what is undone, and tells systemd."""
    code = example("docs/adding-a-process.md")
    variables = {
        "STEEMBOT_SOCKET": str(tmp_path / "feed.sock"),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(variables["NOTIFY_SOCKET"])
        systemd.settimeout(TIMEOUT_S)

        def wait_for(happened: Callable[[list[str]], bool]) -> None:
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                serve_until(server, systemd.fileno())
                if happened(systemd.recv(4096).decode().splitlines()):
                    return
            raise TimeoutError(f"it did not happen in {TIMEOUT_S} s")

        with running(server, code, **variables):
            wait_for(lambda _: server.clients == 1)
            held.append(votes(4, held.head.id, "fay", "gus", "hal"))
            wait_for(lambda said: "STATUS=3 vote" in said)
            held.replace(votes(4, held.blocks[3].id, "ida"))
            wait_for(lambda said: "STATUS=1 vote" in said)
