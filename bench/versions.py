"""Which versions are measured."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata

from bench.processes import NODE_MODULES

PYTHON = ("steembot", "beem", "pyzmq", "redis", "nats-py")
SERVERS = {"redis-server": "--version", "nats-server": "--version"}


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of these packages, and of what runs them."""
    found = {"Python": platform.python_version()}
    for name in names:
        if name in PYTHON:
            found[name] = metadata.version(name)
            if name == "pyzmq":
                import zmq  # noqa: PLC0415 (steembot's own processes need none of this)

                found["libzmq"] = zmq.zmq_version()
        elif name in SERVERS:
            found[name] = _said(name, SERVERS[name])
        else:
            found.setdefault("Node.js", _said("node", "--version"))
            manifest = json.loads((NODE_MODULES / name / "package.json").read_text())
            found[manifest["name"] if name != "steem-original" else "steem"] = manifest["version"]
    return found


def _said(command: str, option: str) -> str:
    said = subprocess.run([command, option], capture_output=True, text=True, check=True).stdout
    version = re.search(r"\d+\.\d+\.\d+", said)
    return version[0] if version else said.strip()
