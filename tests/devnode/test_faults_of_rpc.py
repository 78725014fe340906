"""Faults of JSON-RPC: errors with status 200, of calls and of batches."""

import pytest

from tests.devnode.client import PROPERTIES, READY, answer_to, call, head_of, recorded


def without_ids(error):
    return {
        key: sorted(value) if isinstance(value, dict) else value for key, value in error.items()
    }


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("internal-error", -32603, "Internal Error"),
        ("request-timeout", 1000, "Request Timeout"),
        ("upstream-error", 1100, "Upstream response error"),
        ("database-lock", -32003, "Unable to acquire database lock"),
        ("server-error", -32000, "Server error"),
    ],
)
def test_json_rpc_errors(node, chaindata, fault, code, message):
    """200 with an error object, as recorded; with the request's id."""
    node.faults.set(fault)
    answer = answer_to(node.url, call(PROPERTIES, request_id=77))
    assert answer["jsonrpc"] == "2.0"
    assert answer["id"] == 77
    assert "result" not in answer
    error = answer["error"]
    assert (error["code"], error["message"]) == (code, message)
    answers = [each["response"] for each in recorded(chaindata)]
    errors = [without_ids(each["error"]) for each in answers if isinstance(each, dict)]
    if fault == "upstream-error":  # from jussi's source, where it is a sister of the first two
        assert sorted(error["data"]) == ["error_id", "jussi_request_id"]
    else:
        assert without_ids(error) in errors


@pytest.mark.parametrize("fault", ["internal-error", "request-timeout", "upstream-error"])
def test_jussis_errors_are_one_for_a_batch(node, fault):
    """A single object with id null in place of the list."""
    node.faults.set(fault)
    answer = answer_to(node.url, [call(PROPERTIES, request_id=each) for each in (1, 2)])
    assert answer["id"] is None
    assert "result" not in answer


def test_bad_batch(node):
    """A batch becomes a single error object; single calls are well."""
    node.faults.set("bad-batch")
    answer = answer_to(node.url, [call(PROPERTIES, request_id=each) for each in (1, 2)])
    assert (answer["id"], answer["error"]["code"]) == (None, -32603)
    assert head_of(node.url) == READY
    assert node.faults.struck("bad-batch") == 1


def test_batch_limit(node):
    """Above it one error, up to it answers."""
    node.faults.set("batch-limit:3")
    calls = [call("condenser_api.get_block", [num], num) for num in range(1, 5)]
    answer = answer_to(node.url, calls)
    assert answer["error"]["code"] == 1600
    assert answer["error"]["message"] == "JSONRPC batch size of 4 exceeds 3"
    assert len(answer_to(node.url, calls[:3])) == 3


@pytest.mark.parametrize("fault", ["database-lock@0.5", "server-error@0.5"])
def test_errors_of_single_calls(node, fault):
    """Some calls of a batch fail and the others don't; the seed decides which."""
    calls = [call("condenser_api.get_block", [num], num) for num in range(1, 41)]
    failed = []
    for _ in range(2):
        node.faults.set(fault)
        answers = answer_to(node.url, calls)
        assert [each["id"] for each in answers] == list(range(1, 41))
        failed.append([each["id"] for each in answers if "error" in each])
    assert failed[0] == failed[1]
    assert 5 < len(failed[0]) < 35
