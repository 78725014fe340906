"""Imports point down only, and each third-party package is wrapped in one place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import steembot

PACKAGE = Path(steembot.__file__).parent

BELOW = {
    "errors": {"text"},
    "events": set(),
    "operation": {"text"},
    "journal": {"events", "text"},
    "metrics": {"events", "metrics_file", "metrics_server", "repeats", "text"},
    "metrics_file": set(),
    "metrics_server": {"errors"},
    "settings": {"errors", "chain.profiles", "settings_file", "text"},
    "settings_file": {"errors", "ownership", "text"},
    "ownership": set(),
    "repeats": set(),
    "text": set(),
    "streams": {"text"},
    "service": {"errors", "events", "journal", "streams", "text"},
    "storage": {"errors", "text"},
    "feed": {"errors", "events", "operation", "repeats", "text"},
    "chain": {"errors", "events", "operation", "repeats", "text"},
    # Processes: none imports another's package.
    "broadcaster": {
        "errors",
        "events",
        "metrics",
        "operation",
        "repeats",
        "text",
        "settings",
        "service",
        "storage",
        "feed",
        "chain",
    },
    "bot": {
        "errors",
        "events",
        "metrics",
        "operation",
        "ownership",
        "repeats",
        "text",
        "settings",
        "service",
        "storage",
        "feed",
        "chain.profiles",
    },
    "devnode": {"streams"},
    # On top: the command for people looks into what processes keep, and a bot author's tests
    # run the bot.
    "cli": {
        "errors",
        "events",
        "operation",
        "text",
        "streams",
        "settings",
        "settings_file",
        "service",
        "storage",
        "feed",
        "chain",
        "broadcaster",
        "bot",
    },
    "testing": {"errors", "operation", "feed", "bot"},
}
"""Which parts of steembot a part may import, apart from itself.

``chain.profiles`` is a table of what differs between chains: it loads nothing, and all may read it.
"""

BEEM = ("chain/transport.py",)
OWNERS = {
    "beem": BEEM,
    "beemapi": BEEM,
    "beembase": BEEM,
    "beemgraphenebase": BEEM,
    "zmq": ("feed/server.py", "feed/client.py"),
    "systemd": ("service.py",),
    "dotenv": ("settings_file.py",),
    "rich": ("cli/console.py",),
}
"""The only modules that may import a third-party package."""

PURE = (
    "operation.py",
    "errors.py",
    "events.py",
    "repeats.py",
    "text.py",
    "feed/wire.py",
    "feed/session.py",
    "chain/follower.py",
    "chain/profiles.py",
)
"""Modules that decide and touch nothing: values in, values out."""

WORLD = {
    "asyncio",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
}
"""Where sockets, disks, clocks and chance come from."""


def imported(path: Path, package: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name, wherever in the file it does."""
    folder = (package.name, *path.parent.relative_to(package).parts)
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join((*base, *(node.module or "").split("."))).strip(".")
            # "from steembot import settings" imports steembot.settings
            yield from (f"{module}.{alias.name}" for alias in node.names)


def problems(package: Path) -> list[str]:
    """What is wrong with the imports of a package that is laid out as steembot is."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        part = place.partition("/")[0].removesuffix(".py")
        if part == "__init__":
            allowed = set()
        elif part in BELOW:
            allowed = BELOW[part] | {part}
        else:
            found.append(f"{place}: {part} has no place among the layers")
            continue
        for name in imported(path, package):
            top, _, rest = name.partition(".")
            others = {rest.partition(".")[0], ".".join(rest.split(".")[:2])}
            if top == package.name and not others & allowed:
                found.append(f"{place}: imports {name}, which is not below {part}")
            if place not in OWNERS.get(top, (place,)):
                found.append(f"{place}: imports {top}, which only {OWNERS[top]} may")
            if place in PURE and top in WORLD:
                found.append(f"{place}: imports {top}, and is to be pure")
    return found


def test_every_import_points_down():
    """No module imports what lies above or beside it, or a package that another one wraps."""
    assert problems(PACKAGE) == []


def test_the_rules_speak_of_modules_that_exist():
    """A module that was renamed is renamed in the rules too."""
    places = {place for owners in OWNERS.values() for place in owners} | set(PURE)
    assert [place for place in sorted(places) if not (PACKAGE / place).is_file()] == []


def test_every_owner_imports_what_it_owns():
    """A package that is no longer used where it is wrapped has no owner any more."""
    for name, owners in OWNERS.items():
        if name in ("beem", "beembase", "beemgraphenebase"):  # parts of one distribution
            continue
        for place in owners:
            tops = {module.partition(".")[0] for module in imported(PACKAGE / place, PACKAGE)}
            assert name in tops, f"{place} no longer imports {name}"


def package_with(folder: Path, place: str, line: str) -> Path:
    """A package laid out as steembot is, with one module of one line."""
    path = folder / "steembot" / place
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    return folder / "steembot"


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("feed/new.py", "from steembot.bot import Bot"),
        ("feed/new.py", "import steembot.settings"),
        ("feed/new.py", "from steembot import service"),
        ("feed/new.py", "from ..chain import node"),
        ("feed/new.py", "from .. import settings"),
        ("feed/new.py", "def f():\n    from steembot.bot import Bot"),
        ("feed/new.py", "if TYPE_CHECKING:\n    from steembot.bot import Bot"),
        ("feed/new.py", "import zmq"),
        ("bot/new.py", "from steembot.chain.node import Node"),
        ("bot/new.py", "from steembot.chain import stream"),
        ("bot/new.py", "from steembot.broadcaster import block_log"),
        ("bot/new.py", "import zmq.green as zmq"),
        ("bot/new.py", "from beemapi.exceptions import RPCError"),
        ("broadcaster/new.py", "try:\n    from systemd import daemon\nexcept ImportError: pass"),
        ("cli/new.py", "from dotenv import load_dotenv"),
        ("cli/new.py", "from steembot.devnode import chain"),
        ("chain/follower.py", "import time"),
        ("feed/session.py", "from threading import Lock"),
        ("novelty/new.py", "import json"),
        ("__init__.py", "from steembot.bot import Bot"),
    ],
)
def test_an_import_that_points_up_is_found(tmp_path, place, line):
    """However an import is written, one that is against the rules does not pass."""
    (problem,) = problems(package_with(tmp_path, place, line))
    assert problem.startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("feed/new.py", "from steembot.operation import Block"),
        ("feed/new.py", "from . import wire"),
        ("feed/new.py", "from .wire import encode"),
        ("feed/client.py", "import zmq"),
        ("bot/new.py", "from steembot import settings"),
        ("bot/new.py", "from steembot.chain.profiles import PROFILES"),
        ("bot/new.py", "from steembot.chain import profiles"),
        ("bot/new.py", "import sqlite3, msgspec"),
        ("cli/new.py", "from steembot.bot.state import BotState"),
    ],
)
def test_an_import_that_points_down_is_fine(tmp_path, place, line):
    """The rules forbid no more than they say."""
    assert problems(package_with(tmp_path, place, line)) == []


def loaded_by(*modules: str) -> set[str]:
    """What is loaded in a fresh process that imports these: packages, and modules of ours."""
    code = f"import sys, {', '.join(modules)}\nprint(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    ours = {name for name in names if name.startswith("steembot.")}
    return {name.partition(".")[0] for name in names} | ours


@pytest.mark.parametrize(
    "modules",
    [
        ("steembot.bot",),
        ("steembot.bot.__main__", "steembot.bot.handlers.new_posts"),
    ],
)
def test_a_bot_loads_nothing_heavy(modules):
    """A bot starts in 0.2 s and stays small: nothing of beem, of HTTP or of the command line."""
    heavy = {"beem", "beemapi", "beembase", "beemgraphenebase", "requests", "urllib3"}
    heavy |= {"aiohttp", "asyncio", "click", "rich", "steembot.chain.node", "steembot.broadcaster"}
    loaded = loaded_by(*modules)
    assert "steembot.bot" in loaded
    assert loaded & heavy == set()


def test_the_broadcaster_loads_nothing_of_the_others():
    """What people and developers use is no burden of a daemon that runs for ever."""
    loaded = loaded_by("steembot.broadcaster.__main__")
    assert "steembot.chain.node" in loaded
    others = {"aiohttp", "click", "rich", "steembot.bot", "steembot.cli", "steembot.devnode"}
    assert loaded & others == set()
