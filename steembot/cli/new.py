"""``steembot new NAME``: the beginning of a bot, or of a new micro-process."""

from __future__ import annotations

import errno
import os
import re
from importlib import resources
from pathlib import Path

import click

from steembot.cli import files
from steembot.cli.console import say, say_line
from steembot.errors import SteembotError

_TEMPLATES = "steembot.cli.templates"

BOT_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
MAX_BOT_NAME = 26
"""A bot's unit runs it as the user sbot-NAME, and a user's name has at most 31 characters."""

PROCESS_NAME = re.compile(r"[a-z][a-z0-9]*")


@click.command("new")
@click.argument("name")
@click.option(
    "--process", is_flag=True, help="A micro-process instead of a bot; in a clone of steembot."
)
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The folder; this one otherwise.",
)
def command(name: str, into: Path, *, process: bool) -> None:
    """Write a working bot, its test and its settings, to begin with.

    With --process, in a clone of steembot: a daemon with its console script, unit, user, test and
    place in the target. Nothing that exists is replaced.
    """
    if process:
        _new_process(name, into)
    else:
        _new_bot(name, into)


def _new_bot(name: str, into: Path) -> None:
    if not BOT_NAME.fullmatch(name) or len(name) > MAX_BOT_NAME:
        raise click.BadParameter(
            f"{name!r}: allowed are up to {MAX_BOT_NAME} letters a-z, digits, and - or _ between "
            "them, beginning with a letter"
        )
    module = name.replace("-", "_")
    test = into / f"test_{module}.py"
    _write(
        {
            into / f"{name}.py": _template("bot.py", name),
            test: _template("test_bot.py", name),
            into / f"{name}.env": _template("bot.env", name),
        }
    )
    say(
        f"Try it:   pytest {test}\n"
        f"          steembot replay --handlers {into / name}.py --from BLOCK --to BLOCK\n"
        "Run it, as root:\n"
        f"          install -m 644 {into / name}.py /etc/steembot/bots/\n"
        f"          install -m 600 {into / name}.env /etc/steembot/bots/\n"
        f"          systemctl enable --now steembot-bot@{name}\n"
        f"          journalctl -fu steembot-bot@{name}"
    )


def _new_process(name: str, into: Path) -> None:
    if not PROCESS_NAME.fullmatch(name) or len(name) > 20:
        raise click.BadParameter(
            f"{name!r}: allowed are up to 20 letters a-z and digits, beginning with a letter"
        )
    if not (into / "steembot" / "operation.py").is_file():
        raise click.UsageError(f"{into.resolve()} is no clone of steembot; go there, or use --into")
    package = into / "steembot" / name
    if package.exists() or package.with_suffix(".py").exists():
        raise click.BadParameter(f"steembot/{name} exists already")
    unit = (into / "deploy/systemd/steembot-bot.service").read_text(encoding="utf-8")
    edits = [
        _Edit(
            "pyproject.toml",
            'steembot-devnode = "',
            f'steembot-{name} = "steembot.{name}.__main__:main"',
        ),
        _Edit("tests/test_layers.py", '    "devnode": {"streams"},', _LAYER.format(name=name)),
        _Edit(
            "deploy/systemd/steembot.sysusers",
            "m steembot-bot ",
            f'u steembot-{name} - "steembot {name}"\nm steembot-{name} steembot',
        ),
    ]
    made = {into / edit.file: edit.apply(into) for edit in edits}
    made[into / "Makefile"] = _appended(into / "Makefile", r"^COMMANDS := .*$", f" steembot-{name}")
    made[into / "deploy/systemd/steembot.target"] = _appended(
        into / "deploy/systemd/steembot.target",
        r"^(Wants|Upholds)=.*$",
        f" steembot-{name}.service",
    )
    for path in made:
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    _write(
        {
            package / "__init__.py": f'"""The {name} process."""\n',
            package / "__main__.py": _template("process.py", name),
            into / "tests" / name / f"test_{name}.py": _template("test_process.py", name),
            into / "deploy/systemd" / f"steembot-{name}.service": _unit(unit, name),
        }
    )
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
        say_line(f"changed {path}")
    say(
        f"Try it:   pip install --editable . && pytest {into / 'tests' / name}\n"
        "Then:     say in the docstring what it does, and give it a row in docs/architecture.md\n"
        "Run it, as root: make install && systemctl restart steembot.target"
    )


_LAYER = '    "{name}": {{"errors", "events", "operation", "settings", "service", "feed"}},'


class _Edit:
    """One more line behind the first that begins in a certain way."""

    def __init__(self, file: str, behind: str, line: str) -> None:
        self.file = file
        self._behind = behind
        self._line = line

    def apply(self, folder: Path) -> str:
        """Return the file's new text."""
        lines = (folder / self.file).read_text(encoding="utf-8").splitlines()
        for index, line in enumerate(lines):
            if line.startswith(self._behind):
                lines.insert(index + 1, self._line)
                return "\n".join(lines) + "\n"
        raise SteembotError(f"{folder / self.file} has no line that begins with {self._behind!r}")


def _appended(path: Path, pattern: str, more: str) -> str:
    text, count = re.subn(
        pattern, lambda m: m[0] + more, path.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    if count == 0:
        raise SteembotError(f"{path} has no line like {pattern!r}")
    return text


def _unit(text: str, name: str) -> str:
    """Make the unit of a process from that of the bot, whose sandbox is the tightest."""
    text = re.sub(
        r"^# Runs .*$", f"# Does {name}: reaches the feed's socket, nothing else.", text, count=1
    )
    text = re.sub(r"^Description=.*$", f"Description=steembot {name}", text, flags=re.MULTILINE)
    text = re.sub(r"^# Nobody else reads.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^StateDirectory.*\n", "", text, flags=re.MULTILINE)
    text = text.replace("steembot/metrics/bot", f"steembot/metrics/{name}")
    text = re.sub(r"^# While it catches up.*\nLogRateLimit.*\n", "", text, flags=re.MULTILINE)
    return text.replace("steembot-bot", f"steembot-{name}")


def _template(file: str, name: str) -> str:
    text = (resources.files(_TEMPLATES) / f"{file}.txt").read_text(encoding="utf-8")
    lines = text.replace("NAME", name).splitlines()
    # Where our own imports stand depends on the name.
    ours = [index for index, line in enumerate(lines) if line.startswith("from steembot.")]
    for index, line in zip(ours, sorted(lines[index] for index in ours), strict=True):
        lines[index] = line
    return "\n".join(lines) + "\n"


def _write(new: dict[Path, str]) -> None:
    files.write_new(new)
    for path in new:
        say_line(f"wrote {path}")
