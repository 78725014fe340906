"""JSON-RPC 2.0 as a public Steem node answers it: steemd 0.23 behind jussi. Pure.

jussi, the front of api.steemit.com, checks the request, limits batches and knows the old forms
(`call` with `database_api`, bare method names), which it turns into `condenser_api` calls. steemd
finds the method, converts the arguments and answers. Both write their own kind of error; the kinds
here are the recorded ones. Source: jussi's `urn.py`, `validators.py`, `errors.py`; steem's
`json_rpc_plugin.cpp`, `condenser_api.cpp`, `block_api.cpp`, `account_history_api.cpp`.
"""

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from steembot.devnode import serialize, shapes
from steembot.devnode.chain import SLOT_SECONDS, Block
from steembot.devnode.constants import CONFIG, VERSION
from steembot.devnode.view import Shown

BATCH_LIMIT = 50  # jussi's jsonrpc_batch_size_limit on api.steemit.com

# jussi's and steemd's codes, as far as they occur here.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
NO_SUCH_METHOD = -32002  # steemd: JSON_RPC_PARSE_PARAMS_ERROR
ERROR_DURING_CALL = -32003
REQUEST_TIMEOUT = 1000
UPSTREAM_RESPONSE_ERROR = 1100
INVALID_NAMESPACE = 1200
BATCH_TOO_LARGE = 1600

_REQUEST_MEMBERS = frozenset({"id", "jsonrpc", "method", "params"})
_HEADER_MEMBERS = ("previous", "timestamp", "witness", "transaction_merkle_root", "extensions")
_NO_TRANSACTION = 0xFFFFFFFF  # trx_in_block of what the block as a whole did
_NO_ID = "0" * 40
_GENESIS = serialize.timestamp_seconds(CONFIG["STEEM_GENESIS_TIME"])
_RECENT_SLOTS = 128
_NUMERIC_APIS = ("database_api", "login_api")

# fc's names of JSON's types, in its error texts.
_FC_TYPES = {dict: "object_type", list: "array_type", str: "string_type", type(None): "null_type"}


@dataclass(frozen=True, slots=True)
class RpcError(Exception):
    """An error object to be answered. data: its `data` member, or None when it has none."""

    code: int
    message: str
    data: Any = None

    def reply(self, request_id: Any) -> dict[str, Any]:
        """Return the reply to the request with this id."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "error": error, "id": request_id}


Method = Callable[[Any], Any]


def _well() -> RpcError | None:
    return None


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a node's answers differ from a healthy one's, apart from what its chain is.

    chain_id: what it names as its own. batch_limit: calls allowed in one request. spoil: code and
    message of the jussi error with which whole requests are answered; spoil_single: also those of
    a single call. fail: asked for each call; the error to answer it with, or None.
    unindexed: so many of the newest blocks have no operations in get_ops_in_block.
    """

    chain_id: str = CONFIG["STEEM_CHAIN_ID"]
    batch_limit: int = BATCH_LIMIT
    spoil: tuple[int, str] | None = None
    spoil_single: bool = True
    fail: Callable[[], RpcError | None] = _well
    unindexed: int = 0


HEALTHY = Quirks()


class Rpc:
    """Answers requests about one chain; the caller advances the chain beforehand.

    chain: what is answered about. quirks: what is odd about it. errors: numbers its errors.
    """

    def __init__(
        self, chain: Shown, quirks: Quirks = HEALTHY, *, errors: Iterator[int] | None = None
    ) -> None:
        self._chain = chain
        self._quirks = quirks
        self._errors = errors or itertools.count(1)
        config = CONFIG | {"STEEM_CHAIN_ID": quirks.chain_id}
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
                "get_version": _no_arguments(lambda: VERSION | {"chain_id": quirks.chain_id}),
            },
            "jsonrpc": {"get_methods": _no_arguments(self.method_names)},
        }

    def method_names(self) -> list[str]:
        """Return the names of all methods, sorted, as jsonrpc.get_methods answers them."""
        return [f"{api}.{name}" for api, methods in self._methods.items() for name in methods]

    def answer(self, body: bytes) -> bytes:
        """Return the body that answers a request's body; whatever was sent, an answer comes."""
        try:
            request = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            reply: Any = self._jussi_error(PARSE_ERROR, "Parse error").reply(None)
        else:
            reply = self.reply(request)
        return msgspec.json.encode(reply)

    def reply(self, request: Any) -> Any:
        """Return the reply to a parsed request: an object, or a list of them for a batch.

        Whole blocks stand in it as `msgspec.Raw`.
        """
        if self._quirks.spoil and (isinstance(request, list) or self._quirks.spoil_single):
            # What fails in jussi itself is told once for a batch, and then without an id.
            request_id = request.get("id") if isinstance(request, dict) else None
            return self._jussi_error(*self._quirks.spoil).reply(request_id)
        if not isinstance(request, list):
            if _valid(request):
                return self._call(request)
            request_id = request.get("id") if isinstance(request, dict) else None
            return self._jussi_error(INVALID_REQUEST, "Invalid Request").reply(request_id)
        if not request or not all(map(_valid, request)):
            # One bad call spoils the batch: jussi checks it as a whole.
            return self._jussi_error(INVALID_REQUEST, "Invalid Request").reply(None)
        limit = self._quirks.batch_limit
        if len(request) > limit:
            message = f"JSONRPC batch size of {len(request)} exceeds {limit}"
            return self._jussi_error(BATCH_TOO_LARGE, message).reply(None)
        return [self._call(each) for each in request]

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        request_id = request.get("id")
        try:
            if error := self._quirks.fail():
                raise error
            api, name, arguments = self._resolve(request["method"], request.get("params", {}))
            result = self._find(api, name)(arguments)
        except RpcError as error:
            return error.reply(request_id)
        return {"jsonrpc": "2.0", "result": result, "id": request_id}

    def _resolve(self, method: str, params: Any) -> tuple[str, str, Any]:
        """Return API, method and arguments that a request means (jussi's urn.py)."""
        if method != "call":
            if "." not in method:  # `get_block`: the oldest form
                return "condenser_api", method, params
            match method.split("."):
                case [api, name]:
                    return api, name, params
                case _:
                    raise _assert_failed(
                        NO_SUCH_METHOD,
                        "v.size() == 2: method specification invalid. Should be api.method",
                        where=("json_rpc_plugin.cpp", 246, "process_params"),
                    )
        match params:
            case [str() | int() as number, str(name)]:
                return _api_name(number), name, {}
            case [str() | int() as number, str(name), arguments]:
                api = _api_name(number)
                if api in ("condenser_api", "jsonrpc") or isinstance(arguments, dict):
                    return api, name, arguments
                return "condenser_api", name, arguments  # whatever API was named
            case _:
                raise self._jussi_error(INVALID_NAMESPACE, "Invalid JSONRPC method namespace call")

    def _find(self, api: str, name: str) -> Method:
        methods = self._methods.get(api)
        if methods is None:
            raise _assert_failed(
                NO_SUCH_METHOD,
                "api_itr != _registered_apis.end(): Could not find API ${api}",
                {"api": api},
                where=("json_rpc_plugin.cpp", 206, "find_api_method"),
            )
        if name not in methods:
            raise _assert_failed(
                NO_SUCH_METHOD,
                "method_itr != api_itr->second.end(): Could not find method ${method}",
                {"method": name},
                where=("json_rpc_plugin.cpp", 209, "find_api_method"),
            )
        return methods[name]

    def _jussi_error(self, code: int, message: str) -> RpcError:
        number = next(self._errors)
        ids = {"error_id": str(uuid.UUID(int=number)), "jussi_request_id": f"{number:018d}"}
        return RpcError(code, message, ids)

    # The methods.

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
            raise _assert_failed(
                ERROR_DURING_CALL,
                "args.size() == 1 || args.size() == 2: Expected 1-2 arguments, was ${n}",
                {"n": len(values)},
                where=("condenser_api.cpp", 759, "get_ops_in_block"),
            )
        only_virtual = len(values) == 2 and bool(values[1])
        operations = self._ops_in_block(_uint(values[0]), only_virtual=only_virtual)
        return [each | {"op": shapes.legacy_operation(each["op"])} for each in operations]

    def _block_api_block(self, arguments: Any) -> Any:
        block = self._chain.block(_uint(_object(arguments).get("block_num")))
        return {"block": msgspec.Raw(block.appbase_json())} if block else {}

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
        if block is None or num > self._chain.head.num - self._quirks.unindexed:
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
            key: shapes.legacy_asset(value) if isinstance(value, dict) else value
            for key, value in self._properties().items()
            if key != "id"
        }


def _valid(request: Any) -> bool:
    """Tell whether jussi takes this for a call (validate_jsonrpc_request)."""
    return (
        isinstance(request, dict)
        and request.keys() <= _REQUEST_MEMBERS
        and request.get("jsonrpc") == "2.0"
        and isinstance(request.get("method"), str)
        and isinstance(request.get("id"), int | str | float | None)
        and isinstance(request.get("params"), list | dict | None)
    )


def _api_name(api: str | int) -> str:
    if isinstance(api, str):
        return api
    return _NUMERIC_APIS[api] if 0 <= api < len(_NUMERIC_APIS) else str(api)


def _header(block: Block) -> dict[str, Any]:
    contents = block.appbase_block()
    return {key: contents[key] for key in _HEADER_MEMBERS}


# Arguments, and steemd's (fc's) complaints about them.


def _stack(text: str, data: dict[str, Any], where: tuple[str, int, str]) -> list[dict[str, Any]]:
    file, line, method = where
    context = {
        "level": "error",
        "file": file,
        "line": line,
        "method": method,
        "hostname": "",
        # fc puts the time in; a devnode that answers alike every time is easier to test against.
        "timestamp": CONFIG["STEEM_GENESIS_TIME"],
    }
    return [{"context": context, "format": text, "data": data}]


def _fill(text: str, data: dict[str, Any]) -> str:
    for key, value in data.items():
        text = text.replace(f"${{{key}}}", str(value))
    return text


def _assert_failed(
    code: int, text: str, data: dict[str, Any] | None = None, *, where: tuple[str, int, str]
) -> RpcError:
    """Return FC_ASSERT's error; `text` with ${names} that `data` fills."""
    data = data or {}
    return RpcError(
        code,
        f"Assert Exception:{_fill(text, data)}",
        {
            "code": 10,
            "name": "assert_exception",
            "message": "Assert Exception",
            "stack": _stack(text, data, where),
        },
    )


def _bad_cast(value: Any, text: str, line: int, method: str) -> RpcError:
    data = {"type": _FC_TYPES.get(type(value), "int64_type")}
    return RpcError(
        SERVER_ERROR,
        f"Bad Cast:{_fill(text, data)}",
        {
            "code": 7,
            "name": "bad_cast_exception",
            "message": "Bad Cast",
            "stack": _stack(text, data, ("variant.cpp", line, method)),
        },
    )


def _object(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    raise _bad_cast(arguments, "Invalid cast from type '${type}' to Object", 575, "get_object")


def _array(arguments: Any) -> list[Any]:
    if isinstance(arguments, list):
        return arguments
    raise _bad_cast(arguments, "Invalid cast from ${type} to Array", 537, "get_array")


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
            raise RpcError(
                SERVER_ERROR,
                "Parse Error:Couldn't parse uint64_t",
                {
                    "code": 4,
                    "name": "parse_error_exception",
                    "message": "Parse Error",
                    "stack": _stack(
                        "Couldn't parse uint64_t", {}, ("string.cpp", 113, "to_uint64")
                    ),
                },
            )
        case _:
            raise _bad_cast(value, "Invalid cast from ${type} to uint64", 410, "as_uint64")


def _check_arguments(arguments: Any, method: str, count: int) -> list[Any]:
    """Return a condenser_api method's arguments, which must be `count` (CHECK_ARG_SIZE)."""
    values = _array(arguments)
    if len(values) != count:
        raise _assert_failed(
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
