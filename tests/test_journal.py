"""Entries of the journal: fields, and a journald that does not read."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import struct
import threading
import time

import pytest
from hypothesis import HealthCheck, example, given, settings

from steembot import events, journal, service
from steembot.bot.runner import Stopped
from steembot.journal import JournalHandler
from tests.support.hostile import HOSTILE, anything, controls

PATIENCE_S = 20.0


class Journald:
    """A datagram socket as journald's, which reads when it is told to."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE_S)

    def read(self) -> dict[str, str]:
        """The next entry."""
        data, fds, _, _ = socket.recv_fds(self._socket, 1 << 20, 1)
        for fd in fds:
            assert data == b""
            assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
            with os.fdopen(fd, "rb") as file:
                file.seek(0)
                data = file.read()
        return entry(data)

    def read_until(self, message: str) -> list[str]:
        """The messages of all entries up to this one."""
        messages = []
        while not messages or messages[-1] != message:
            messages.append(self.read()["MESSAGE"])
        return messages

    def close(self):
        self._socket.close()


def entry(data: bytes) -> dict[str, str]:
    """Parse an entry of the native protocol."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, is_text, value = line.partition(b"=")
        if not is_text:
            (length,) = struct.unpack("<Q", rest[:8])
            value, end, rest = (
                rest[8 : 8 + length],
                rest[8 + length : 9 + length],
                rest[9 + length :],
            )
            assert end == b"\n"
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        data = rest
    return fields


@pytest.fixture
def journald(tmp_path):
    """Lend a journald."""
    journald = Journald(tmp_path / "journal")
    yield journald
    journald.close()


@pytest.fixture
def log(journald):
    """Lend a logger of its own that writes to it."""
    log = logging.Logger("steembot.test")  # noqa: LOG001 (of nobody else)
    handler = JournalHandler("broadcaster", journald.path)
    log.addHandler(handler)
    yield log
    handler.patience = None
    handler.close()


def handler_of(log) -> JournalHandler:
    (handler,) = log.handlers
    return handler


def stall(log) -> int:
    """Log until journald takes no more; return how many entries it has."""
    handler, count = handler_of(log), 0
    while not handler._kept:
        log.info("%d", count)
        count += 1
    return count - 1


def test_an_entry_carries_its_fields(log, journald):
    """Ours, those that journald knows, and none without a value."""
    log.warning("a %s", "fork", extra=events.FORK(STEEM_BLOCK=5, STEEM_NODE=None))
    read = journald.read()
    assert read.pop("CODE_FILE") == __file__
    assert read.pop("CODE_LINE").isdecimal()
    assert read == {
        "MESSAGE": "a fork",
        "MESSAGE_ID": events.FORK.id,
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "steembot-broadcaster",
        "STEEMBOT_PROCESS": "broadcaster",
        "STEEM_BLOCK": "5",
        "LOGGER": "steembot.test",
        "CODE_FUNC": "test_an_entry_carries_its_fields",
        "THREAD_NAME": "MainThread",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)],
)
def test_the_level_is_syslogs_priority(log, journald, level, priority):
    """With -p warning journalctl shows warnings and what is graver."""
    getattr(log, level)("x")
    assert journald.read()["PRIORITY"] == str(priority)


def test_any_value_is_one_field(log, journald):
    """A permlink with a line's end cannot make a field of its own, and what is no text is one."""
    log.info("one\ntwo", extra={"STEEM_PERMLINK": "a\nPRIORITY=0", "STEEM_AUTHOR": ["x"]})
    read = journald.read()
    assert (read["MESSAGE"], read["PRIORITY"]) == ("one\ntwo", "6")
    assert (read["STEEM_PERMLINK"], read["STEEM_AUTHOR"]) == ("a\nPRIORITY=0", "['x']")
    log.info("\ud800 half a letter")
    assert journald.read()["MESSAGE"] == "\\ud800 half a letter"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
@example(HOSTILE)
def test_any_text_is_an_entry_that_journalctl_can_show(log, journald, text):
    """No control character, in the message and in the fields: journalctl shows it as it is."""
    log.info("%s", text, extra={"STEEM_PERMLINK": text})
    read = journald.read()
    for name in ("MESSAGE", "STEEM_PERMLINK"):
        assert controls(read[name]) == set()


def test_names_of_fields_are_made_such_as_journald_takes(log, journald):
    """Lower case becomes upper case; what journald would refuse is left out."""
    log.info("x", extra={"voter": "ann", "_uid": 0, "a b": 1, "priority": 0})
    read = journald.read()
    assert (read["VOTER"], read["PRIORITY"]) == ("ann", "6")
    assert not {"_UID", "A B", "a b"} & read.keys()


def test_a_traceback_is_part_of_the_message(log, journald):
    """As in a terminal."""
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("no")
    assert journald.read()["MESSAGE"].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_what_is_too_large_for_a_datagram_comes_all_the_same(log, journald):
    """A message of 8 MiB is one entry, in order."""
    log.info("%s", "x" * 8_000_000)
    log.info("after")
    assert journald.read()["MESSAGE"] == "x" * 8_000_000
    assert journald.read()["MESSAGE"] == "after"


def test_words_that_do_not_fit_their_arguments_end_nothing(log, journald, capsys):
    """As every handler of logging does: the mistake is told on standard error."""
    log.info("%d", "no number")
    log.info("after")
    assert journald.read()["MESSAGE"] == "after"
    assert "Logging error" in capsys.readouterr().err


# ---- a journald that does not read


def test_a_stalled_journal_delays_nobody(log, journald):
    """Ten thousand entries for a journald that is stopped take no longer than making them."""
    stall(log)
    begun = time.monotonic()
    for number in range(10_000):
        log.info("more %d", number)
    assert time.monotonic() - begun < 10_000 * journal.TURN_S / 100
    assert len(handler_of(log)._kept) <= journal.KEPT_ENTRIES


def test_what_was_kept_is_written_when_the_journal_reads_on(log, journald):
    """In order, by itself: no further entry is needed to bring them out."""
    taken = stall(log)
    log.error("grave")
    log.info("last")
    expected = [*(str(number) for number in range(taken + 1)), "grave", "last"]
    assert journald.read_until("last") == expected
    log.info("direct")
    assert journald.read()["MESSAGE"] == "direct"


def test_the_least_important_is_dropped_and_counted(log, journald, monkeypatch):
    """Of too many entries the gravest stay, and an entry says how many are gone."""
    monkeypatch.setattr(journal, "KEPT_ENTRIES", 5)
    taken = stall(log)  # and one is kept
    log.error("grave 1")
    for number in range(10):
        log.info("info %d", number)
        log.debug("debug %d", number)
    log.warning("grave 2")
    log.critical("grave 3")
    messages = journald.read_until("grave 3")[taken:]
    told, *rest = messages
    assert told == "19 log entries were dropped while the journal took none"
    assert rest == ["grave 1", "info 8", "info 9", "grave 2", "grave 3"]
    assert handler_of(log).dropped == 19


def test_the_entry_about_dropped_ones_is_an_event(log, journald, monkeypatch):
    """It has a MESSAGE_ID of its own, for journalctl -x."""
    monkeypatch.setattr(journal, "KEPT_ENTRIES", 1)
    taken = stall(log)
    log.info("last")
    for _ in range(taken):
        journald.read()
    told = journald.read()
    assert told["MESSAGE_ID"] == events.ENTRIES_LOST.id
    assert (told["PRIORITY"], told["STEEMBOT_DROPPED"]) == ("4", "1")


def test_large_entries_are_bounded_too(log, journald, monkeypatch):
    """Few entries of much text are held to a size in memory."""
    monkeypatch.setattr(journal, "KEPT_BYTES", 100_000)
    stall(log)
    for _ in range(100):
        log.info("%s", "x" * 10_000)
    assert sum(len(entry) for _, entry in handler_of(log)._kept) <= 100_000


def test_at_exit_what_is_kept_is_written_for_a_moment(log, journald):
    """flush(), which logging calls at exit, does not outlast systemd's patience."""
    stall(log)
    begun = time.monotonic()
    handler_of(log).flush()
    assert journal.FLUSH_S <= time.monotonic() - begun < PATIENCE_S


def test_at_exit_nothing_is_lost_with_a_journal_that_reads(log, journald, monkeypatch):
    """flush() returns when all is written, and at once if nothing is kept."""
    monkeypatch.setattr(journal, "FLUSH_S", PATIENCE_S)  # who reads may be slow here
    taken = stall(log)
    log.info("last")
    reader = threading.Thread(target=journald.read_until, args=("last",))
    reader.start()
    handler_of(log).flush()
    assert not handler_of(log)._kept
    reader.join(PATIENCE_S)
    assert taken


def test_a_journal_that_comes_back_at_another_time_is_found(tmp_path):
    """No journald at all at first; what was logged meanwhile comes when there is one."""
    log = logging.Logger("steembot.test")  # noqa: LOG001 (of nobody else)
    handler = JournalHandler("bot", tmp_path / "journal")
    log.addHandler(handler)
    log.info("early")
    journald = Journald(tmp_path / "journal")
    try:
        assert journald.read()["MESSAGE"] == "early"
        journald.close()
        journald.path.unlink()
        log.info("between")
        journald = Journald(tmp_path / "journal")
        assert journald.read()["MESSAGE"] == "between"
    finally:
        handler.close()
        journald.close()


# ---- a process whose lines must not be lost


def test_a_bot_waits_for_the_journal(log, journald):
    """With patience no entry is dropped or out of order: whoever logs waits, and is asked."""
    asked = threading.Event()
    handler_of(log).patience = asked.set

    def write():
        for number in range(20_000):
            log.info("%d", number)
        log.info("last")

    writer = threading.Thread(target=write)
    writer.start()
    assert asked.wait(PATIENCE_S)
    assert journald.read_until("last") == [*map(str, range(20_000)), "last"]
    writer.join(PATIENCE_S)
    assert handler_of(log).dropped == 0


def log_for_ever(log):
    """As an author may write a handler."""
    while True:
        try:
            log.info("line")
        except Exception:  # noqa: BLE001 (that is what it is about)
            continue


def test_a_bot_that_is_to_end_waits_no_longer(journald, monkeypatch):
    """SIGTERM interrupts the wait through every except Exception, and says nothing was handled."""
    log = logging.getLogger("steembot.test")
    root = logging.getLogger()
    handler = JournalHandler("bot", journald.path)
    monkeypatch.setattr(root, "handlers", [handler])
    log.setLevel("INFO")
    with service.Service(log_interrupt=Stopped) as daemon:
        patience = handler.patience

        def stop_and_wait():
            signal.raise_signal(signal.SIGTERM)
            patience()

        handler.patience = stop_and_wait
        with pytest.raises(Stopped):
            log_for_ever(log)
        assert daemon.stopping
    assert handler.patience is None
    log.info("does not wait any more")
    handler.close()
