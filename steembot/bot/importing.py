"""Imports the module that holds a bot, and lets it import what lies beside it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import stat
import sys
from pathlib import Path
from types import ModuleType

from steembot import events, ownership

log = logging.getLogger(__name__)

# A process of a bot loads one file; a run of tests loads many, each of which is to find its own.
_folders: set[str] = set()  # that files loaded so far brought into sys.path
_modules: set[str] = set()  # that came from there


def import_handlers(handlers: str) -> ModuleType:
    """Import a module by its name, or a file by its absolute path.

    Raises ``ImportError``, and whatever the module's own code raises.
    """
    if not handlers.startswith("/"):
        _import_from_here()
        return importlib.import_module(handlers)
    path = Path(handlers)
    spec = importlib.util.spec_from_file_location(f"steembot_handlers_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    for name in _modules:
        sys.modules.pop(name, None)
    _modules.clear()
    sys.modules[module.__name__] = module
    # The folder that was named, and behind a link the one that a script of Python's would have.
    for folder in dict.fromkeys((path.resolve().parent, path.parent)):
        _import_from_beside(path, folder)
    importlib.invalidate_caches()  # a helper may have been written a moment ago
    before = set(sys.modules)
    _share(module, path)
    try:
        spec.loader.exec_module(module)
    finally:
        _modules.update(name for name in set(sys.modules) - before if _lies_beside(name))
    return module


def _lies_beside(name: str) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and any(Path(file).is_relative_to(folder) for folder in _folders)


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
    if not folder.is_dir() or str(folder) in set(sys.path) - _folders:
        return
    if folder.stat().st_mode & stat.S_IWOTH:
        _say_unsearched(folder, "everybody can write it", f"keep {path.name} in a folder of yours")
        return
    _folders.add(str(folder))
    others = [place for place in sys.path if place not in _folders]
    earlier = [place for place in sys.path if place in _folders - {str(folder)}]
    sys.path[:] = [*others, str(folder), *earlier]


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
