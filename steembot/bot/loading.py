"""From ``STEEMBOT_HANDLERS`` to the bot that the module holds."""

from __future__ import annotations

import logging

from steembot import events
from steembot.bot import operation_types
from steembot.bot.bot import Bot
from steembot.bot.importing import import_handlers
from steembot.chain.profiles import PROFILES
from steembot.errors import HandlersError
from steembot.feed import wire

log = logging.getLogger(__name__)


def load_bot(handlers: str) -> Bot:
    """Import a module by name, or a file by its absolute path, and return the bot in it.

    Raises :class:`~steembot.errors.HandlersError`; its cause is what the module's own code raised.
    """
    try:
        module = import_handlers(handlers)
    except Exception as error:
        raise HandlersError(
            f"STEEMBOT_HANDLERS={handlers!r}: the module does not import; name one that does"
        ) from error
    bots = {id(value): value for value in vars(module).values() if isinstance(value, Bot)}
    if len(bots) != 1:
        raise HandlersError(
            f"STEEMBOT_HANDLERS={handlers!r}: the module holds {len(bots)} bots; "
            "one is wanted, made at its top level: bot = Bot()"
        )
    (bot,) = bots.values()
    if not bot.types:
        raise HandlersError(
            f"STEEMBOT_HANDLERS={handlers!r}: the bot handles nothing; "
            'give it a function with @bot.on("comment")'
        )
    return bot


def check_types(bot: Bot, handlers: str, chain: str, *, virtual_ops: bool) -> None:
    """Say which types the bot waits for in vain: of the other chain, or virtual and switched off.

    Raises :class:`~steembot.errors.HandlersError` where nothing would ever come.
    """
    known = operation_types.OF_CHAIN[chain] | {wire.EVERY_TYPE}
    foreign = [kind for kind in bot.named if kind not in known]
    title = PROFILES[chain].title
    if len(foreign) == len(bot.named):
        raise HandlersError(
            f"STEEMBOT_HANDLERS={handlers!r}: {title} has no {' or '.join(foreign)}; "
            "set STEEMBOT_CHAIN to the chain that the bot is for"
        )
    for kind in foreign:
        log.warning(
            "the bot handles %s, which %s does not have: it never comes",
            kind,
            title,
            extra=events.TYPE_UNKNOWN(STEEM_TYPE=kind),
        )
    if not virtual_ops and (silent := _virtual(bot, chain)):
        log.warning(
            "the bot handles %s, and virtual operations are switched off (to have them, set "
            "STEEMBOT_VIRTUAL_OPS=1 and restart the broadcaster), so these types never come: %s",
            ", ".join(map(repr, bot.named)),
            ", ".join(silent),
            extra=events.TYPE_SWITCHED_OFF(),
        )


def _virtual(bot: Bot, chain: str) -> list[str]:
    """Return the virtual types among those that the bot handles."""
    virtual = operation_types.VIRTUAL & operation_types.OF_CHAIN[chain]
    return sorted(virtual if wire.EVERY_TYPE in bot.named else virtual.intersection(bot.named))
