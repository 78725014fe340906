"""steemd's methods: what each API answers about a chain, and which arguments it takes. Pure.

Source: steem's `json_rpc_plugin.cpp`, `condenser_api.cpp`, `block_api.cpp`,
`account_history_api.cpp`; hive's `block_api.cpp` and `fork_db_block_reader.cpp`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from steembot.devnode import serialize, shapes
from steembot.devnode.chain import SLOT_SECONDS, Block
from steembot.devnode.constants import CONFIG, VERSION
from steembot.devnode.rpc_errors import (
    ERROR_DURING_CALL,
    NO_SUCH_METHOD,
    assert_failed,
    bad_cast,
    parse_error,
)
from steembot.devnode.view import Shown

_HEADER_MEMBERS = ("previous", "timestamp", "witness", "transaction_merkle_root", "extensions")
_NO_TRANSACTION = 0xFFFFFFFF  # trx_in_block of what the block as a whole did
_NO_ID = "0" * 40
_GENESIS = serialize.timestamp_seconds(CONFIG["STEEM_GENESIS_TIME"])
_RECENT_SLOTS = 128
_UINT32 = 0xFFFFFFFF
_RANGE_LIMIT = 1000

Method = Callable[[Any], Any]


class Methods:
    """The methods of all APIs, about one chain.

    chain: what is answered about; Hive's has get_block_range too. chain_id: what it names as its
    own. unindexed: so many of the newest blocks have no operations in get_ops_in_block.
    """

    def __init__(self, chain: Shown, *, chain_id: str, unindexed: int) -> None:
        self._chain = chain
        self._unindexed = unindexed
        config = CONFIG | {"STEEM_CHAIN_ID": chain_id}
        if chain.hive:
            config["HIVE_CHAIN_ID"] = config.pop("STEEM_CHAIN_ID")
        self._methods: dict[str, dict[str, Method]] = {
            "account_history_api": {"get_ops_in_block": self._history_ops_in_block},
            "block_api": {
                "get_block": self._block_api_block,
                "get_block_header": self._block_api_header,
            },
            "condenser_api": {
                "get_block": self._condenser_block,
                "get_block_header": self._condenser_header,
                "get_config": self._condenser_no_arguments("get_config", lambda: config),
                "get_dynamic_global_properties": self._condenser_no_arguments(
                    "get_dynamic_global_properties", self._condenser_properties
                ),
                "get_ops_in_block": self._condenser_ops_in_block,
                "get_version": self._condenser_no_arguments("get_version", lambda: VERSION),
            },
            "database_api": {
                "get_config": _no_arguments(lambda: config),
                "get_dynamic_global_properties": _no_arguments(self._properties),
                "get_version": _no_arguments(lambda: VERSION | {"chain_id": chain_id}),
            },
            "jsonrpc": {"get_methods": _no_arguments(self.names)},
        }
        if chain.hive:
            self._methods["block_api"]["get_block_range"] = self._block_api_range

    def names(self) -> list[str]:
        """Return the names of all methods, sorted, as jsonrpc.get_methods answers them."""
        return [f"{api}.{name}" for api, methods in self._methods.items() for name in methods]

    def find(self, api: str, name: str) -> Method:
        """Return a method by its name. Raises RpcError where there is none."""
        methods = self._methods.get(api)
        if methods is None:
            raise assert_failed(
                NO_SUCH_METHOD,
                "api_itr != _registered_apis.end(): Could not find API ${api}",
                {"api": api},
                where=("json_rpc_plugin.cpp", 206, "find_api_method"),
            )
        if name not in methods:
            raise assert_failed(
                NO_SUCH_METHOD,
                "method_itr != api_itr->second.end(): Could not find method ${method}",
                {"method": name},
                where=("json_rpc_plugin.cpp", 209, "find_api_method"),
            )
        return methods[name]

    def _condenser_no_arguments(self, name: str, result: Callable[[], Any]) -> Method:
        def method(arguments: Any) -> Any:
            _check_arguments(arguments, name, 0)
            return result()

        return method

    def _condenser_block(self, arguments: Any) -> Any:
        (num,) = _check_arguments(arguments, "get_block", 1)
        block = self._chain.block(_uint(num))
        return msgspec.Raw(block.condenser_json()) if block else None

    def _condenser_header(self, arguments: Any) -> Any:
        (num,) = _check_arguments(arguments, "get_block_header", 1)
        block = self._chain.block(_uint(num))
        return _header(block) if block else None

    def _condenser_ops_in_block(self, arguments: Any) -> Any:
        values = _array(arguments)
        if len(values) not in (1, 2):
            raise assert_failed(
                ERROR_DURING_CALL,
                "args.size() == 1 || args.size() == 2: Expected 1-2 arguments, was ${n}",
                {"n": len(values)},
                where=("condenser_api.cpp", 759, "get_ops_in_block"),
            )
        only_virtual = len(values) == 2 and bool(values[1])
        operations = self._ops_in_block(_uint(values[0]), only_virtual=only_virtual)
        return [
            each | {"op": shapes.legacy_operation(each["op"], hive=self._chain.hive)}
            for each in operations
        ]

    def _block_api_block(self, arguments: Any) -> Any:
        block = self._chain.block(_uint(_object(arguments).get("block_num")))
        return {"block": msgspec.Raw(block.appbase_json())} if block else {}

    def _block_api_range(self, arguments: Any) -> Any:
        """Return a range's blocks up to the head, or to the first one that is not there.

        Both numbers are a uint32, and so is their sum: -1 is the largest.
        """
        given = _object(arguments)
        first, count = (
            _uint(given.get(name)) & _UINT32 for name in ("starting_block_num", "count")
        )
        head = self._chain.head.num
        if first > head or count == 0:
            return {"blocks": []}
        if (first + count - 1) & _UINT32 > head:
            count = head - first + 1
        where = ("fork_db_block_reader.cpp", 142, "fetch_block_range")
        if first == 0:
            raise assert_failed(
                ERROR_DURING_CALL,
                'starting_block_num > 0 && "fetch_block_range": '
                "Invalid starting block numberrethrow",
                where=where,
            )
        if count > _RANGE_LIMIT:
            raise assert_failed(
                ERROR_DURING_CALL,
                f'count <= {_RANGE_LIMIT} && "fetch_block_range": '
                f"You can only ask for {_RANGE_LIMIT} blocks at a timerethrow",
                where=where,
            )
        blocks = []
        for num in range(first, first + count):
            block = self._chain.block(num)
            if block is None:
                break
            blocks.append(msgspec.Raw(block.appbase_json()))
        return {"blocks": blocks}

    def _block_api_header(self, arguments: Any) -> Any:
        block = self._chain.block(_uint(_object(arguments).get("block_num")))
        return {"header": _header(block)} if block else {}

    def _history_ops_in_block(self, arguments: Any) -> Any:
        values = _object(arguments)
        only_virtual = bool(values.get("only_virtual"))
        return {
            "ops": self._ops_in_block(_uint(values.get("block_num")), only_virtual=only_virtual)
        }

    def _ops_in_block(self, num: int, *, only_virtual: bool) -> list[dict[str, Any]]:
        """Return a block's operations in the order of steemd's api_operation_object.

        `op_in_trx` is 0 throughout, and does not count in the order: steemd's constructor of that
        object does not copy it (account_history_api.hpp). So within a transaction its own
        operations come first, then the virtual ones.
        """
        block = self._chain.block(num)
        if block is None or num > self._chain.head.num - self._unindexed:
            return []
        contents = block.appbase_block()
        operations = []
        if not only_virtual:
            operations = [
                (index, 0, contents["transaction_ids"][index], operation)
                for index, transaction in enumerate(contents["transactions"])
                for operation in transaction["operations"]
            ]
        for each in block.virtual_operations():
            index = _NO_TRANSACTION if each.trx_in_block is None else each.trx_in_block
            trx_id = _NO_ID if each.trx_in_block is None else contents["transaction_ids"][index]
            operations.append((index, each.virtual_op, trx_id, each.operation))
        operations.sort(key=lambda each: each[:2])
        return [
            {
                "trx_id": trx_id,
                "block": num,
                "trx_in_block": trx_in_block,
                "op_in_trx": 0,
                "virtual_op": virtual_op,
                "timestamp": contents["timestamp"],
                "op": operation,
            }
            for trx_in_block, virtual_op, trx_id, operation in operations
        ]

    def _properties(self) -> dict[str, Any]:
        """Return what database_api.get_dynamic_global_properties answers.

        Members and their order: dynamic_global_property_object. Head, time, witness, slots and
        the irreversible block are the chain's; the economy stands still.
        """
        chain, head = self._chain, self._chain.head
        filled = 0
        for block in chain.newest(_RECENT_SLOTS):
            slot = (head.timestamp - block.timestamp) // SLOT_SECONDS
            if 0 <= slot < _RECENT_SLOTS:
                filled |= 1 << slot
        if chain.oldest_num == chain.first_num:  # before the chain began nobody missed a slot
            filled |= (1 << _RECENT_SLOTS) - (1 << min(max(0, chain.slots), _RECENT_SLOTS))
        hour = head.timestamp - head.timestamp % 3600
        asset = shapes.asset
        return {
            "id": 0,
            "head_block_number": head.num,
            "head_block_id": head.id,
            "time": serialize.timestamp_text(head.timestamp),
            "current_witness": head.witness,
            "total_pow": 514415,
            "num_pow_witnesses": 172,
            "virtual_supply": asset(400_000_000_000, "STEEM"),
            "current_supply": asset(370_000_000_000, "STEEM"),
            "confidential_supply": asset(0, "STEEM"),
            "init_sbd_supply": asset(0, "SBD"),
            "current_sbd_supply": asset(6_000_000_000, "SBD"),
            "confidential_sbd_supply": asset(0, "SBD"),
            "total_vesting_fund_steem": asset(110_000_000_000, "STEEM"),
            "total_vesting_shares": asset(212_000_000_000_000_000, "VESTS"),
            "total_reward_fund_steem": asset(0, "STEEM"),
            "total_reward_shares2": "0",
            "pending_rewarded_vesting_shares": asset(700_000_000_000_000, "VESTS"),
            "pending_rewarded_vesting_steem": asset(350_000_000, "STEEM"),
            "sbd_interest_rate": 0,
            "sbd_print_rate": 1100,
            "maximum_block_size": 65536,
            "required_actions_partition_percent": 0,
            "current_aslot": max(0, (head.timestamp - _GENESIS) // SLOT_SECONDS),
            "recent_slots_filled": str(filled),
            "participation_count": filled.bit_count(),
            "last_irreversible_block_num": chain.irreversible_num,
            "vote_power_reserve_rate": CONFIG["STEEM_REDUCED_VOTE_POWER_RATE"],
            "delegation_return_period": 432000,
            "reverse_auction_seconds": 300,
            "available_account_subsidies": 17_000_000,
            "sbd_stop_percent": 1000,
            "sbd_start_percent": 900,
            "next_maintenance_time": serialize.timestamp_text(hour + 3600),
            "last_budget_time": serialize.timestamp_text(hour),
            "content_reward_percent": 6500,
            "vesting_reward_percent": 1500,
            "sps_fund_percent": 1000,
            "sps_interval_ledger": asset(40_764, "SBD"),
            "downvote_pool_percent": 2500,
        }

    def _condenser_properties(self) -> dict[str, Any]:
        """Return the same with assets as text and without the object's id."""
        return {
            key: shapes.legacy_asset(value, hive=self._chain.hive)
            if isinstance(value, dict)
            else value
            for key, value in self._properties().items()
            if key != "id"
        }


def _header(block: Block) -> dict[str, Any]:
    contents = block.appbase_block()
    return {key: contents[key] for key in _HEADER_MEMBERS}


def _object(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    raise bad_cast(arguments, "Invalid cast from type '${type}' to Object", 575, "get_object")


def _array(arguments: Any) -> list[Any]:
    if isinstance(arguments, list):
        return arguments
    raise bad_cast(arguments, "Invalid cast from ${type} to Array", 537, "get_array")


def _uint(value: Any) -> int:
    """Return a block number the way fc reads one: text and null count, lists do not."""
    match value:
        case None:
            return 0
        case int() | float():
            return int(value)
        case str() if value.isdecimal():
            return int(value)
        case str():
            raise parse_error("Couldn't parse uint64_t", ("string.cpp", 113, "to_uint64"))
        case _:
            raise bad_cast(value, "Invalid cast from ${type} to uint64", 410, "as_uint64")


def _check_arguments(arguments: Any, method: str, count: int) -> list[Any]:
    """Return a condenser_api method's arguments, which must be `count` (CHECK_ARG_SIZE)."""
    values = _array(arguments)
    if len(values) != count:
        raise assert_failed(
            ERROR_DURING_CALL,
            # "#s" is what the macro really writes.
            f"args.size() == {count}: Expected #s argument(s), was ${{n}}",
            {"n": len(values)},
            where=("condenser_api.cpp", 736, method),
        )
    return values


def _no_arguments(result: Callable[[], Any]) -> Method:
    """Return an appbase method without arguments: it takes an object, whatever is in it."""

    def method(arguments: Any) -> Any:
        _object(arguments)
        return result()

    return method
