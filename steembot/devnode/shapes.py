"""The two shapes in which Steem nodes tell operations and blocks.

| | `block_api` ("appbase") | `condenser_api` ("legacy") |
|---|---|---|
| operation | `{"type": "vote_operation", "value": {…}}` | `["vote", {…}]` |
| asset | `{"amount": "1000", "precision": 3, "nai": "@@000000021"}` | `"1.000 STEEM"` |
| extension | `{"type": "comment_payout_beneficiaries", "value": {…}}` | `[0, {…}]` |
| transaction | as signed | also `transaction_id`, `block_num`, `transaction_num` |

Inside the devnode a block is a dict in the `block_api` shape, because there nothing is left to
guess: an asset cannot be mistaken for a text. Source of the shapes: steem's
`libraries/plugins/apis/condenser_api` (legacy_asset, condenser_api_legacy_operations.hpp).
"""

import re
from typing import Any

from steembot.devnode.errors import BlockError

NAI_OF_SYMBOL = {"SBD": "@@000000013", "STEEM": "@@000000021", "VESTS": "@@000000037"}
SYMBOL_OF_NAI = {nai: symbol for symbol, nai in NAI_OF_SYMBOL.items()}
HIVE_SYMBOL_OF_NAI = {"@@000000013": "HBD", "@@000000021": "HIVE", "@@000000037": "VESTS"}
PRECISION_OF_NAI = {"@@000000013": 3, "@@000000021": 3, "@@000000037": 6}

LEGACY_ASSET = re.compile(r"(-?\d+)\.(\d{3}|\d{6}) (STEEM|SBD|VESTS)")

# Text that merely looks like an asset (a memo "1.000 STEEM") must stay text, so only these members
# are read as assets. From steem_operations.hpp and steem_virtual_operations.hpp.
ASSET_MEMBERS = frozenset(
    {
        "additional_funds", "amount", "amount_in", "amount_out", "amount_to_sell", "base",
        "current_pays", "daily_pay", "delegation", "deposited", "fee", "interest",
        "max_accepted_payout", "min_to_receive", "open_pays", "payment", "payout", "quote",
        "reward", "reward_sbd", "reward_steem", "reward_vests", "sbd_amount", "sbd_payout",
        "account_creation_fee", "steem_amount", "steem_payout", "vesting_payout",
        "vesting_shares", "withdrawn",
    }
)  # fmt: skip

# The members that hold static variants, and the variants' names by number.
VARIANT_MEMBERS: dict[str, dict[str, tuple[str, ...]]] = {
    "comment_options": {"extensions": ("comment_payout_beneficiaries",)},
    "pow2": {"work": ("pow2", "equihash_pow")},
}


def asset(amount: int, symbol: str) -> dict[str, Any]:
    """Return an asset in the block_api shape; `amount` counts the smallest unit (0.001 STEEM)."""
    nai = NAI_OF_SYMBOL[symbol]
    return {"amount": str(amount), "precision": PRECISION_OF_NAI[nai], "nai": nai}


def legacy_asset(value: dict[str, Any], *, hive: bool = False) -> str:
    """Return the text of an asset: `{"amount": "1000", …, "nai": "@@000000021"}` -> `1.000 STEEM`.

    hive: with the name that Hive gave it. Raises BlockError for an amount that is no number or an
    asset that Steem does not have.
    """
    symbols = HIVE_SYMBOL_OF_NAI if hive else SYMBOL_OF_NAI
    try:
        symbol, precision = symbols[value["nai"]], value["precision"]
        amount = int(value["amount"])
    except (KeyError, ValueError, TypeError):
        raise BlockError(
            f"asset {value!r} is not one of Steem's; known are "
            + ", ".join(f"{nai} ({name})" for nai, name in symbols.items())
        ) from None
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    return f"{sign}{amount // 10**precision}.{amount % 10**precision:0{precision}d} {symbol}"


def parse_asset(text: str) -> dict[str, Any]:
    """Return the block_api shape of `1.000 STEEM`. Raises BlockError when it is no such text."""
    match = LEGACY_ASSET.fullmatch(text)
    if match is None:
        raise BlockError(f"asset {text!r} is not like '1.000 STEEM', '1.000 SBD', '1.000000 VESTS'")
    whole, fraction, symbol = match.groups()
    return asset(int(whole + fraction), symbol)


def _legacy_value(value: Any, *, hive: bool) -> Any:
    """Copy a block_api value with its assets as text; what has none is returned as it is."""
    if type(value) is dict:
        if "nai" in value:
            return legacy_asset(value, hive=hive)
        return {key: _legacy_value(member, hive=hive) for key, member in value.items()}
    if type(value) is list:
        return [_legacy_value(member, hive=hive) for member in value]
    return value


def legacy_operation(operation: dict[str, Any], *, hive: bool = False) -> list[Any]:
    """Return the condenser shape of a block_api operation; hive: with Hive's names of assets."""
    name = operation["type"].removesuffix("_operation")
    value = operation["value"]
    # A busy block is mostly votes and custom_json without an asset in it: those are not copied.
    nested = [key for key, member in value.items() if type(member) in (dict, list)]
    if nested:
        value = dict(value)
        variants = VARIANT_MEMBERS.get(name, {})
        for key in nested:
            if key in variants:
                value[key] = [
                    [variants[key].index(item["type"]), _legacy_value(item["value"], hive=hive)]
                    for item in value[key]
                ]
            else:
                value[key] = _legacy_value(value[key], hive=hive)
    return [name, value]


def _appbase_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _appbase_asset(member) if key in ASSET_MEMBERS else _appbase_value(member)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [_appbase_value(member) for member in value]
    return value


def _appbase_asset(value: Any) -> Any:
    match value:
        case str():
            return parse_asset(value)
        case (
            {"amount": str(amount), "precision": int(precision), "nai": str(nai)}
            | [str(amount), int(precision), str(nai)]  # as nodes wrote it for weeks in April 2018
        ):
            return {"amount": amount, "precision": precision, "nai": nai}
        case _:
            return _appbase_value(value)


def appbase_operation(operation: list[Any]) -> dict[str, Any]:
    """Return the block_api shape of a condenser operation. Raises BlockError when it is none."""
    name, legacy = operation
    value = _appbase_value(legacy)
    for key, names in VARIANT_MEMBERS.get(name, {}).items():
        value[key] = [
            {"type": names[item[0]], "value": item[1]} if isinstance(item, list) else item
            for item in value[key]
        ]
    return {"type": f"{name}_operation", "value": value}


def legacy_block(block: dict[str, Any], num: int, *, hive: bool = False) -> dict[str, Any]:
    """Return the condenser shape of block `num`; hive: with Hive's names of assets.

    `transaction_id`, `block_num` and `transaction_num` stand behind the signatures, where Steem has
    had them since 2018.
    """
    ids = block["transaction_ids"]
    transactions = [
        {
            **transaction,
            "operations": [legacy_operation(each, hive=hive) for each in transaction["operations"]],
            "transaction_id": ids[index],
            "block_num": num,
            "transaction_num": index,
        }
        for index, transaction in enumerate(block["transactions"])
    ]
    return {**block, "transactions": transactions}


# In the order in which real nodes write them.
TRANSACTION_MEMBERS = (
    "ref_block_num", "ref_block_prefix", "expiration", "operations", "extensions", "signatures",
)  # fmt: skip
BLOCK_MEMBERS = (
    "previous", "timestamp", "witness", "transaction_merkle_root", "extensions",
    "witness_signature", "transactions", "block_id", "signing_key", "transaction_ids",
)  # fmt: skip


def appbase_block(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block of either shape in the block_api shape, members in a real node's order.

    Raises BlockError that names what is missing or not as it should be.
    """
    missing = [key for key in BLOCK_MEMBERS if key not in block]
    if missing:
        raise BlockError(
            f"the block has no {', '.join(missing)}; it needs what get_block answers: "
            + ", ".join(BLOCK_MEMBERS)
        )
    transactions = [
        _appbase_transaction(index, transaction)
        for index, transaction in enumerate(block["transactions"])
    ]
    if len(transactions) != len(block["transaction_ids"]):
        raise BlockError(
            f"the block has {len(transactions)} transactions and "
            f"{len(block['transaction_ids'])} transaction_ids; they must be as many"
        )
    return {key: block[key] for key in BLOCK_MEMBERS} | {"transactions": transactions}


def _appbase_transaction(index: int, transaction: Any) -> dict[str, Any]:
    where = f"transaction {index}"
    if not isinstance(transaction, dict):
        raise BlockError(f"{where} is not an object")
    missing = [key for key in TRANSACTION_MEMBERS if key not in transaction]
    if missing:
        raise BlockError(f"{where} has no {', '.join(missing)}")
    operations = []
    for number, operation in enumerate(transaction["operations"]):
        match operation:
            case [str(), dict()]:
                try:
                    operations.append(appbase_operation(operation))
                except (BlockError, KeyError, IndexError, TypeError) as error:
                    raise BlockError(f"{where}, operation {number}: {error}") from None
            case {"type": str(kind), "value": dict(value)} if kind.endswith("_operation"):
                operations.append({"type": kind, "value": _appbase_value(value)})
            case _:
                raise BlockError(
                    f'{where}, operation {number} is neither ["vote", {{…}}] '
                    'nor {"type": "vote_operation", "value": {…}}'
                )
    return {key: transaction[key] for key in TRANSACTION_MEMBERS} | {"operations": operations}
