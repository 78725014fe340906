"""Steem's binary form of blocks and transactions, and the ids and digests made from it.

Input is the `block_api` shape (see shapes.py). Source of the rules: steem's `libraries/protocol`
(steem_operations.hpp for members and their order, operations.hpp for the types' numbers, asset.hpp,
block.cpp, transaction.cpp) and fc's `raw.hpp`.
"""

import hashlib
import struct
from calendar import timegm
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from steembot.devnode.errors import BlockError

CHAIN_ID = bytes(32)  # Steem's main chain
KEY_PREFIX = "STM"

Pack = Callable[[Any], bytes]

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def ripemd160(data: bytes) -> bytes:
    """Return the RIPEMD-160 hash: in Steem's keys and merkle roots."""
    return hashlib.new("ripemd160", data).digest()


def public_key_text(key: bytes) -> str:
    """Return `STM…` for a compressed public key of 33 bytes."""
    number = int.from_bytes(key + ripemd160(key)[:4], "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return KEY_PREFIX + digits


def public_key_bytes(text: str) -> bytes:
    """Return the 33 bytes of `STM…`. Raises BlockError when it is no such key."""
    number = 0
    for digit in text.removeprefix(KEY_PREFIX):
        number = number * 58 + _BASE58.index(digit)
    data = number.to_bytes(37, "big")
    if data[33:] != ripemd160(data[:33])[:4]:
        raise BlockError(f"public key {text!r} has a wrong checksum")
    return data[:33]


def timestamp_seconds(text: str) -> int:
    """Return seconds since 1970 of a node's `2016-03-24T16:05:00` (UTC, no zone written)."""
    return timegm(datetime.fromisoformat(text).timetuple())


def timestamp_text(seconds: int) -> str:
    """Return a node's text for seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def varint(number: int) -> bytes:
    """Return fc's unsigned_int: seven bits a byte, lowest first."""
    if number < 0x80:
        return bytes((number,))
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def string(text: str) -> bytes:
    """Return a length and UTF-8 bytes."""
    data = text.encode()
    return varint(len(data)) + data


u8: Pack = struct.Struct("<B").pack
i16: Pack = struct.Struct("<h").pack
u16: Pack = struct.Struct("<H").pack
u32: Pack = struct.Struct("<I").pack
u64: Pack = struct.Struct("<Q").pack
_ASSET = struct.Struct("<qB7s")

# On the wire an asset carries the name of 2016, padded to 7 bytes, whatever its NAI.
_WIRE_SYMBOL = {"@@000000013": b"SBD", "@@000000021": b"STEEM", "@@000000037": b"VESTS"}


def asset(value: dict[str, Any]) -> bytes:
    """Return 8 bytes amount, 1 precision, 7 symbol."""
    return _ASSET.pack(int(value["amount"]), value["precision"], _WIRE_SYMBOL[value["nai"]])


def time(text: str) -> bytes:
    """Return seconds since 1970 in 4 bytes.

    A node writes the largest value, "never", as 1969-12-31T23:59:59: hence the mask.
    """
    return u32(timestamp_seconds(text) & 0xFFFFFFFF)


def _vector(pack: Pack) -> Pack:
    return lambda values: varint(len(values)) + b"".join(map(pack, values))


def _optional(pack: Pack) -> Pack:
    return lambda value: b"\0" if value is None else b"\1" + pack(value)


def _pair(first: Pack, second: Pack) -> Pack:
    return lambda value: first(value[0]) + second(value[1])


def _struct(**members: Pack) -> Pack:
    """Return a packer of an object whose members follow one another.

    A member that a node left out (`optional` in C++) is packed from None.
    """
    items = tuple(members.items())
    return lambda value: b"".join([pack(value.get(name)) for name, pack in items])


def _variant(**names: Pack) -> Pack:
    """Return a packer of a static_variant: the number of its type, then the value."""
    numbers = {name: (varint(number), pack) for number, (name, pack) in enumerate(names.items())}

    def pack(value: Any) -> bytes:
        number, pack_value = numbers[value["type"]]
        return number + pack_value(value["value"])

    return pack


_no_extensions = _vector(u8)
_price = _struct(base=asset, quote=asset)
_authority = _struct(
    weight_threshold=u32,
    account_auths=_vector(_pair(string, u16)),
    key_auths=_vector(_pair(public_key_bytes, u16)),
)
_comment_options_extension = _variant(
    comment_payout_beneficiaries=_struct(
        beneficiaries=_vector(_struct(account=string, weight=u16)),
    ),
)


def _pow_properties(value: dict[str, Any]) -> bytes:
    # Hive's nodes renamed the member, also in the blocks of Steem's time.
    interest = value["sbd_interest_rate" if "sbd_interest_rate" in value else "hbd_interest_rate"]
    return asset(value["account_creation_fee"]) + u32(value["maximum_block_size"]) + u16(interest)


# `from` cannot be written as a keyword.
_SENT: dict[str, Pack] = {"from": string, "to": string, "amount": asset}

# Each type's number and members, in the order in which they are packed.
OPERATIONS: dict[str, tuple[int, Pack]] = {
    "vote": (0, _struct(voter=string, author=string, permlink=string, weight=i16)),
    "comment": (
        1,
        _struct(
            parent_author=string,
            parent_permlink=string,
            author=string,
            permlink=string,
            title=string,
            body=string,
            json_metadata=string,
        ),
    ),
    "transfer": (2, _struct(**_SENT, memo=string)),
    "transfer_to_vesting": (3, _struct(**_SENT)),
    "withdraw_vesting": (4, _struct(account=string, vesting_shares=asset)),
    "limit_order_create": (
        5,
        _struct(
            owner=string,
            orderid=u32,
            amount_to_sell=asset,
            min_to_receive=asset,
            fill_or_kill=u8,
            expiration=time,
        ),
    ),
    "limit_order_cancel": (6, _struct(owner=string, orderid=u32)),
    "feed_publish": (7, _struct(publisher=string, exchange_rate=_price)),
    "account_create": (
        9,
        _struct(
            fee=asset,
            creator=string,
            new_account_name=string,
            owner=_authority,
            active=_authority,
            posting=_authority,
            memo_key=public_key_bytes,
            json_metadata=string,
        ),
    ),
    "account_update": (
        10,
        _struct(
            account=string,
            owner=_optional(_authority),
            active=_optional(_authority),
            posting=_optional(_authority),
            memo_key=public_key_bytes,
            json_metadata=string,
        ),
    ),
    "account_witness_vote": (12, _struct(account=string, witness=string, approve=u8)),
    "account_witness_proxy": (13, _struct(account=string, proxy=string)),
    "pow": (
        14,
        _struct(
            worker_account=string,
            block_id=bytes.fromhex,
            nonce=lambda value: u64(int(value)),
            work=_struct(
                worker=public_key_bytes,
                input=bytes.fromhex,
                signature=bytes.fromhex,
                work=bytes.fromhex,
            ),
            props=_pow_properties,
        ),
    ),
    "delete_comment": (17, _struct(author=string, permlink=string)),
    "custom_json": (
        18,
        _struct(
            required_auths=_vector(string),
            required_posting_auths=_vector(string),
            id=string,
            json=string,
        ),
    ),
    "comment_options": (
        19,
        _struct(
            author=string,
            permlink=string,
            max_accepted_payout=asset,
            percent_steem_dollars=u16,
            allow_votes=u8,
            allow_curation_rewards=u8,
            extensions=_vector(_comment_options_extension),
        ),
    ),
    "claim_account": (22, _struct(creator=string, fee=asset, extensions=_no_extensions)),
    "claim_reward_balance": (
        39,
        _struct(account=string, reward_steem=asset, reward_sbd=asset, reward_vests=asset),
    ),
    "delegate_vesting_shares": (
        40,
        _struct(delegator=string, delegatee=string, vesting_shares=asset),
    ),
    "account_create_with_delegation": (
        41,
        _struct(
            fee=asset,
            delegation=asset,
            creator=string,
            new_account_name=string,
            owner=_authority,
            active=_authority,
            posting=_authority,
            memo_key=public_key_bytes,
            json_metadata=string,
            extensions=_no_extensions,
        ),
    ),
}
_PACKERS = {
    f"{name}_operation": (varint(number), pack) for name, (number, pack) in OPERATIONS.items()
}


def operation(value: dict[str, Any]) -> bytes:
    """Return the bytes of an operation. Raises BlockError for a type not in OPERATIONS."""
    try:
        number, pack = _PACKERS[value["type"]]
    except KeyError:
        raise BlockError(f"no binary form is known for {value['type']!r}") from None
    return number + pack(value["value"])


def transaction(value: dict[str, Any]) -> bytes:
    """Return a transaction's bytes without its signatures: what is signed, and hashed to its id."""
    operations = value["operations"]
    return b"".join(
        (
            u16(value["ref_block_num"]),
            u32(value["ref_block_prefix"]),
            time(value["expiration"]),
            varint(len(operations)),
            *map(operation, operations),
            _no_extensions(value["extensions"]),
        )
    )


def transaction_id(data: bytes) -> str:
    """Return the id for the bytes of `transaction`."""
    return hashlib.sha256(data).hexdigest()[:40]


def transaction_digest(data: bytes) -> bytes:
    """Return what the signatures of `transaction`'s bytes sign."""
    return hashlib.sha256(CHAIN_ID + data).digest()


def signed_transaction(data: bytes, signatures: Sequence[str]) -> bytes:
    """Return `transaction`'s bytes with the signatures (hex, 65 bytes each) behind them."""
    return b"".join((data, varint(len(signatures)), *map(bytes.fromhex, signatures)))


def merkle_root(signed: Sequence[bytes]) -> str:
    """Return `transaction_merkle_root` over the bytes of `signed_transaction` (block.cpp).

    A block without transactions has 40 zeros. An odd one out goes up a level unpaired.
    """
    if not signed:
        return "0" * 40
    level = [hashlib.sha256(data).digest() for data in signed]
    while len(level) > 1:
        paired = [
            hashlib.sha256(level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        level = paired + level[len(level) & ~1 :]
    return ripemd160(level[0]).hex()


def header(previous: str, timestamp: int, witness: str, root: str) -> bytes:
    """Return a block header's bytes without extensions and signature; timestamp in seconds."""
    return b"".join(
        (bytes.fromhex(previous), u32(timestamp), string(witness), bytes.fromhex(root), b"\0")
    )


def header_digest(data: bytes) -> bytes:
    """Return what a witness signs."""
    return hashlib.sha256(data).digest()


def block_num(block_id: str) -> int:
    """Return the block number that every block id starts with."""
    return int(block_id[:8], 16)


def block_id(data: bytes, signature: str, num: int) -> str:
    """Return the id of block `num` for the bytes of `header` and the witness's signature (hex).

    20 of the 28 bytes of SHA-224, with the block's number in place of the first four (block.cpp).
    """
    digest = hashlib.sha224(data + bytes.fromhex(signature)).digest()
    return (num.to_bytes(4, "big") + digest[4:20]).hex()


def ref_block(ref_id: str) -> tuple[int, int]:
    """Return (ref_block_num, ref_block_prefix), by which a transaction binds itself to a block."""
    return block_num(ref_id) & 0xFFFF, int.from_bytes(bytes.fromhex(ref_id[8:16]), "little")
