"""The sockets that systemd passes on to a daemon."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import textwrap

import pytest

from steembot.errors import EXIT_CONFIG
from tests.support.programs import PATIENCE_S, environment, python

TAKE_SOCKET = """
    import os, socket, sys
    from pathlib import Path
    from steembot import service
    def take():
        wanted = globals().get("wanted")
        fd = service.inherited_socket("broadcaster", wanted and Path(wanted))
        print(fd, fd is not None and os.get_blocking(fd))
    kept = []
    def pass_on(*pairs):
        kept.extend(pairs)
        # As systemd does: from descriptor 3 on, with names, for this very process.
        for place, (_, passed) in enumerate(pairs, 3):
            os.dup2(passed.fileno(), place + 100)
        for place in range(3, 3 + len(pairs)):
            os.dup2(place + 100, place)
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(pairs))
        os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in pairs)
    def listener(path):
        made = socket.socket(socket.AF_UNIX)
        made.bind(path)
        made.listen()
        return made
"""


def take_socket(code: str, tmp_path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` (which may pass sockets on to itself), then ask for the inherited socket."""
    return python(
        textwrap.dedent(TAKE_SOCKET)
        + f"path = {str(tmp_path / 'feed.sock')!r}\n"
        + f"{code}\n"
        + "sys.exit(service.run('broadcaster', take))\n",
        **variables,
    )


def assert_refused(result, *words: str) -> None:
    """The process said these words in one line and ended with status 78."""
    assert result.returncode == EXIT_CONFIG
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert " broadcaster critical: " in result.stderr
    for word in words:
        assert word in result.stderr


def test_without_systemd_no_socket_is_inherited(tmp_path):
    """In a terminal there is none, and the process binds one itself."""
    result = take_socket("", tmp_path)
    assert (result.returncode, result.stdout) == (0, "None False\n")


def test_a_socket_is_found_by_its_name(tmp_path):
    """Among several the name decides, not the order; it comes non-blocking."""
    result = take_socket(
        "pass_on(('signer', listener(path + '2')), ('broadcaster', listener(path)))", tmp_path
    )
    assert (result.returncode, result.stdout) == (0, "4 False\n")


def test_a_socket_of_another_name_is_refused(tmp_path):
    """A unit that passes on the wrong socket is told which names came and what to start."""
    result = take_socket("pass_on(('signer', listener(path)))", tmp_path)
    assert_refused(result, "'broadcaster'", "it passed: signer", "steembot-broadcaster.socket")


def test_a_missing_socket_under_systemd_is_refused(tmp_path):
    """A unit without its socket does not bind the path, which would steal it from systemd."""
    result = take_socket("", tmp_path, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    assert_refused(result, "it passed: none", "systemctl start steembot-broadcaster.socket")


@pytest.mark.parametrize(
    "wrong",
    [
        "socket.socket(socket.AF_UNIX)",  # not listening; libzmq would abort
        "socket.socketpair()[0]",
        "socket.create_server(('127.0.0.1', 0))",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "open('/dev/null')",
    ],
)
def test_a_descriptor_of_the_wrong_kind_is_refused(tmp_path, wrong):
    """Only a listening AF_UNIX stream socket is handed to libzmq, which aborts on others."""
    result = take_socket(f"pass_on(('broadcaster', {wrong}))", tmp_path)
    assert_refused(result, "no listening AF_UNIX stream socket", "ListenStream=")


def test_a_socket_at_another_path_than_the_setting_is_refused(tmp_path):
    """Clients look where the setting says; a feed elsewhere would be found by nobody."""
    there = "pass_on(('broadcaster', listener(path))); "
    result = take_socket(there + "wanted = path", tmp_path)
    assert (result.returncode, result.stdout) == (0, "3 False\n")
    (tmp_path / "second").mkdir()
    result = take_socket(there + "wanted = path + '.other'", tmp_path / "second")
    assert_refused(result, "STEEMBOT_SOCKET=", ".other", "ListenStream=")


def test_a_descriptor_that_is_closed_is_refused(tmp_path):
    """An announced descriptor that is not there is said in words."""
    result = take_socket("pass_on(('broadcaster', listener(path))); os.close(3)", tmp_path)
    assert_refused(result, "LISTEN_FDS", "Bad file descriptor")


def test_a_socket_for_another_process_is_not_ours(tmp_path):
    """Variables that were inherited from a parent are not taken for ours (sd_listen_fds(3))."""
    result = take_socket(
        "pass_on(('broadcaster', listener(path))); os.environ['LISTEN_PID'] = '1'", tmp_path
    )
    assert (result.returncode, result.stdout) == (0, "None False\n")


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate"
)
def test_a_socket_comes_from_systemd_itself(tmp_path):
    """What systemd's own program passes on is found, and the path stays its own."""
    path = tmp_path / "feed.sock"
    command = ["systemd-socket-activate", f"--listen={path}", "--fdname=broadcaster"]
    code = textwrap.dedent(TAKE_SOCKET) + "sys.exit(service.run('broadcaster', take))"
    with subprocess.Popen(
        [*command, sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert "Listening on" in process.stderr.readline()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))  # which is what starts the program
                out, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "3 False\n")
    assert path.is_socket()
