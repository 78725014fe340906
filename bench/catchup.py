"""How fast a distance is caught up with: steembot, beem and plain parallel HTTP on one devnode.

    python bench/catchup.py [--blocks 5000] [--ops 50] [--latency 50] [--only steembot,plain]

All are given the same blocks of the same node in the same run; what counts are the ratios. beem's
slower ways get fewer blocks, since a rate is a rate. steembot is measured end to end: real
processes, and the time is that of a handler for ``comment``, from its first call to its last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(sys.executable).parent

HANDLERS = """
import os, time
from steembot.bot import Bot
bot = Bot()
first, out = [], os.environ["CATCHUP_OUT"]
last = int(os.environ["CATCHUP_LAST"])

@bot.on("comment")
def comment(op, ctx):
    if not first:
        first.append((time.monotonic(), op.block_num))
    if op.block_num >= last:
        begun, num = first[0]
        with open(out + ".new", "w") as file:
            file.write(f"{(op.block_num - num) / (time.monotonic() - begun)}")
        os.replace(out + ".new", out)
"""


@contextmanager
def devnode(ready: int, ops: int, latency_ms: float) -> Iterator[str]:
    """Serve a generated chain whose head stands still for an hour; yields its URL."""
    process = subprocess.Popen(
        [
            *(SCRIPTS / "steembot-devnode", "--generate", "bench", "--ready", str(ready)),
            *("--interval", "3600", "--ops", str(ops), "--latency", str(latency_ms)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1]
    finally:
        process.kill()
        process.wait()


def steembot(url: str, first: int, last: int) -> float:
    """Blocks a second into a handler, with both processes started from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        handlers = Path(folder, "handlers.py")
        handlers.write_text(HANDLERS)
        out = Path(folder, "rate")
        kept = {n: v for n, v in os.environ.items() if not n.startswith("STEEMBOT_")}
        env = kept | {
            "STEEMBOT_NODES": url,
            "STEEMBOT_NODE_RATE": "1000",  # it is our own node
            "STEEMBOT_START": str(first),
            "STEEMBOT_SOCKET": f"{folder}/s",
            "STEEMBOT_STATE_DIR": folder,
            "STEEMBOT_HANDLERS": str(handlers),
            "CATCHUP_OUT": str(out),
            "CATCHUP_LAST": str(last - 5),
        }
        logs = Path(os.environ.get("CATCHUP_LOG", os.devnull)).open("w")  # noqa: SIM115
        processes = [
            subprocess.Popen([SCRIPTS / name], env=env, cwd=folder, stderr=logs)
            for name in ("steembot-broadcaster", "steembot-bot")
        ]
        try:
            deadline = time.monotonic() + 120
            while not out.exists():
                assert time.monotonic() < deadline, "it never arrived at the last block"
                time.sleep(0.05)
            for name, process in zip(("broadcaster", "bot"), processes, strict=True):
                print(f"  {name}: {_peak_mib(process.pid):.0f} MiB at most,", end="")
                print(f" {_cpu_us(process.pid) / (last - first + 1):.0f} us of CPU a block")
            return float(out.read_text())
        finally:
            for process in processes:
                process.kill()
                process.wait()
            logs.close()


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (kib,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kib) / 1024


def _cpu_us(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * 1e6 / os.sysconf("SC_CLK_TCK")


def plain(url: str, first: int, last: int, connections: int = 4, batch: int = 50) -> float:
    """Bare HTTP: batches on parallel connections, nothing decoded. The node's own speed."""
    import http.client  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415

    host = urlsplit(url).netloc
    numbers = iter(range(first, last + 1, batch))
    lock = threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection(host)
        while True:
            with lock:
                start = next(numbers, None)
            if start is None:
                return
            calls = [
                {"jsonrpc": "2.0", "id": n, "method": "condenser_api.get_block", "params": [n]}
                for n in range(start, min(start + batch, last + 1))
            ]
            connection.request("POST", "/", json.dumps(calls))
            connection.getresponse().read()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (last - first + 1) / (time.monotonic() - begun)


BEEM = """
import sys, time
from beem import Steem
from beem.blockchain import Blockchain
url, first, last, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), eval(sys.argv[4])
chain = Blockchain(blockchain_instance=Steem(node=[url]), mode="head")
begun = time.monotonic()
for operation in chain.stream(opNames=["comment"], start=first, stop=last, **options):
    pass
print((last - first + 1) / (time.monotonic() - begun))
"""


def beem(options: str) -> Callable[[str, int, int], float]:
    """Return the measurement of ``Blockchain.stream`` with these options."""

    def measure(url: str, first: int, last: int) -> float:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BEEM, url, str(first), str(last), options],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=300,
        )
        return float(done.stdout.split()[-1])

    return measure


CONTESTANTS: dict[str, tuple[Callable[[str, int, int], float], float]] = {
    "plain 4 x 50": (plain, 1.0),
    "plain 8 x 50": (lambda *a: plain(*a, connections=8), 1.0),
    "steembot": (steembot, 1.0),
    "beem batch 50": (beem("dict(max_batch_size=50)"), 0.4),
    "beem 8 threads": (beem("dict(threading=True, thread_num=8)"), 0.1),
    "beem single": (beem("dict()"), 0.03),
}


def main() -> None:
    """Measure each and print blocks a second."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=5000)
    parser.add_argument("--ops", type=int, default=50)
    parser.add_argument("--latency", type=float, default=50.0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    rates: dict[str, float] = {}
    with devnode(given.blocks, given.ops, given.latency) as url:
        for name, (measure, share) in CONTESTANTS.items():
            if any(part in name for part in given.only.split(",")):
                rates[name] = measure(url, 1, max(100, int(given.blocks * share)))
                print(f"{name:16} {rates[name]:8.0f} blocks/s", flush=True)
    ours = rates.get("steembot")
    if ours:
        beems = [rate for name, rate in rates.items() if name.startswith("beem")]
        ceiling = [rate for name, rate in rates.items() if name.startswith("plain")]
        if beems:
            print(f"steembot / fastest beem: {ours / max(beems):.1f}")
        if ceiling:
            print(f"steembot / plain HTTP:   {ours / max(ceiling):.2f}")


if __name__ == "__main__":
    main()
