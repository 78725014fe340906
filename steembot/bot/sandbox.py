"""Tells from a handler's exception what the unit's sandbox forbade, and how to open it. Pure.

systemd.exec(5) says which error each setting causes. The same errors have other causes outside of a
unit, so the caller says whether this is one.
"""

from __future__ import annotations

import errno
import socket

_NETWORK = (
    "the bot's unit has no network unless a drop-in opens it: see bot-network.conf in steembot's "
    "share folder, and systemctl edit"
)
_FILES = (
    "the bot's unit may write in its state folder alone unless a drop-in opens another one: "
    "ReadWritePaths=, by systemctl edit"
)
_HIDDEN = (
    "the bot's unit hides /home, /root and devices, and gives no rights of root, unless a drop-in "
    "opens them: ProtectHome=, PrivateDevices= and such, by systemctl edit"
)

_BY_ERRNO = {
    errno.EAFNOSUPPORT: _NETWORK,  # RestrictAddressFamilies=
    errno.ENETUNREACH: _NETWORK,  # PrivateNetwork=: there is the loopback alone
    errno.EADDRNOTAVAIL: _NETWORK,
    errno.EROFS: _FILES,  # ProtectSystem=strict
    errno.EACCES: _HIDDEN,  # ProtectHome=
    errno.EPERM: _HIDDEN,  # NoNewPrivileges=, CapabilityBoundingSet=, IPAddressDeny=
}


def hint(error: BaseException) -> str | None:
    """Return what the sandbox forbids and how to open it, where that may be the reason.

    Looks at the exception and at those that it was raised from, the nearest first.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, socket.gaierror):  # no name server can be reached
            return _NETWORK
        if isinstance(cause, OSError) and cause.errno in _BY_ERRNO:
            return _BY_ERRNO[cause.errno]
        cause = cause.__cause__ or cause.__context__
    return None


def explained(text: str, error: BaseException | None, *, in_unit: bool) -> str:
    """Return an exception's text, whose last line also says what the sandbox forbids."""
    words = hint(error) if error is not None and in_unit else None
    return text if words is None else f"{text.rstrip()} ({words})\n"
