"""How soon a block of the head reaches a handler, and how many requests that takes.

    python bench/head_latency.py [--blocks 60] [--latency 0]

A devnode makes a block every 3 seconds, at the second that the block is stamped with; what counts
is from then to the handler's first operation of that block. Real processes throughout.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(sys.executable).parent

HANDLERS = """
import os, time
from steembot.bot import Bot
bot = Bot()
out = open(os.environ["LATENCY_OUT"], "a", buffering=1)
last = [0]

@bot.on("*")
def operation(op, ctx):
    if op.block_num > last[0]:
        last[0] = op.block_num
        print(op.block_num, time.time() - op.timestamp.timestamp(), file=out)
"""


def main() -> None:
    """Measure, and print the percentiles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds, of the node")
    parser.add_argument("--verbose", action="store_true", help="print each block's delay in ms")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        handlers, out = Path(folder, "handlers.py"), Path(folder, "out")
        handlers.write_text(HANDLERS)
        out.touch()
        node = subprocess.Popen(
            [SCRIPTS / "steembot-devnode", "--generate", "head", "--latency", str(given.latency)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert node.stdout is not None
        assert node.stderr is not None
        kept = {n: v for n, v in os.environ.items() if not n.startswith("STEEMBOT_")}
        env = kept | {
            "STEEMBOT_NODES": node.stdout.readline().split()[1],
            "STEEMBOT_SOCKET": f"{folder}/s",
            "STEEMBOT_STATE_DIR": folder,
            "STEEMBOT_HANDLERS": str(handlers),
            "LATENCY_OUT": str(out),
        }
        processes = [
            subprocess.Popen([SCRIPTS / name], env=env, stderr=subprocess.DEVNULL)
            for name in ("steembot-broadcaster", "steembot-bot")
        ]
        try:
            # The first blocks are those that were there before, and those that teach the phase.
            while len(out.read_text().splitlines()) < given.blocks + 3:
                time.sleep(1)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            node.send_signal(signal.SIGTERM)
            said = node.stderr.read()
            node.wait()
        rows = [line.split() for line in out.read_text().splitlines()][3:]
    if given.verbose:
        print(*(f"{num}:{1000 * float(seconds):.0f}" for num, seconds in rows))
    delays = sorted(float(seconds) for _, seconds in rows)
    numbers = [int(num) for num, _ in rows]
    assert numbers == sorted(set(numbers)), numbers  # an empty block reaches no handler
    requests = int(re.search(r"after (\d+) requests", said)[1])  # type: ignore[index]

    def percentile(share: float) -> float:
        return 1000 * delays[min(len(delays) - 1, int(len(delays) * share))]

    print(f"{len(delays)} blocks at a latency of {given.latency:.0f} ms", end=": ")
    print(f"p50 {percentile(0.5):.0f} ms, p99 {percentile(0.99):.0f} ms", end=", ")
    each = requests / (numbers[-1] - numbers[0] + 4)
    print(f"largest {1000 * delays[-1]:.0f} ms; {each:.1f} requests a block")


if __name__ == "__main__":
    main()
