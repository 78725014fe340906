r"""JSON that msgspec refuses and other readers take, read all the same. Pure.

A stranger may write half of a character that UTF-16 writes in two (``"\ud83d"``), and all nodes say
so alike: that is what the chain says. msgspec refuses it, also in what it only passes through. So
where an answer cannot be read, what is odd in it is masked, it is read once more, and the mask is
taken off where bytes are handed on: a body stays exactly what the node wrote.
"""

from __future__ import annotations

import re
import secrets

_MASK = f"masked-{secrets.token_hex(12)}-".encode()
"""What stands for odd bytes, before their hex digits and a dot. Nobody outside can know it."""

# Pairs, and escapes that are in order, are stepped over, so that each backslash is read as JSON
# does (RFC 8259, section 7). Then: a lone surrogate, an escape that is none, a control character.
_ODD = re.compile(
    rb'\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\["\\/bfnrt]'
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\u[0-9a-fA-F]{4}"
    rb"|(\\.|[\x00-\x08\x0b\x0c\x0e-\x1f])",
    re.DOTALL,
)
_MASKED = re.compile(re.escape(_MASK) + rb"([0-9a-f]+)\.")


def masked(body: bytes) -> bytes:
    """Return the JSON with what is odd in its texts masked; the same object where nothing is."""
    changed = _ODD.sub(_mask, body)
    return body if changed == body else changed


def is_masked(data: bytes) -> bool:
    """Tell whether anything in these bytes is masked."""
    return _MASK in data


def unmasked(data: bytes) -> bytes:
    """Return the bytes as they were before :func:`masked`."""
    return _MASKED.sub(lambda found: bytes.fromhex(found[1].decode()), data)


def _mask(found: re.Match[bytes]) -> bytes:
    odd: bytes | None = found[1] or found[2]
    return found[0] if odd is None else _MASK + odd.hex().encode() + b"."
