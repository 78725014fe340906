"""Errors as a node writes them into its answers: jussi's codes, and what steemd's library fc says.

Source: jussi's `errors.py`, fc's `variant.cpp` and `string.cpp`, recorded errors. `where` is the
file, the line and the function that complains.
"""

from dataclasses import dataclass
from typing import Any

from steembot.devnode.constants import CONFIG

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


def assert_failed(
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


def bad_cast(value: Any, text: str, line: int, method: str) -> RpcError:
    """Return fc's error about a value of the wrong type; `text` with ${type}."""
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


def parse_error(text: str, where: tuple[str, int, str]) -> RpcError:
    """Return fc's error about text that is no number."""
    return RpcError(
        SERVER_ERROR,
        f"Parse Error:{text}",
        {
            "code": 4,
            "name": "parse_error_exception",
            "message": "Parse Error",
            "stack": _stack(text, {}, where),
        },
    )
