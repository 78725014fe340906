"""The key/value state of a bot: what its handlers keep."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class KeyValue(MutableMapping[str, Any]):
    """A bot's own persistent mapping: text keys, JSON values.

    Changes are kept aside until the runner settles or drops them; what is settled waits to be
    written with the next commit. A value is a copy: to change a list, assign it again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Key to JSON, or None for what is deleted.
        self._settled: dict[str, str | None] = {}
        self._changed: dict[str, str | None] = {}

    def __getitem__(self, key: str) -> Any:
        text = self._text(key)
        if text is None:
            raise KeyError(key)
        return msgspec.json.decode(text)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} is no text; a bot's state has text keys")
        self._changed[key] = _encode(value).decode()

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._changed[key] = None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._text(key) is not None

    def __iter__(self) -> Iterator[str]:
        changed = self._settled | self._changed
        for (key,) in self._connection.execute("SELECT key FROM state ORDER BY key").fetchall():
            if key not in changed:
                yield key
        yield from [key for key, text in changed.items() if text is not None]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _text(self, key: str) -> str | None:
        for changes in (self._changed, self._settled):
            if key in changes:
                return changes[key]
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def settle(self) -> dict[str, str | None]:
        """Keep the changes, and return them as :meth:`restore` takes them."""
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
                    "INSERT INTO state VALUES (?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    (key, text),
                )

    def written(self) -> None:
        """Take note that what was settled is committed."""
        self._settled.clear()

    def drop(self) -> None:
        """Forget the changes."""
        self._changed.clear()
