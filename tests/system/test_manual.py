"""What an installation brings for people at a prompt: manual pages and completion."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.system.machine import Machine

pytestmark = pytest.mark.system

SHARE = "/usr/local/share"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("man1/steembot.1", "steembot status"),
        ("man1/steembot-devnode.1", "--generate"),
        ("man8/steembot-broadcaster.8", "STEEMBOT_NODES"),
        ("man8/steembot-bot.8", "EXIT STATUS"),
    ],
)
def test_a_page_can_be_read(installed: Machine, page: str, words: str) -> None:
    """Each command has its page, and man has nothing to say against it."""
    shown = installed.run(
        *("man", "--warnings", "--encoding=UTF-8", "--local-file", f"{SHARE}/man/{page}"),
        env={"MANWIDTH": "100", "MAN_KEEP_FORMATTING": ""},
    )
    assert shown.stderr == ""
    assert words in shown.stdout


def test_units_lead_to_documentation_that_is_there(installed: Machine) -> None:
    """``systemctl help`` and ``status`` name a manual page and a page of the docs."""
    units = ("steembot.target", "steembot-broadcaster.socket", "steembot-broadcaster.service")
    for unit in (*units, "steembot-bot.service", "steembot-bot@x.service"):
        named = shlex.split(installed.show(unit, "Documentation")["Documentation"])
        page = re.fullmatch(r"man:(.*)\((\d)\)", named[0])
        installed.run("test", "-s", f"{SHARE}/man/man{page[2]}/{page[1]}.{page[2]}")
        assert "# Operating steembot" in installed.run("cat", named[1].removeprefix("file:")).stdout


def test_the_shell_completes(installed: Machine) -> None:
    """Bash completes a command of steembot's by what the installation brought."""
    completed = installed.run(
        "bash",
        "-c",
        f"source {SHARE}/bash-completion/completions/steembot && COMP_WORDS=(steembot st) "
        'COMP_CWORD=1 && _steembot_completion steembot && echo "${COMPREPLY[@]}"',
    )
    assert completed.stdout.split() == ["status"]
    assert "steembot" in installed.run("cat", f"{SHARE}/zsh/site-functions/_steembot").stdout
    fish = f"{SHARE}/fish/vendor_completions.d/steembot.fish"
    assert "steembot" in installed.run("cat", fish).stdout
