"""Each entry of weight in the journal has an id, and the catalog words for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import steembot
from steembot import events

PACKAGE = Path(steembot.__file__).parent
CATALOG = PACKAGE.parent / "deploy" / "systemd" / "steembot.catalog"
GRAVE = ("warning", "error", "critical", "exception")


def log_calls(path: Path):
    """Every call of a logger in a file: its line, its level, and what ``extra=`` is."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            name = of.id if isinstance(of, ast.Name) else getattr(of, "attr", "")
            if name in ("log", "logger", "logging"):
                extra = next((k.value for k in node.keywords if k.arg == "extra"), None)
                yield node.lineno, node.func.attr, extra


def named(extra: ast.expr | None) -> str | None:
    """The event that ``extra=events.NAME(...)`` names; of a parameter ``event``, its own name."""
    if isinstance(extra, ast.Call) and isinstance(extra.func, ast.Attribute):
        return extra.func.attr if ast.unparse(extra.func.value) == "events" else None
    return extra.id if isinstance(extra, ast.Name) and extra.id == "event" else None


def sources() -> list[Path]:
    """The modules of what runs under systemd."""
    return [path for path in PACKAGE.rglob("*.py") if "devnode" not in path.parts]


def test_each_entry_of_weight_names_its_event():
    """From warnings on no log call is without an event, and so without a MESSAGE_ID."""
    bare = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sources()
        for line, level, extra in log_calls(path)
        if level in GRAVE and named(extra) is None
    ]
    assert bare == []


def test_a_call_without_an_event_is_found(tmp_path):
    """The test above sees what it is to see."""
    path = tmp_path / "new.py"
    path.write_text('log.error("x", extra={"STEEM_BLOCK": 1})\nself.log.warning("y")\n')
    assert [named(extra) for _, _, extra in log_calls(path)] == [None, None]


def test_each_event_is_used():
    """An event that nobody logs is not in the catalog for ever."""
    text = "\n".join(path.read_text() for path in sources())
    unused = {name for name in events.events() if f"events.{name}(" not in text}
    assert unused == set()


def test_ids_are_as_systemd_wants_them_and_no_two_are_equal():
    """sd-id128(3): 32 hexadecimal digits, and not those of another kind of entry."""
    ids = [event.id for event in events.events().values()]
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", sorted(events.events()))
def test_words_name_fields_that_there_are(name):
    """What the catalog is to fill in is one of our fields, and the words are sentences."""
    event = events.events()[name]
    words = f"{event.subject} {event.means} {event.remedy}"
    assert set(re.findall(r"@([^@\s]*)@", words)) <= set(events.FIELDS)
    assert words.count("@") % 2 == 0
    assert event.means.endswith(".")
    assert event.remedy.endswith((".", "`"))
    assert not event.subject.endswith(".")
    assert len(event.subject) < 75


def test_the_installed_catalog_is_the_one_made_here():
    """The module's output was written there after its last change."""
    assert CATALOG.read_text() == events.catalog()


def test_a_field_that_is_not_known_is_left_out():
    """A field without a value is no field."""
    fields = events.FORK(STEEM_BLOCK=5, STEEM_NODE=None)
    assert fields == {"MESSAGE_ID": events.FORK.id, "STEEM_BLOCK": 5}
