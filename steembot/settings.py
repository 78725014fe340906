"""Settings: environment and a file in, one frozen :class:`Settings` out.

The process's environment wins over the file, which is ``.env`` in the working directory or what
``STEEMBOT_SETTINGS_FILES`` names, as systemd's units do: an environment cannot be read anew at a
reload, a file can. Every value is checked here, once, so that nothing below meets a wrong one. Read
at start and at reload, never at import. What a line of a file may be says :mod:`.settings_file`.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from steembot import settings_file
from steembot.chain.profiles import PROFILES, ChainProfile
from steembot.errors import SettingsError, without_passwords

PREFIX = "STEEMBOT_"

_FOR_TESTS = frozenset({"STEEMBOT_CHAINDATA"})
"""Names that processes ignore: only the tests read them."""

FILES = "STEEMBOT_SETTINGS_FILES"
"""Names absolute paths, separated by colons, that are read instead of ``.env``. One that is missing
holds nothing; the later one wins. No setting itself: it may stand in the environment only."""

INSTANCE_HANDLERS = "STEEMBOT_INSTANCE_HANDLERS"
"""What the unit of one bot among several gives for its handlers, in the environment only. It takes
the place of what all files but the last say: they are shared, and speak of the first bot."""

_OF_UNITS = (FILES, INSTANCE_HANDLERS)

Chain = Literal["steem", "hive"]
Mode = Literal["head", "irreversible"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process was told, checked.

    ``start`` is the first block of a process's first start; ``None`` means the head. ``nodes``
    are base URLs in order of preference; ``quorum`` of them must agree on a block, and each is
    sent ``node_rate`` requests a second at most. ``log_blocks`` counts blocks. ``metrics`` is a
    folder to write them to, an address to serve them at, or ``None``. ``chain_id`` is that of a
    testnet or another fork of the chain, 64 hex digits, ``proxy`` the URL of an HTTP proxy to the
    nodes, each ``None`` where there is none. ``files`` are those that
    were read, and ``variables`` what they assign to names that are not ours.
    """

    chain: Chain
    nodes: tuple[str, ...]
    quorum: int
    node_rate: int
    start: int | None
    socket: Path
    state_dir: Path
    log_blocks: int
    virtual_ops: bool
    bot_name: str
    handlers: str
    mode: Mode
    log_level: LogLevel
    metrics: Path | tuple[str, int] | None
    chain_id: str | None = None
    proxy: str | None = None
    files: tuple[Path, ...] = ()
    variables: Mapping[str, str] = {}

    @property
    def profile(self) -> ChainProfile:
        """What is known of the chain. Of another fork of it no names of assets are."""
        profile = PROFILES[self.chain]
        if self.chain_id is None:
            return profile
        title = f"the chain {self.chain_id[:8]}…"
        # Ranges would have to be converted, by names of assets that are that chain's own.
        return msgspec.structs.replace(
            profile, chain_id=self.chain_id, title=title, block_range=False
        )

    @property
    def chain_key(self) -> str:
        """What tells the chain from others in files and on the feed."""
        return self.chain if self.chain_id is None else f"{self.chain}-{self.chain_id}"


def load(
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    *,
    file: Path | None = None,
    wrong: list[SettingsError] | None = None,
) -> Settings:
    """Read the settings from the environment and from ``.env`` in ``directory``.

    ``file``, and before it what :data:`FILES` names, takes the place of that file.
    Raises :class:`SettingsError` for the first name that is unknown or value that is not allowed,
    and for a file that cannot be read, or that a stranger may have put there. With a list for what
    is ``wrong`` these go there instead, and count as not given: for who only wants to look.
    """
    refuse = settings_file.raise_it if wrong is None else wrong.append
    environ = os.environ if environ is None else environ
    files, assigned = _from_files(environ, file or (directory or Path()) / ".env", refuse)
    variables = {name: value for name, value in assigned.items() if not name.startswith(PREFIX)}
    given = {name: value for name, value in assigned.items() if name.startswith(PREFIX)} | {
        name: value
        for name, value in environ.items()
        if name.startswith(PREFIX) and name not in _OF_UNITS
    }
    for name, value in given.items():
        if name not in _READERS and name not in _FOR_TESTS:
            refuse(SettingsError(name, value, _unknown(name)))
    # An empty value means "not set": that is how a person blanks a line of a settings file.
    given = {name: value.strip() for name, value in given.items() if value.strip()}

    def read(name: str, default: str) -> Any:
        try:
            return _READERS[name](name, given.get(name, default))
        except SettingsError as error:
            refuse(error)
            return _READERS[name](name, default)

    chain: Chain = read("STEEMBOT_CHAIN", "steem")
    chain_id: str | None = read("STEEMBOT_CHAIN_ID", "")
    if chain_id == PROFILES[chain].chain_id:
        chain_id = None
    if chain_id is not None and "STEEMBOT_NODES" not in given:
        refuse(
            SettingsError(
                "STEEMBOT_NODES",
                "",
                f"name nodes of the chain that STEEMBOT_CHAIN_ID names; the default ones are "
                f"{PROFILES[chain].title}'s",
            )
        )
    nodes: tuple[str, ...] = read("STEEMBOT_NODES", ",".join(PROFILES[chain].nodes))
    quorum: int = read("STEEMBOT_QUORUM", "1")
    if quorum > len(nodes):
        refuse(
            SettingsError(
                "STEEMBOT_QUORUM",
                str(quorum),
                f"STEEMBOT_NODES names {len(nodes)}, so allowed is 1 to {len(nodes)}; name more "
                "nodes or ask for fewer",
            )
        )
    return Settings(
        chain=chain,
        nodes=nodes,
        quorum=quorum,
        node_rate=read("STEEMBOT_NODE_RATE", "30"),
        start=read("STEEMBOT_START", "head"),
        socket=read("STEEMBOT_SOCKET", "/run/steembot/broadcaster.sock"),
        state_dir=read("STEEMBOT_STATE_DIR", str(_default_state_dir(environ))),
        log_blocks=read("STEEMBOT_LOG_BLOCKS", "28800"),
        virtual_ops=read("STEEMBOT_VIRTUAL_OPS", "0"),
        bot_name=read("STEEMBOT_BOT_NAME", "bot"),
        handlers=read("STEEMBOT_HANDLERS", "steembot.bot.handlers.new_posts"),
        mode=read("STEEMBOT_MODE", "head"),
        log_level=read("STEEMBOT_LOG_LEVEL", "info"),
        metrics=read("STEEMBOT_METRICS", ""),
        chain_id=chain_id,
        proxy=read("STEEMBOT_PROXY", ""),
        files=files,
        variables=variables,
    )


def _from_files(
    environ: Mapping[str, str], here: Path, refuse: settings_file.Refuse
) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Return the files that were read, and what they assign together."""
    named = environ.get(FILES, "").strip()
    paths = [_absolute_path(FILES, path) for path in named.split(":")] if named else [here]
    found: list[Path] = []
    assigned: dict[str, str] = {}
    for path in paths:
        # A user's home and a working directory may be somebody else's; /etc is root's.
        trusted = bool(named) or path.is_relative_to("/etc")
        try:
            values = settings_file.read(path, trusted=trusted, refuse=refuse)
        except SettingsError as error:
            refuse(error)
            continue
        if values is not None:
            found.append(path)
            assigned |= values
        if INSTANCE_HANDLERS in environ and path is not paths[-1]:
            assigned["STEEMBOT_HANDLERS"] = environ[INSTANCE_HANDLERS]
    return tuple(found), assigned


def export(given: Settings) -> None:
    """Put what the files assign to other names into the environment, where handlers look for it.

    What is in the environment already stays.
    """
    for name, value in given.variables.items():
        os.environ.setdefault(name, value)


def changed(old: Settings, new: Settings, among: Iterable[str]) -> list[str]:
    """Return the variables of those settings, of the ones named, in which two differ."""
    return [f"{PREFIX}{name.upper()}" for name in among if getattr(old, name) != getattr(new, name)]


def _default_state_dir(environ: Mapping[str, str]) -> Path:
    # systemd gives a colon-separated list where a unit names several directories.
    by_systemd = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if by_systemd:
        return Path(by_systemd)
    by_user = environ.get("XDG_STATE_HOME", "")
    if by_user.startswith("/"):
        return Path(by_user, "steembot")
    return Path(environ.get("HOME", "/"), ".local", "state", "steembot")


def _unknown(name: str) -> str:
    # Without the prefix, which would make all names near to each other.
    endings = [known.removeprefix(PREFIX) for known in _READERS]
    near = difflib.get_close_matches(name.removeprefix(PREFIX).upper(), endings, n=1)
    hint = f"did you mean {PREFIX}{near[0]}? " if near else ""
    return f"unknown setting; {hint}known are {', '.join(sorted(_READERS))}"


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise SettingsError(name, text, f"allowed are {', '.join(allowed)}")
        return text

    return read


_HOST = re.compile(r"[\w.:%-]+")  # a name, an IPv4 or an IPv6 address
_URLS = "allowed are URLs such as https://api.steemit.com, with commas between them"


def _nodes(name: str, text: str) -> tuple[str, ...]:
    urls = [url.strip() for url in text.split(",")]
    if not all(urls):
        raise SettingsError(name, text, f"a URL is missing beside a comma; {_URLS}")
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:  # an address in brackets that is none
            parts = urlsplit("")
        if parts.scheme in ("ws", "wss"):
            raise SettingsError(
                name,
                url,
                "WebSocket nodes are not supported, because beem's WebSocket client does not work "
                "on this Python; use the node's https:// URL",
            )
        if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or ""):
            raise SettingsError(name, url, _URLS)
        try:
            _ = parts.port
        except ValueError as error:
            raise SettingsError(name, url, "the port must be a number up to 65535") from error
    known: dict[str, str] = {}
    for url in urls:
        same = known.setdefault(_normalized(url), url)
        if same is not url:
            raise SettingsError(
                name,
                text,
                f"{without_passwords(same)} stands there twice, once as {without_passwords(url)}; "
                "name each node once",
            )
    return tuple(url.rstrip("/") for url in urls)


def _normalized(url: str) -> str:
    """Return a URL in the form in which equal ones are equal (RFC 3986, section 6.2).

    Who asks is left out: two users of one node are one node.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    with contextlib.suppress(ValueError):  # a name, and no address
        host = ipaddress.ip_address(host).compressed
    with contextlib.suppress(UnicodeError):
        host = host.encode("idna").decode()
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    path = posixpath.normpath(unquote(parts.path or "/")).lstrip("/")
    return f"{parts.scheme}://{host.lower()}:{port}/{path}?{parts.query}"


def _whole_number(least: int, most: int, *, what: str) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise SettingsError(name, text, f"allowed is {what} from {least} to {most}")
        return int(text)

    return read


def _start(name: str, text: str) -> int | None:
    if text == "head":
        return None
    return _whole_number(1, 2**32 - 2, what="head, or a block number")(name, text)


def _absolute_path(name: str, text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # ~ of nobody we know
        raise SettingsError(name, text, f"allowed is an absolute path: {error}") from error
    # The two processes may have other working directories.
    if not path.is_absolute() or "\0" in text:
        raise SettingsError(name, text, "allowed is an absolute path")
    return path


def _socket(name: str, text: str) -> Path:
    path = _absolute_path(name, text)
    limit = 107  # sockaddr_un.sun_path holds 108 bytes with its NUL: unix(7)
    if len(os.fsencode(path)) > limit:
        raise SettingsError(
            name, text, f"a socket's path may have {limit} bytes; use a shorter one"
        )
    return path


def _metrics(name: str, text: str) -> Path | tuple[str, int] | None:
    if not text:
        return None
    if text.startswith("/"):
        return _absolute_path(name, text)
    # Anybody on this machine may ask, nobody else.
    found = re.fullmatch(r"(127\.0\.0\.1|\[::1\]):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[2]) < 2**16:
        allowed = "allowed are a folder's absolute path, 127.0.0.1:PORT and [::1]:PORT"
        raise SettingsError(name, text, allowed)
    return found[1].strip("[]"), int(found[2])


def _chain_id(name: str, text: str) -> str | None:
    if text and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise SettingsError(
            name, text, "allowed are 64 hex digits in small letters, as get_config has them"
        )
    return text or None


def _proxy(name: str, text: str) -> str | None:
    if not text:
        return None
    allowed = "allowed is a URL such as http://proxy.example:3128, with user:password@ if it wants"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingsError(name, text, allowed) from error
    has_path = parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme != "http" or not _HOST.fullmatch(parts.hostname or "") or has_path:
        raise SettingsError(name, text, allowed)
    return text.rstrip("/") if port else f"{text.rstrip('/')}:80"


def _matching(pattern: str, allowed: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise SettingsError(name, text, f"allowed is {allowed}")
        return text

    return read


def _switch(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise SettingsError(name, text, "allowed are 0 and 1")
    return text == "1"


BOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "STEEMBOT_CHAIN": _one_of(*PROFILES),
    "STEEMBOT_NODES": _nodes,
    "STEEMBOT_QUORUM": _whole_number(1, 100, what="a number of nodes"),
    "STEEMBOT_NODE_RATE": _whole_number(1, 10_000, what="a number of requests a second"),
    "STEEMBOT_START": _start,
    "STEEMBOT_SOCKET": _socket,
    "STEEMBOT_STATE_DIR": _absolute_path,
    "STEEMBOT_LOG_BLOCKS": _whole_number(100, 100_000_000, what="a number of blocks"),
    "STEEMBOT_VIRTUAL_OPS": _switch,
    "STEEMBOT_BOT_NAME": _matching(BOT_NAME.pattern, "1 to 64 letters, digits, '_', '.', '-'"),
    "STEEMBOT_HANDLERS": _matching(
        r"[^\W\d]\w*(\.[^\W\d]\w*)*|/.+\.py",
        "a module's name such as steembot.bot.handlers.new_posts, or a file's absolute path",
    ),
    "STEEMBOT_MODE": _one_of("head", "irreversible"),
    "STEEMBOT_LOG_LEVEL": _one_of("debug", "info", "warning", "error"),
    "STEEMBOT_METRICS": _metrics,
    "STEEMBOT_CHAIN_ID": _chain_id,
    "STEEMBOT_PROXY": _proxy,
}
