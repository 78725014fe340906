"""The key/value state of a bot: what its handlers keep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

from steembot.storage.database import Connection, row_checksum
from steembot.text import storable

_encode = msgspec.json.Encoder().encode

_DEPTH = 100
"""How deep lists and dicts may nest; one that holds itself nests for ever."""


class KeyValue(MutableMapping[str, Any]):
    """A bot's own persistent mapping: text keys, JSON values.

    Changes are kept aside until the runner settles or drops them; what is settled waits to be
    written with the next commit. What is read back equals what was stored: a value that JSON would
    change is refused, with ``TypeError`` or ``ValueError``.

    A list or dict may be changed in place until the handler returns: the runner then calls
    :meth:`take_changes`. At the next operation it is another object.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Key to JSON, or None for what is deleted.
        self._settled: dict[str, str | None] = {}
        self._changed: dict[str, str | None] = {}
        # Lists and dicts that were handed out, or stored, since the last operation.
        self._lent: dict[str, list[Any] | dict[str, Any]] = {}

    def __getitem__(self, key: str) -> Any:
        if key in self._lent:
            return self._lent[key]
        text = self._text(key)
        if text is None:
            raise KeyError(key)
        value = msgspec.json.decode(text)
        if isinstance(value, list | dict):
            self._lent[key] = value
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} is no text; a bot's state has text keys")
        if not key.isascii():
            _check_text(key, (None, key))
        self._changed[key] = _as_json(key, value)
        if isinstance(value, list | dict):
            self._lent[key] = value
        elif self._lent:
            self._lent.pop(key, None)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._changed[key] = None
        self._lent.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._text(key) is not None

    def take_changes(self) -> None:
        """Take note of lists and dicts that were changed in place.

        Raises as an assignment does. From now on they are not looked at any more.
        """
        if not self._lent:
            return
        for key, value in self._lent.items():
            text = _as_json(key, value)
            if text != self._text(key):
                self._changed[key] = text
        self._lent.clear()

    def __iter__(self) -> Iterator[str]:
        changed = self._settled | self._changed
        for (key,) in self._connection.execute("SELECT key FROM state ORDER BY key").fetchall():
            if key not in changed:
                yield key
        yield from [key for key, text in changed.items() if text is not None]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _text(self, key: str) -> str | None:
        if key in self._changed:
            return self._changed[key]
        if key in self._settled:
            return self._settled[key]
        if not _is_storable(key):
            return None
        query = "SELECT value, checksum FROM state WHERE key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            return None
        text, checksum = row
        if row_checksum(key, text) != checksum:
            raise self._connection.damaged(f"the value of {key!r} is not what was written")
        return str(text)

    def settle(self) -> dict[str, str | None]:
        """Keep the changes, and return them as :meth:`restore` takes them."""
        self._lent.clear()
        changed = self._changed
        self._settled.update(changed)
        self._changed = {}
        return changed

    def restore(self, settled: Mapping[str, str | None]) -> None:
        """Take over what another process settled and did not write."""
        self._settled.update(settled)

    def write(self) -> None:
        """Write what is settled within the transaction that the caller began."""
        for key, text in self._settled.items():
            if text is None:
                self._connection.execute("DELETE FROM state WHERE key = ?", (key,))
            else:
                self._connection.execute(
                    "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (key) "
                    "DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
                    (key, text, row_checksum(key, text)),
                )

    def written(self) -> None:
        """Take note that what was settled is committed."""
        self._settled.clear()

    def drop(self) -> None:
        """Forget the changes."""
        self._changed.clear()
        self._lent.clear()


def _as_json(key: str, value: Any) -> str:
    """Return a value as JSON. Raises ``TypeError`` or ``ValueError`` that names its place."""
    if type(value) is not int:  # the commonest: a count
        _check(value, (None, key), 0)
    return _encode(value).decode()


def _check(value: Any, place: tuple[Any, object], depth: int) -> None:
    """Refuse what JSON cannot hold, or would give back as something else.

    ``place`` is where it stands: the place of what holds it, and the key or index there.
    """
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, list | dict):
        if depth == _DEPTH:
            raise ValueError(
                f"ctx.state[{_key(place)!r}] nests more than {_DEPTH} deep, or holds itself"
            )
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in pairs:
            if isinstance(value, dict):
                _check_key(name, place)
            _check(each, (place, name), depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(
                f"{_words(place)} is {value!r}: JSON has no such number; store None or text"
            )
    elif value is not None and not isinstance(value, bool | int):
        raise TypeError(
            f"{_words(place)} is {value!r}: a {type(value).__name__} would come back as something "
            "else; store text, numbers, True, False, None, lists and dicts"
        )


def _check_key(name: object, place: tuple[Any, object]) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{_words(place)} has the key {name!r}: JSON has text keys; store str(key)")
    _check_text(name, (place, name))


def _check_text(text: str, place: tuple[Any, object]) -> None:
    if not _is_storable(text):
        raise ValueError(
            f"{_words(place)} holds half of a character that UTF-16 writes in two (a lone "
            "surrogate), which cannot be stored; steembot.text.storable() replaces it"
        )


def _words(place: tuple[Any, object]) -> str:
    parent, name = place
    return f"{'ctx.state' if parent is None else _words(parent)}[{name!r}]"


def _key(place: tuple[Any, object]) -> object:
    parent, name = place
    return name if parent is None else _key(parent)


def _is_storable(text: str) -> bool:
    return text.isascii() or storable(text) == text
