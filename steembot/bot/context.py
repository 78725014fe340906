"""What a handler gets besides the operation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from steembot.bot import hiding
from steembot.bot.credentials import Secret, Secrets
from steembot.bot.posts import Posts, is_patch
from steembot.chain.profiles import PROFILES
from steembot.operation import Operation

log = logging.getLogger("steembot.bot")
log.addFilter(hiding.hide_in_record)


class _Log(logging.LoggerAdapter[logging.Logger]):
    """Adds the operation's fields to those that a log call gives itself."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Join both; the call's own win."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class Context:
    """A handler's surroundings.

    ``state`` is the bot's own persistent mapping (text keys, JSON values), committed together
    with the position behind the operation. ``chain`` is the profile of the blockchain that the bot
    is on, ``irreversible`` the number of its last irreversible block, ``head`` that of the newest
    known one. ``dry_run`` is true in ``steembot replay``: a handler that sends something somewhere
    should not do it then.
    """

    def __init__(
        self,
        state: MutableMapping[str, Any],
        chain: str = "steem",
        *,
        posts: Posts | None = None,
        now: Callable[[], float] = time.time,
        dry_run: bool = False,
        secrets: Secrets | None = None,
    ) -> None:
        self.state = state
        self.chain = PROFILES[chain]
        self.dry_run = dry_run
        self.head = 0
        self.irreversible = 0
        self._posts = posts
        self._secrets = secrets or Secrets()
        self._now = now
        self._operation: Operation | None = None
        self._edit: bool | None = None
        self._log: _Log | None = None

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Writes to the journal, with the operation's fields."""
        if self._log is None:  # made when wanted: most operations are not worth a line
            operation = self._operation
            self._log = _Log(log, {} if operation is None else fields(operation))
        return self._log

    @property
    def age(self) -> float:
        """Seconds since the operation's block was made; 0 between operations."""
        if self._operation is None:
            return 0.0
        return max(0.0, self._now() - self._operation.timestamp.timestamp())

    @property
    def is_edit(self) -> bool:
        """Whether the operation, a ``comment``, edits a post or reply instead of making one.

        :mod:`steembot.bot.posts` says how that is told, and where it cannot be known.
        """
        if self._edit is None:
            op = self._operation
            if op is None or op.type != "comment":
                raise ValueError("only a comment is an edit, or none; look at op.type first")
            self._edit = is_patch(op.value["body"]) if self._posts is None else self._posts.note(op)
        return self._edit

    def secret(self, name: str) -> Secret:
        """Return a secret that the administrator gave to this bot alone, such as a webhook's URL.

        It is the credential of that name (``LoadCredential=``), the file in the folder that
        ``CREDENTIALS_DIRECTORY`` names. Where there is none, the operation waits as for
        :class:`~steembot.bot.later.Later`, and the bot's status says how to set it.
        """
        return self._secrets.get(name)

    def enter(self, operation: Operation | None) -> None:
        """Turn to an operation: the runner's part."""
        self._operation = operation
        self._edit = None
        self._log = None


def fields(operation: Operation) -> dict[str, Any]:
    """Name an operation in a journal entry: upper-case fields, as journald wants them."""
    value = operation.value
    named = {
        "STEEM_BLOCK": operation.block_num,
        "STEEM_TYPE": operation.type,
        "STEEM_TRX": operation.trx_id,
        "STEEM_AUTHOR": value.get("author"),
        "STEEM_PERMLINK": value.get("permlink"),
    }
    return {name: value for name, value in named.items() if value is not None}
