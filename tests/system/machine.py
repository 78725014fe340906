"""A real systemd for tests: booted in namespaces, on a machine whose process 1 is something else.

    with Machine({source: "/srv/source"}) as machine:
        machine.systemctl("start", "steembot.target")
        machine.wait_for_entry("steembot-bot.service", lambda entry: "https" in entry["MESSAGE"])

The machine sees the host's files, but what it writes lies in memory and ends with it. It shares
the host's network, thus also its loopback. It ends with the test process, however that one ends:
each of the chain test, ``boot``, ``unshare``, ``systemd`` is killed by the kernel when the one
before dies, and with its process 1 a PID namespace loses all processes, and then its mounts.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

BOOT = Path(__file__).with_name("boot")
BOOT_TIMEOUT_S = 120.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

UNIT_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"
"""``MESSAGE_ID`` of systemd's "Starting UNIT" and "Started UNIT", with the name in ``UNIT``."""

UNIT_PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"
"""``MESSAGE_ID`` of systemd's "Main process exited", with ``EXIT_STATUS``."""

Entry = Mapping[str, str]
"""An entry of the journal: field to value. A field that stands there twice is a list."""


def why_not() -> str | None:
    """Say what a machine would miss here, or None where it can run."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    for program in ("unshare", "nsenter", "pivot_root", "setpriv", "systemctl"):
        if not shutil.which(program, path=PATH):
            return f"needs {program}"
    cgroups = _cgroup2()
    if cgroups is None:
        return "needs a cgroup2 mount"
    probe = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount", "--cgroup", "--uts", "--ipc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"unshare: {probe.stderr.strip()}" if probe.returncode else None


class Machine:
    """A booted systemd. Entering boots it, leaving kills it.

    ``shown`` maps the host's folders to where the machine sees them, read-only. Entering returns
    when the boot is complete; a boot that fails raises ``RuntimeError``. PIDs are those that the
    machine sees.
    """

    def __init__(self, shown: Mapping[Path, str]):
        self._shown = shown
        self._pid = 0
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            self._boot(ends)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _boot(self, ends: contextlib.ExitStack) -> None:
        # Not by the PID alone: another PID namespace, or an earlier run, may have the same ones.
        name = f"steembot-test-{os.getpid()}-{secrets.token_hex(4)}"
        work = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
        cgroup = ends.enter_context(_cgroup(name))
        self._address = f"\0{name}"  # of no file; the machine shares our network
        ready = ends.enter_context(self._told())
        output = ends.enter_context((work / "output").open("w+"))
        binds = [f"{source}={target}" for source, target in self._shown.items()]
        boot = subprocess.Popen(
            [
                *("sh", "-c", f'echo $$ >"{cgroup}/cgroup.procs" && exec "$@"', "sh"),
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "bash", BOOT, work, *binds),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": PATH, "NOTIFY_SOCKET": f"@{name}"},
        )
        ends.callback(boot.wait)
        ends.callback(_kill, cgroup)
        self._ended = os.pidfd_open(boot.pid)
        ends.callback(os.close, self._ended)
        self._output = output
        self._wait_for_boot(ready)
        ready.close()

    def reboot(self) -> None:
        """Shut it down and boot it again, with what it wrote but for /run and /tmp."""
        with self._told() as ready:
            # Who asks for it may end with the machine.
            self.systemctl("reboot", check=False)
            self._wait_for_boot(ready)

    def _told(self) -> socket.socket:
        """Open where systemd says READY=1, for a boot alone: a queue that fills stops it."""
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ready.bind(self._address)
        return ready

    def _wait_for_boot(self, ready: socket.socket) -> None:
        """Wait until a systemd that is not the one before says that its boot is complete.

        It says READY=1 after every job of some seconds, also after those of its end.
        """
        output = self._output
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        said, sender = b"", 0
        while b"READY=1" not in said.split(b"\n") or sender == self._pid:
            left_s = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([ready, self._ended], [], [], left_s)
            if ready not in readable:
                output.seek(0)
                how = "ended" if readable else f"was not complete after {BOOT_TIMEOUT_S:.0f} s"
                raise RuntimeError(f"The boot {how}: {output.read()[-2000:]}")
            said, ((_, _, credentials),), _, _ = ready.recvmsg(4096, _CREDENTIALS_SPACE)
            sender, _, _ = _CREDENTIALS.unpack(credentials)
        self._pid = sender

    def run(
        self,
        *argv: str | Path,
        check: bool = True,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine as ``user``, by default root.

        With ``check`` a failure raises ``RuntimeError`` with what the command said.
        """
        done = subprocess.run(
            [*self._inside(user), *argv],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=_environment() | dict(env or {}),
        )
        if check and done.returncode:
            raise RuntimeError(f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def systemctl(self, *argv: str, check: bool = True) -> str:
        """Run systemctl and return what it printed."""
        return self.run("systemctl", "--no-pager", *argv, check=check).stdout.strip()

    def show(self, unit: str, *names: str) -> Mapping[str, str]:
        """Return these properties of a unit."""
        printed = self.systemctl("show", unit, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in printed.splitlines())

    def pid_of(self, unit: str) -> int:
        """Return the unit's main process; 0 where there is none."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def kill(self, unit: str, signal_name: str = "KILL") -> float:
        """Send a signal to the unit's main process. Returns when, in seconds since 1970."""
        pid = self.pid_of(unit)
        if not pid:  # for kill that would be its own process group, which is the test's
            raise RuntimeError(f"{unit} has no process")
        now = time.time()
        self.run("kill", "-s", signal_name, str(pid))
        return now

    def write(self, path: str, text: str) -> None:
        """Write a file in the machine, keeping owner and mode of one that exists."""
        self.run("tee", path, stdin=text)

    def sync_journal(self) -> None:
        """Wait until journald has written down all that was sent to it before."""
        self.run("journalctl", "--sync")

    def journal(self, unit: str, *argv: str) -> list[Entry]:
        """Return all entries of a unit's journal so far, also systemd's about the unit.

        An entry that a process sent just before its end may be missing: journald looks up the unit
        when it reads the entry. An option like ``--identifier=`` in the unit's place finds it.
        """
        self.sync_journal()
        printed = self.run("journalctl", *_JOURNAL, _selecting(unit), *argv).stdout
        return [json.loads(line) for line in printed.splitlines()]

    def follow(self, unit: str, *, timeout_s: float) -> Iterator[Entry]:
        """Yield a unit's entries, those of the past and then new ones; see :meth:`journal`.

        Raises ``TimeoutError`` after ``timeout_s`` in all.
        """
        deadline = time.monotonic() + timeout_s
        argv = ["journalctl", *_JOURNAL, "--follow", "--no-tail", _selecting(unit)]
        with subprocess.Popen(
            [*self._inside(), *argv], stdout=subprocess.PIPE, env=_environment()
        ) as journalctl:
            try:
                pipe = journalctl.stdout.fileno()
                rest = b""
                while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    *lines, rest = (rest + os.read(pipe, 1 << 20)).split(b"\n")
                    yield from map(json.loads, lines)
            finally:
                journalctl.kill()
        raise TimeoutError(f"The journal of {unit} went no further in {timeout_s} s")

    def wait_for_entry(
        self, unit: str, wanted: Callable[[Entry], bool], *, timeout_s: float = 30.0
    ) -> Entry:
        """Wait for an entry of a unit's journal; one of the past counts too."""
        with contextlib.closing(self.follow(unit, timeout_s=timeout_s)) as entries:
            return next(filter(wanted, entries))

    def wait_until(self, holds: Callable[[], object], *, timeout_s: float = 30.0) -> None:
        """Wait for what no journal tells: ask again and again until it holds."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if select.select([self._ended], [], [], 0.05)[0]:
                raise RuntimeError("The machine has ended")
            if time.monotonic() > deadline:
                raise TimeoutError(f"Not so after {timeout_s} s")

    def _inside(self, user: str | None = None) -> list[str]:
        # Its root too: in a chroot the mount namespace's root is not the machine's.
        enter = ["nsenter", "--target", str(self._pid), "--all", "--root", "--wd"]
        return [*enter, "runuser", "-u", user, "--"] if user else enter


_CREDENTIALS = struct.Struct("=iII")
"""PID, UID and GID of who sent a message: unix(7)."""
_CREDENTIALS_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size)

_JOURNAL = ("--output=json", "--all", "--quiet", "--no-pager")


def _selecting(unit: str) -> str:
    return unit if unit.startswith("--") else f"--unit={unit}"


def _environment() -> dict[str, str]:
    # How this host reaches the package index is the one thing that a command may need to know.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    return kept | {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}


def _cgroup2() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, kind = line.split(" - ")
        if kind.startswith("cgroup2 "):
            return Path(place.split()[4])
    return None


@contextlib.contextmanager
def _cgroup(name: str) -> Iterator[Path]:
    """Lend a cgroup of one's own, which becomes the root of all that the machine sees."""
    mount = _cgroup2()
    for left in mount.glob("steembot-test-*"):
        # A test that was killed could not do it. One that lives may be in another PID namespace.
        gone = not Path("/proc", left.name.split("-")[2]).exists()
        with contextlib.suppress(OSError):  # another process that tests does the same just now
            if gone and "populated 0" in (left / "cgroup.events").read_text():
                _remove_cgroup(left)
    own = mount / name
    own.mkdir()
    try:
        yield own
    finally:
        _remove_cgroup(own)


def _kill(cgroup: Path) -> None:
    """Kill every process in a cgroup, and wait until they are gone."""
    with (cgroup / "cgroup.events").open() as events:
        (cgroup / "cgroup.kill").write_text("1")
        while "populated 1" in events.read():
            select.select([], [], [events])  # cgroups(7): a change is an exceptional condition
            events.seek(0)


def _remove_cgroup(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        Path(folder).rmdir()
