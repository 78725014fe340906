"""Each example does what its first line says; written as a bot's author would test it."""

from __future__ import annotations

import http.server
import importlib.util
import json
import sqlite3
import threading
from pathlib import Path

import pytest

from steembot.testing import BotRun, Chain

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = "word " * 200


@pytest.fixture
def chain():
    return Chain()


@pytest.fixture
def run(chain, tmp_path):
    """Run an example by its name on the test's chain."""
    return lambda name: BotRun(EXAMPLES / f"{name}.py", chain, tmp_path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_has_a_test(path):
    """Under 60 lines, and named in this file."""
    assert len(path.read_text().splitlines()) < 60
    assert f"def test_{path.stem}(" in Path(__file__).read_text()


def test_new_post_announcer(chain, run):
    """Posts of the tags, once, with title and link."""
    announcer = run("new_post_announcer")
    chain.post("alice", "sea", title="The\nsea", tags=["art"])
    chain.post("alice", "sea", title="The sea", body="rewritten", tags=["art"])
    chain.post("bob", "cats", tags=["cats"])
    chain.reply("bob", "alice", "sea")
    announcer.catch_up()
    assert announcer.log == ["The sea by @alice: https://steemit.com/@alice/sea"]
    chain.miss(86_400)
    announcer.catch_up()
    assert announcer.log[1:] == ["posts so far: art 1"]


def test_new_post_announcer_does_not_announce_yesterday(chain, run):
    """After a night without it, only what is fresh."""
    chain.post("alice", "old", tags=["art"])
    chain.next_block()
    chain.miss(8 * 3600)
    chain.post("alice", "new", tags=["art"])
    assert [line[-4:] for line in run("new_post_announcer").catch_up().log] == ["/new"]


def test_mention_notifier(chain, run, monkeypatch):
    """The webhook gets a mention once; it is waited for while away, and what it refuses parked."""
    got, status = [], [200]

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if status[0] == 200:
                got.append(json.loads(body))  # before who asks goes on
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("NOTIFY_WEBHOOK", f"http://127.0.0.1:{server.server_port}/")
            notifier = run("mention_notifier")
            chain.post("bob", "p", body="Thanks @alice!")
            chain.post("alice", "own", body="I am @alice")
            chain.edit("bob", "p", "@@ -1,3 +1,4 @@\n @alice\n+!\n")
            notifier.catch_up()
            assert [message["link"] for message in got] == ["https://steemit.com/@bob/p"]
            status[0] = 500
            chain.reply("bob", "alice", "own", "Hi @alice", "re")
            assert "the webhook is away: urllib.error.HTTPError" in notifier.catch_up().waiting
            assert notifier.dead_letters == []
            status[0] = 400
            assert notifier.catch_up().waiting is None
            assert notifier.dead_letters[0].summary.startswith("urllib.error.HTTPError")
            status[0] = 200
            notifier.redrive()
            assert notifier.dead_letters == []
            assert got[1]["text"] == "Hi @alice"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("point", ["before handler", "before commit", "after commit"])
def test_tip_ledger(chain, run, point):
    """Exact over a crash at any point and a fork."""
    ledger = run("tip_ledger")
    chain.transfer("bob", "alice", "1.000 STEEM", "tip @carol")
    chain.transfer("bob", "alice", "0.500 STEEM", "Tip @carol")
    chain.transfer("bob", "alice", "0.250 SBD", "tip @carol")
    chain.transfer("bob", "dave", "9.000 STEEM", "tip @carol")
    chain.transfer("bob", "alice", "9.000 STEEM", "for lunch")
    ledger.crash(point, after=1)
    ledger.catch_up()
    assert ledger.state == {"carol STEEM": 1500, "carol SBD": 250}
    chain.next_block()
    chain.fork(2)
    assert ledger.catch_up().state == {"carol STEEM": 0, "carol SBD": 0}


def test_auto_curator(chain, run):
    """Long posts of listed authors, one a day and author, after five minutes."""
    curator = run("auto_curator")
    chain.post("alice", "long", body=LONG)
    chain.post("alice", "second", body=LONG)
    chain.post("bob", "short")
    chain.post("bob", "deleted", body=LONG)
    chain.post("carol", "unlisted", body=LONG)
    chain.next_block()
    chain.operation("delete_comment", author="bob", permlink="deleted")
    curator.catch_up()
    assert curator.log == []
    chain.wait(300)
    chain.vote("dave", "alice", "long")
    assert curator.catch_up().log == ["vote for @alice/long"]


def test_statistics_to_sqlite(chain, tmp_path, monkeypatch):
    """Every operation once, also after a crash between the file and the commit."""
    monkeypatch.setenv("STATISTICS_FILE", str(tmp_path / "statistics.sqlite3"))
    statistics = BotRun(EXAMPLES / "statistics_to_sqlite.py", chain, tmp_path, mode="irreversible")
    for number in range(3):
        chain.vote("bob", "alice", f"p{number}")
    chain.transfer("bob", "alice", "1.000 STEEM")
    chain.wait(100)
    statistics.crash("before commit", after=1)
    statistics.catch_up()
    with sqlite3.connect(tmp_path / "statistics.sqlite3") as file:
        rows = file.execute("SELECT * FROM daily ORDER BY type").fetchall()
    file.close()
    assert rows == [("2020-09-13", "transfer", 1), ("2020-09-13", "vote", 3)]


def test_examples_import_nothing_but_what_is_for_authors():
    """What an author copies must go on working."""
    for path in EXAMPLES.glob("*.py"):
        ours = [line for line in path.read_text().splitlines() if "steembot" in line.split(".")[0]]
        imports = [line for line in ours if line.startswith(("from", "import"))]
        assert all(line.startswith("from steembot.bot") for line in imports)
        assert importlib.util.spec_from_file_location(path.stem, path) is not None
