"""JSON-RPC 2.0 as a public Steem node answers it: steemd 0.23 behind jussi. Pure.

jussi, the front of api.steemit.com, checks the request, limits batches and knows the old forms
(`call` with `database_api`, bare method names), which it turns into `condenser_api` calls. That
is here; steemd finds the method, converts the arguments and answers, which is in methods. Both
write their own kind of error, in rpc_errors. Source: jussi's `urn.py`, `validators.py`.
"""

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from steembot.devnode.constants import chain_id
from steembot.devnode.methods import Methods
from steembot.devnode.rpc_errors import (
    BATCH_TOO_LARGE,
    INVALID_NAMESPACE,
    INVALID_REQUEST,
    NO_SUCH_METHOD,
    PARSE_ERROR,
    RpcError,
    assert_failed,
)
from steembot.devnode.view import Shown

BATCH_LIMIT = 50  # jussi's jsonrpc_batch_size_limit on api.steemit.com

_REQUEST_MEMBERS = frozenset({"id", "jsonrpc", "method", "params"})
_NUMERIC_APIS = ("database_api", "login_api")


def _well() -> RpcError | None:
    return None


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a node's answers differ from a healthy one's, apart from what its chain is.

    chain_id: what it names as its own, where that is not its chain's. batch_limit: calls allowed in
    one request. spoil: code and message of the jussi error with which whole requests are answered;
    spoil_single: also those of a single call. fail: asked for each call; the error to answer it
    with, or None.
    unindexed: so many of the newest blocks have no operations in get_ops_in_block.
    """

    chain_id: str | None = None
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
        self._quirks = quirks
        self._errors = errors or itertools.count(1)
        named = chain_id(hive=chain.hive) if quirks.chain_id is None else quirks.chain_id
        self._methods = Methods(chain, chain_id=named, unindexed=quirks.unindexed)

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
            result = self._methods.find(api, name)(arguments)
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
                    raise assert_failed(
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

    def _jussi_error(self, code: int, message: str) -> RpcError:
        number = next(self._errors)
        ids = {"error_id": str(uuid.UUID(int=number)), "jussi_request_id": f"{number:018d}"}
        return RpcError(code, message, ids)


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
