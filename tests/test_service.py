"""A daemon's skeleton: signals, systemd's protocol, exit status, logging."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from steembot import service
from steembot.errors import EXIT_CONFIG, StartError
from tests.support.hostile import HOSTILE, anything, controls
from tests.support.processes import SCRIPTS, Process, environment
from tests.support.programs import PATIENCE_S, python, running


class SystemdsEar:
    """What systemd would hear on ``$NOTIFY_SOCKET``."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """All messages so far; sending one is done when ``notify()`` returns."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return messages

    def close(self):
        """Hear nothing more."""
        self._socket.close()


@pytest.fixture
def ear(tmp_path, monkeypatch):
    """A NOTIFY_SOCKET of this process."""
    path = tmp_path / "notify"
    ear = SystemdsEar(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    yield ear
    ear.close()


# ---- signals

WAITING = """
    import select, sys
    from steembot.service import Service
    with Service() as daemon:
        print("ready", flush=True)
        while not daemon.stopping:
            ready, _, _ = select.select([daemon], [], [], 60)
            daemon.drain()
            wanted, daemon.reload_wanted = daemon.reload_wanted, False
            print("woke", bool(ready), daemon.stopping, wanted, flush=True)
"""


def wait_until_asleep(process) -> None:
    """Return when the process waits for something (proc(5): its state is S)."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        if stat.rpartition(")")[2].split()[0] == "S":
            return
    raise AssertionError("the process never waits")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_at_once(number):
    """A process that waits for a minute ends within a moment of SIGTERM or SIGINT, with 0."""
    with running(WAITING) as process:
        wait_until_asleep(process)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout.read() == "woke True True False\n"
        assert process.stderr.read() == ""


def test_sighup_asks_for_new_settings_and_does_not_end_the_process():
    """SIGHUP wakes the process up, which then reads settings and goes on."""
    with running(WAITING) as process:
        for _ in range(2):
            wait_until_asleep(process)
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline() == "woke True False True\n"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_burst_of_signals_is_one_wake_up():
    """However many signals came, after drain() the process waits again and does not spin."""
    with service.Service() as daemon:
        for _ in range(10_000):
            signal.raise_signal(signal.SIGHUP)
        daemon.drain()
        assert daemon.reload_wanted
        assert select.select([daemon], [], [], 0)[0] == []
        signal.raise_signal(signal.SIGTERM)
        assert select.select([daemon], [], [], 0)[0] == [daemon]
        assert daemon.stopping


def test_signals_are_as_before_when_the_service_is_over():
    """A process that goes on after its service hears signals as it did before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with service.Service():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


# ---- what systemd is told


def test_readiness_and_status_reach_systemd(ear):
    """READY comes with a status, a status that did not change is not said twice."""
    with service.Service() as daemon:
        daemon.ready("serving")
        daemon.status("serving")
        daemon.status("block 5")
        daemon.status("block 5")
        daemon.bye()
    assert ear.heard() == [
        "READY=1\nSTATUS=serving",
        "STATUS=block 5",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_words_of_others_are_no_assignments(ear):
    """A status that quotes a node's answer cannot tell systemd anything but a status."""
    with service.Service() as daemon:
        daemon.ready("node said:\nWATCHDOG=trigger")
        daemon.status("node said:\r\nMAINPID=1\n\nX=1")
    assert ear.heard() == [
        "READY=1\nSTATUS=node said: WATCHDOG=trigger",
        "STATUS=node said: MAINPID=1 X=1",
    ]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
@example(HOSTILE)
@example("a\0b")
@example("x" * 1_000_000)
def test_any_status_can_be_said(ear, text):
    """No text of a node ends the process: a NUL did, and what is too long was not sent."""
    ear.heard()
    with service.Service() as daemon:
        daemon.ready(text)
        daemon.status(text + "!")
    for message in ear.heard():
        status = message.removeprefix("READY=1\n").removeprefix("STATUS=")
        assert controls(status, ends="") == set()
        assert len(status) <= service.STATUS_CHARACTERS


def test_progress_feeds_the_watchdog_but_does_not_flood_it(ear):
    """A thousand operations a moment are one message to systemd, and a later one is another."""
    with service.Service() as daemon:
        begun = time.monotonic()
        for _ in range(1000):
            daemon.alive()
        took_s = time.monotonic() - begun
        heard = ear.heard()
        assert set(heard) == {"WATCHDOG=1"}
        assert len(heard) <= 1 + took_s / service.ALIVE_EVERY_S
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            daemon.alive()
            if heard := ear.heard():
                break
        assert heard == ["WATCHDOG=1"]


def test_nothing_is_fed_without_progress(ear):
    """No timer of its own feeds the watchdog: a process that hangs is killed."""
    with service.Service() as daemon:
        daemon.ready("serving")
        ear.heard()
        select.select([], [], [], 2 * service.ALIVE_EVERY_S)
        assert ear.heard() == []


def test_a_reload_is_announced_with_its_time(ear):
    """RELOADING=1 carries the monotonic time in microseconds, as sd_notify(3) wants it."""
    with service.Service() as daemon:
        signal.raise_signal(signal.SIGHUP)
        before_us = time.monotonic_ns() // 1000
        daemon.reloading()
        after_us = time.monotonic_ns() // 1000
        assert not daemon.reload_wanted
        daemon.ready("serving")
    reloading, ready = ear.heard()
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
    assert match
    assert before_us <= int(match[1]) <= after_us
    assert ready == "READY=1\nSTATUS=serving"


def test_without_systemd_nobody_is_told(monkeypatch):
    """In a terminal every notification goes nowhere, quietly."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with service.Service() as daemon:
        daemon.ready("serving")
        daemon.status("block 5")
        daemon.alive()
        daemon.reloading()
        daemon.bye()


@pytest.mark.parametrize(
    ("text", "seconds"), [("30000000", 15.0), ("1000000", 0.5), ("", None), ("soon", None)]
)
def test_the_watchdogs_interval_is_half_its_patience(text, seconds):
    """sd_watchdog_enabled(3): to be fed at half of $WATCHDOG_USEC."""
    assert service.watchdog_interval_s({"WATCHDOG_USEC": text}) == seconds


def test_without_a_watchdog_there_is_no_interval():
    """A unit without WatchdogSec= wants nothing."""
    assert service.watchdog_interval_s({}) is None


# ---- exit status


def ending(statement: str) -> subprocess.CompletedProcess[str]:
    """Run a process whose body is one statement."""
    return python(
        f"""
        import sys
        from steembot import service
        from steembot.errors import *
        def body():
            {statement}
        sys.exit(service.run("bot", body))
        """
    )


def test_a_body_that_returns_ends_with_0():
    """A process that was asked to stop did nothing wrong, and says nothing of its own."""
    result = ending("return")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# ---- what is printed


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}, {"LC_ALL": "C"}])
def test_what_is_printed_leaves_the_process_at_once(variables):
    """``kill -9`` takes nothing of it, not even the beginning of a line."""
    result = python(
        """
        import os, signal, sys
        from steembot import service
        def body():
            print("one", 1)
            print("two", file=sys.stderr, end="")
            print("half \\ud83d", "a line", end="")
            os.kill(os.getpid(), signal.SIGKILL)
        service.run("bot", body)
        """,
        **{"PYTHONUNBUFFERED": ""} | variables,
    )
    assert result.returncode == -signal.SIGKILL
    assert (result.stdout, result.stderr) == ("one 1\nhalf \\ud83d a line", "two")


def test_what_is_printed_is_written_once():
    """What went out at once does not come again at a proper end."""
    result = ending("print('one'); print('two', end='')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "one\ntwo", "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "SettingsError('STEEMBOT_MODE', 'safe', 'allowed are head, irreversible')",
            "STEEMBOT_MODE='safe': allowed are head, irreversible",
        ),
        ("SettingsError('STEEMBOT_MODE', 'a\\nb', 'allowed is x')", r"STEEMBOT_MODE='a\nb': "),
        ("SocketError('another process serves it')", "another process serves it"),
        ("HandlersError('the module holds no bot')", "the module holds no bot"),
        ("StartError('no state directory') from OSError(30, 'x')", "no state directory"),
    ],
)
def test_a_process_that_cannot_start_says_one_line_and_ends_with_78(error, words):
    """What was wrong from the start is one line without a traceback."""
    result = ending(f"raise {error}")
    assert result.returncode == EXIT_CONFIG
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert f" bot critical: {words}" in result.stderr


def test_handlers_that_do_not_import_show_their_traceback():
    """The author of a handlers module is shown where it fails, below the one line."""
    result = ending("raise HandlersError('it does not import') from ZeroDivisionError('by me')")
    assert result.returncode == EXIT_CONFIG
    first, *rest = result.stderr.splitlines()
    assert first.endswith(" bot critical: it does not import")
    assert "ZeroDivisionError: by me" in rest


def test_a_known_error_in_service_is_one_line_and_ends_with_1():
    """What systemd may mend by a new start is one line and status 1."""
    result = ending("raise ForkTooDeepError('below what can be undone')")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.endswith(" bot critical: below what can be undone\n")


def test_an_unknown_error_shows_its_traceback_and_ends_with_1():
    """A bug is never hidden: its traceback is in the log, and the status is not 0."""
    result = ending("raise KeyError('a bug')")
    assert result.returncode == 1
    assert " bot critical: an error nobody expected" in result.stderr
    assert "KeyError: 'a bug'" in result.stderr


# ---- the log


def test_the_terminals_log_is_time_process_words():
    """A line is the time, the process and the words; from warnings on also how bad it is."""
    result = python(
        """
        import logging
        from steembot import service
        service.set_up_logging("bot", "info")
        log = logging.getLogger("steembot.bot")
        log.debug("not wanted")
        log.info("https://steemit.com/@%s/%s", "ann", "hello")
        log.warning("disconnected")
        log.error("broken")
        """
    )
    lines = result.stderr.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "bot https://steemit.com/@ann/hello",
        "bot warning: disconnected",
        "bot error: broken",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)


def test_the_log_level_can_change_without_lines_coming_twice():
    """Setting logging up again (a reload) replaces what was there."""
    result = python(
        """
        import logging
        from steembot import service
        service.set_up_logging("bot", "error")
        logging.info("one")
        service.set_up_logging("bot", "debug")
        logging.info("two")
        """
    )
    assert [line.split()[-1] for line in result.stderr.splitlines()] == ["two"]


def test_the_http_librarys_chatter_is_not_logged():
    """What beem and its HTTP library say about every connection does not reach the log."""
    result = python(
        """
        import logging
        from steembot import service
        service.set_up_logging("broadcaster", "debug")
        logging.getLogger("urllib3.connectionpool").warning("Connection pool is full")
        logging.getLogger("beemapi.rpcutils").warning("Retry RPC Call")
        """
    )
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("stream", "handler"),
    [
        ("f'{s.st_dev}:{s.st_ino}'", "JournalHandler"),
        ("f'{s.st_dev}:{s.st_ino + 1}'", "StreamHandler"),  # standard error leads elsewhere now
        ("''", "StreamHandler"),
    ],
)
def test_the_log_goes_to_the_journal_where_standard_error_does(stream, handler):
    """systemd.exec(5): only if $JOURNAL_STREAM is what standard error is."""
    result = python(
        f"""
        import logging, os
        from steembot import service
        s = os.fstat(2)
        os.environ["JOURNAL_STREAM"] = {stream}
        service.set_up_logging("bot", "info")
        print(*(type(handler).__name__ for handler in logging.getLogger().handlers))
        """
    )
    assert (result.returncode, result.stdout) == (0, f"{handler}\n")


# ---- odds and ends


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        ([], 0, "ran\n", ""),
        (["--help"], 0, "steembot-bot - runs\n", ""),
        (["-h"], 0, "steembot-bot - runs\n", ""),
        (["--check-settings"], 0, "", ""),
        (["--chain=hive"], 1, "", "steembot-bot: unknown argument '--chain=hive'"),
    ],
)
def test_arguments_are_flags_alone(arguments, status, out, err):
    """Settings are variables: another argument is refused before anything runs."""
    result = python(
        f"""
        from steembot import service
        service.answer_flags("bot", {arguments!r}, "\\nsteembot-bot - runs\\n", dict)
        print("ran")
        """
    )
    assert (result.returncode, result.stdout) == (status, out)
    assert result.stderr.startswith(err)


@pytest.mark.parametrize("command", ["steembot-broadcaster", "steembot-bot"])
@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_a_full_disk_behind_standard_output_is_one_line(command, flag):
    """As with every command: no traceback."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a descriptor, as a shell's > gives it)
        result = subprocess.run(
            [SCRIPTS / command, flag], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    words = "standard output cannot be written: No space left on device"
    assert (result.returncode, result.stderr) == (1, f"{command}: {words}\n")


@pytest.mark.parametrize("command", ["steembot-broadcaster", "steembot-bot"])
def test_settings_are_checked_before_a_reload(command, tmp_path):
    """What a unit asks before it sends SIGHUP: status 78 and one line, or nothing and status 0."""
    (tmp_path / ".env").write_text("STEEMBOT_NODES=ftp://elsewhere\n")
    with Process(command, "--check-settings", env=environment(), cwd=tmp_path) as process:
        assert process.ended() == 78
    (line,) = process.lines
    assert "settings kept as they were: STEEMBOT_NODES='ftp://elsewhere': allowed are" in line
    (tmp_path / ".env").write_text("STEEMBOT_NODES=http://elsewhere\n")
    with Process(command, "--check-settings", env=environment(), cwd=tmp_path) as process:
        assert process.ended() == 0
    assert process.lines == []


def test_the_version_is_said():
    """--version says which program and which version."""
    result = python(
        "from steembot import service; service.answer_flags('bot', ['--version'], '', dict)"
    )
    assert result.returncode == 0
    assert re.fullmatch(r"steembot-bot \d+\.\d+\.\d+\S*\n", result.stdout)


def test_the_state_directory_is_made(tmp_path):
    """A missing state directory is made, for its user and group alone."""
    old_mask = os.umask(0)
    try:
        path = service.state_file(tmp_path / "a" / "b", "log.sqlite3")
    finally:
        os.umask(old_mask)
    assert path == tmp_path / "a" / "b" / "log.sqlite3"
    assert path.parent.stat().st_mode & 0o777 == 0o750


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path):
    """The error names the folder and the setting that moves it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError) as caught:
        service.state_file(tmp_path / "file" / "state", "log.sqlite3")
    assert str(tmp_path / "file" / "state") in str(caught.value)
    assert "STEEMBOT_STATE_DIR" in str(caught.value)
