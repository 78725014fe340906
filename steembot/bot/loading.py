"""From ``STEEMBOT_HANDLERS`` to the bot that the module holds."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import stat
import sys
from pathlib import Path
from types import ModuleType

from steembot import events, ownership
from steembot.bot import operation_types
from steembot.bot.bot import Bot
from steembot.chain.profiles import PROFILES
from steembot.errors import HandlersError
from steembot.feed import wire

log = logging.getLogger(__name__)


def load_bot(handlers: str) -> Bot:
    """Import a module by name, or a file by its absolute path, and return the bot in it.

    Raises :class:`~steembot.errors.HandlersError`; its cause is what the module's own code raised.
    """
    try:
        module = _import(handlers)
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


def _import(handlers: str) -> ModuleType:
    if not handlers.startswith("/"):
        _import_from_here()
        return importlib.import_module(handlers)
    path = Path(handlers)
    spec = importlib.util.spec_from_file_location(f"steembot_handlers_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    # The folder that was named, and behind a link the one that a script of Python's would have.
    for folder in dict.fromkeys((path.parent, path.resolve().parent)):
        _import_from_beside(path, folder)
    _share(module, path)
    spec.loader.exec_module(module)
    return module


def _import_from_here() -> None:
    """Let a person in a terminal find the modules of the folder in which they are."""
    here = Path.cwd()
    if {"", str(here)}.intersection(sys.path):
        return
    status = here.stat()
    if (owner := ownership.foreign_owner(status)) is not None:
        _say_unsearched(here, f"it belongs to {owner}")
    elif ownership.others_write(status):
        _say_unsearched(here, "others can write it")
    else:
        sys.path.append(str(here))


def _import_from_beside(path: Path, folder: Path) -> None:
    """Let a file's own folder be searched, behind Python's and steembot's: it shadows nothing.

    Who owns the folder could as well write the file itself. Where everybody may put something, as
    in ``/tmp``, strangers could offer what a library looks for and mostly does not find.
    """
    if not folder.is_dir() or str(folder) in sys.path:
        return
    if folder.stat().st_mode & stat.S_IWOTH:
        _say_unsearched(folder, "everybody can write it", f"keep {path.name} in a folder of yours")
    else:
        sys.path.append(str(folder))


def _say_unsearched(folder: Path, why: str, remedy: str = "work in a folder of yours") -> None:
    log.warning(
        "modules in %s cannot be imported: %s; %s",
        folder,
        why,
        remedy,
        extra=events.FOLDER_UNSEARCHED(),
    )


def _share(module: ModuleType, path: Path) -> None:
    """Let a module beside the file import this very one, and not a second copy with its own bot."""
    name = path.stem
    if not name.isidentifier() or name in sys.modules:
        return
    found = importlib.util.find_spec(name)
    if found is not None and found.has_location and Path(found.origin or "").samefile(path):
        sys.modules[name] = module
