"""Write the manual pages of the installed steembot: from what each command says of itself.

usage: manual.py FOLDER

Run by the Python that steembot is installed for. A process is described by the text at the top of
its ``__main__``, the ``steembot`` command by its options and those of its subcommands. FOLDER gets
man1/steembot.1 and man8/steembot-NAME.8; steembot-devnode, a developer's tool, is in section 1.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

import click

SECTION_1 = ("steembot", "steembot-devnode")


def main() -> None:
    """Write every page into the folder that the first argument names."""
    folder = Path(sys.argv[1])
    steembot = distribution("steembot")
    scripts = [e for e in steembot.entry_points if e.group == "console_scripts"]
    for script in scripts:
        section = 1 if script.name in SECTION_1 else 8
        others = ", ".join(
            f"\\fB{e.name}\\fR({1 if e.name in SECTION_1 else 8})" for e in scripts if e != script
        )
        lines = [
            f'.TH "{script.name.upper()}" "{section}" "" "steembot {steembot.version}"',
            *_body(script),
            ".SH SEE ALSO",
            f"{_minus(others)}, \\fBsystemctl\\fR(1), \\fBjournalctl\\fR(1)",
        ]
        page = folder / f"man{section}" / f"{script.name}.{section}"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("\n".join(lines) + "\n", "utf-8")
        page.chmod(0o644)


def _body(script: EntryPoint) -> list[str]:
    module = importlib.import_module(script.module)
    commands = [c for c in vars(module).values() if isinstance(c, click.Group)]
    if commands:
        return _from_click(script.name, commands[0])
    return _from_text(script.name, module.__doc__ or "")


def _from_text(name: str, text: str) -> list[str]:
    """Return a page from a text that has a page's headings already."""
    first, _, rest = text.partition("\n")
    lines = [".SH NAME", _roff(first.rstrip("."))]
    for part in re.split(r"^(?=[A-Z])", rest, flags=re.MULTILINE):
        heading, _, content = part.strip("\n").partition("\n")
        if not heading:
            continue
        title, _, note = heading.partition(" (")
        lines.append(f'.SH "{title}"')
        if note:
            lines += [_roff(f"Where from: {note.rstrip(')')}."), ".PP"]
        for paragraph in re.split(r"\n\s*\n", textwrap.dedent(content)):
            if title == "SYNOPSIS" or re.search(r"^ +\S|\S {2,}\S", paragraph, re.MULTILINE):
                # Set by hand: an example, or a table.
                verbatim = [_roff(line) for line in paragraph.strip("\n").splitlines()]
                lines += [".PP", ".nf", *verbatim, ".fi"]
            else:
                lines += [".PP", _roff(paragraph)]
    return [line.replace(_roff(name), f"\\fB{_roff(name)}\\fR", 1) for line in lines]


def _from_click(name: str, group: click.Group) -> list[str]:
    context = click.Context(group, info_name=name)
    summary, _, more = (group.help or "").partition("\n")
    lines = [
        *(".SH NAME", f"{name} \\- {_roff(summary.rstrip('.'))}"),
        *(".SH SYNOPSIS", f"\\fB{name}\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]..."),
        *(".SH DESCRIPTION", _roff(summary), *_paragraphs(more)),
        ".SH COMMANDS",
    ]
    for title in group.list_commands(context):
        command = group.get_command(context, title)
        if command is not None and not command.hidden:
            lines += _command(command, click.Context(command, info_name=title, parent=context))
    return lines


def _command(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.SS "{_roff(context.command_path)}"',
        f"\\fB{_roff(context.command_path)}\\fR {_roff(usage)}",
        *_paragraphs(command.help or ""),
    ]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1] and parameter.name != "help":
            lines += [".TP", f"\\fB{_roff(record[0])}\\fR", _roff(record[1])]
    if isinstance(command, click.Group):
        for title in command.list_commands(context):
            below = command.get_command(context, title)
            if below is not None:
                lines += _command(below, click.Context(below, info_name=title, parent=context))
    return lines


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            verbatim = [_roff(line) for line in paragraph.splitlines()[1:]]
            lines += [".PP", ".nf", *verbatim, ".fi"]
        elif paragraph:
            lines += [".PP", _roff(paragraph)]
    return lines


def _roff(text: str) -> str:
    """Return a text that roff takes as it stands: man(7), groff(7)."""
    escaped = _minus(text.replace("\\", "\\e")).replace("…", "...")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def _minus(text: str) -> str:
    # A plain hyphen may be set as another sign, which cannot be copied into a shell.
    return text.replace("-", "\\-")


if __name__ == "__main__":
    main()
