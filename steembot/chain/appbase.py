"""Operations as ``block_api`` tells them, turned into what ``condenser_api`` tells. Pure.

| | ``block_api`` ("appbase") | ``condenser_api`` |
|---|---|---|
| operation | ``{"type": "vote_operation", "value": {…}}`` | ``["vote", {…}]`` |
| asset | ``{"amount": "1000", "precision": 3, "nai": "@@000000021"}`` | ``"1.000 HIVE"`` |
| variant | ``{"type": "comment_payout_beneficiaries", "value": {…}}`` | ``[0, {…}]`` |

A node of Hive makes both from the same operation and switches between them in these three places
only (hive 1.28, ``libraries/protocol``: ``asset.cpp``, ``operation_util.hpp``); numbers above 32
bits are text in both. Steem's ``condenser_api`` has classes of its own for it, to the same end.
So a body without an asset and a variant needs no look into it, and assets are known by their
shape. A variant's number is known by its type's name only: nothing is guessed, and what is in no
table here raises :class:`~steembot.errors.UnknownShapeError`.

Nodes of Hive before 1.27.7 wrote a variant's name in the place of its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from steembot.errors import UnknownShapeError

_SUFFIX = "_operation"

_PRECISION = {"@@000000013": 3, "@@000000021": 3, "@@000000037": 6}
_ASSET_MEMBERS = {"amount", "precision", "nai"}
_VARIANT_MEMBERS = {"type", "value"}

# From the static_variant that each of these members is: steem_operations.hpp, hive_operations.hpp,
# dhf_operations.hpp, types.hpp. There void_t may stand too, also in the extensions of other types;
# it holds nothing, and it is not known how a node writes that.
_VARIANTS: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("comment_options", "extensions"): {"comment_payout_beneficiaries": 0},
    ("pow2", "work"): {"pow2": 0, "equihash_pow": 1},
    ("recurrent_transfer", "extensions"): {"recurrent_transfer_pair_id": 1},
    ("update_proposal", "extensions"): {"update_proposal_end_date": 1},
}

_whole_number = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch
# As hived writes it; in a text the quotes would have backslashes.
_replace_assets = re.compile(
    rb'{"amount":"(0|[1-9][0-9]{0,18})","precision":([36]),"nai":"(@@[0-9]{9})"}'
).sub
_members_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_parse = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


def converted(kind: str, body: bytes, symbols: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the type and the body of an operation as ``condenser_api`` tells them.

    ``symbols`` are the names of the chain's assets, as its profile has them. Raises
    :class:`~steembot.errors.UnknownShapeError`.
    """
    if not kind.endswith(_SUFFIX):
        raise UnknownShapeError(f"the operation type {kind[:60]!r}")
    name = kind[: -len(_SUFFIX)]
    # Inside a text these stand with a backslash before each quote, so custom_json has none.
    assets = b'"nai"' in body
    if assets:
        # Most need no more than that, and it takes a third of what reading them would.
        body = _replace_assets(lambda found: _asset_of(found, symbols), body)
        assets = b'"nai"' in body
    if assets or b'"type"' in body:
        body = _read_and_converted(name, body, symbols)
    return name, body


def _read_and_converted(name: str, body: bytes, symbols: Mapping[str, str]) -> bytes:
    try:
        members = _members_of(body)
        if "nai" in members or members.keys() == _VARIANT_MEMBERS:
            raise UnknownShapeError(f"{name} that is an asset or a variant itself")
        for member, raw in members.items():
            if _may_differ(bytes(raw)):
                numbers = _VARIANTS.get((name, member), {})
                try:
                    members[member] = msgspec.Raw(_write(_member(_parse(raw), numbers, symbols)))
                except UnknownShapeError as error:
                    raise UnknownShapeError(f"{error} in {name}.{member}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise UnknownShapeError(f"{name} that cannot be read: {error}") from error
    return _write(members)


def _may_differ(body: bytes) -> bool:
    return b'"nai"' in body or b'"type"' in body


def _member(value: Any, numbers: Mapping[str, int], symbols: Mapping[str, str]) -> Any:
    """Convert a member of an operation: one variant, a list of them, or neither."""
    if isinstance(value, list):
        return [_plain(item, symbols, numbers) for item in value]
    return _plain(value, symbols, numbers)


def _plain(value: Any, symbols: Mapping[str, str], numbers: Mapping[str, int] | None = None) -> Any:
    """Convert what a member holds; variants only where ``numbers`` of their types are given."""
    if isinstance(value, list):
        return [_plain(item, symbols) for item in value]
    if not isinstance(value, dict):
        return value
    if "nai" in value:
        return _asset(value, symbols)
    if value.keys() == _VARIANT_MEMBERS:
        number = (numbers or {}).get(value["type"]) if isinstance(value["type"], str) else None
        if number is None:
            raise UnknownShapeError(f"the variant {value['type']!r:.60}")
        return [number, _plain(value["value"], symbols)]
    return {key: _plain(item, symbols) for key, item in value.items()}


def _asset_of(found: re.Match[bytes], symbols: Mapping[str, str]) -> bytes:
    amount, precision, nai = found[1], int(found[2]), found[3].decode()
    if _PRECISION.get(nai) != precision:
        return found[0]  # reading it will say what is wrong
    digits = amount.rjust(precision + 1, b"0")
    return b'"%b.%b %b"' % (digits[:-precision], digits[-precision:], symbols[nai].encode())


def _asset(value: dict[str, Any], symbols: Mapping[str, str]) -> str:
    match value:
        case {"amount": str(text), "precision": int(precision), "nai": str(nai)} if (
            len(value) == len(_ASSET_MEMBERS)
            and nai in symbols
            and precision == _PRECISION[nai]
            and _whole_number(text)
        ):
            amount, unit = int(text), 10**precision
        case _:
            raise UnknownShapeError(f"the asset {value!r:.120}")
    # As C++ has it: the whole part is cut towards zero, and the rest is added to the unit, whose
    # 1 is then dropped. That is odd for an amount below zero, and just what nodes answer.
    whole = abs(amount) // unit * (-1 if amount < 0 else 1)
    return f"{whole}.{str(unit + amount - whole * unit)[1:]} {symbols[nai]}"
