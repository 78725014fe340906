"""JSON-RPC: what is answered, in which shape, and what goes wrong in which words."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.devnode import shapes
from steembot.devnode.chain import Chain
from steembot.devnode.generate import GeneratedBlocks
from steembot.devnode.rpc import Rpc

READY = 120


@pytest.fixture(scope="module")
def chain():
    """A chain of 120 generated blocks, LIB at 105."""
    source = GeneratedBlocks("tests", genesis_time=1_600_000_002)
    return Chain(source, start=0, ready=READY, interval_s=3)


@pytest.fixture(scope="module")
def hive_chain():
    """The same chain as Hive's nodes tell it."""
    source = GeneratedBlocks("tests", genesis_time=1_600_000_002, hive=True)
    return Chain(source, start=0, ready=READY, interval_s=3)


@pytest.fixture(scope="module")
def hive(hive_chain):
    """Ask a node of Hive and return the whole reply."""
    rpc = Rpc(hive_chain)
    return lambda method, params: json.loads(rpc.answer(msgspec.json.encode(call(method, params))))


@pytest.fixture(scope="module")
def ask(chain):
    """Ask a node and return the reply's `result`."""
    rpc = Rpc(chain)

    def ask_(method, params=None):
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        reply = json.loads(rpc.answer(msgspec.json.encode(request)))
        assert reply["jsonrpc"] == "2.0"
        assert reply["id"] == 7
        return reply["result"]

    return ask_


@pytest.fixture(scope="module")
def refuse(chain):
    """Ask a node and return the reply's `error`, whole replies where no id comes back."""
    rpc = Rpc(chain)

    def refuse_(request):
        body = request if isinstance(request, bytes) else msgspec.json.encode(request)
        reply = json.loads(rpc.answer(body))
        assert set(reply) == {"jsonrpc", "error", "id"}
        return reply["error"]

    return refuse_


def call(method, params=(), request_id=1):
    """A request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def recorded(chaindata, name):
    """Recorded requests with their answers, the latest of real Steem first."""
    with (chaindata / "rpc" / name).open() as lines:
        return [json.loads(line) for line in lines]


def shape(value):
    """A value's structure: its members in order, and the kinds of what they hold."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, str) and value.split()[-1:] in (["STEEM"], ["SBD"], ["VESTS"]):
        return value.split()[-1]
    return type(value).__name__


@pytest.mark.parametrize(
    "method", ["condenser_api.get_block", "get_block", "call"], ids=["api", "bare", "call"]
)
def test_condenser_block(ask, chain, method):
    """All old forms mean condenser_api."""
    for num in (1, 30, READY):
        params = ["database_api", "get_block", [num]] if method == "call" else [num]
        block = ask(method, params)
        assert block == json.loads(chain.block(num).condenser_json())
        for index, transaction in enumerate(block["transactions"]):
            assert transaction["transaction_id"] == block["transaction_ids"][index]
            assert transaction["block_num"] == num
            assert transaction["transaction_num"] == index


def test_block_api_block(ask, chain):
    """Wrapped in `block`; also through `call` with an object of arguments."""
    for num in (1, READY):
        answer = {"block": chain.block(num).appbase_block()}
        assert ask("block_api.get_block", {"block_num": num}) == answer
        assert ask("call", ["block_api", "get_block", {"block_num": num}]) == answer


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (1, 3, [1, 2, 3]),
        (READY, 1, [READY]),
        (READY - 1, 1000, [READY - 1, READY]),
        (1, 1000, list(range(1, READY + 1))),
        (READY + 1, 1000, []),
        (5, 0, []),
        (0, 0, []),
        (-1, 1000, []),
        ("7", "2", [7, 8]),
    ],
)
def test_range_of_blocks(hive, hive_chain, first, count, expected):
    """Up to the head; each block as block_api.get_block tells it."""
    params = {"starting_block_num": first, "count": count}
    blocks = hive("block_api.get_block_range", params)["result"]["blocks"]
    assert blocks == [hive_chain.block(num).appbase_block() for num in expected]


# What nodes of Hive answer, as their own tests have it.
@pytest.mark.parametrize(
    ("first", "count", "code", "text"),
    [
        (
            0,
            1000,
            -32003,
            (
                'Assert Exception:starting_block_num > 0 && "fetch_block_range": '
                "Invalid starting block numberrethrow"
            ),
        ),
        (
            5,
            -1,
            -32003,
            (
                'Assert Exception:count <= 1000 && "fetch_block_range": '
                "You can only ask for 1000 blocks at a timerethrow"
            ),
        ),
        (10, "count", -32000, "Parse Error:Couldn't parse uint64_t"),
    ],
)
def test_range_that_is_refused(hive, first, count, code, text):
    """Code and text are hived's."""
    reply = hive("block_api.get_block_range", {"starting_block_num": first, "count": count})
    assert (reply["error"]["code"], reply["error"]["message"]) == (code, text)


def test_steem_has_no_ranges(refuse, ask):
    """It says so as it does of any method that it does not know."""
    error = refuse(call("block_api.get_block_range", {"starting_block_num": 1, "count": 1}))
    assert error["code"] == -32002
    assert "Could not find method get_block_range" in error["message"]
    assert "block_api.get_block_range" not in ask("jsonrpc.get_methods", {})


def test_a_node_of_hive(hive, ask):
    """Its chain id has Hive's name, its assets too; numbers of assets and blocks are the same."""
    config = hive("condenser_api.get_config", [])["result"]
    assert config["HIVE_CHAIN_ID"] == "beeab0de" + "0" * 56
    assert "STEEM_CHAIN_ID" not in config
    assert hive("database_api.get_version", {})["result"]["chain_id"] == config["HIVE_CHAIN_ID"]
    assert "block_api.get_block_range" in hive("jsonrpc.get_methods", {})["result"]
    for method, params in [
        *(("condenser_api.get_block", [num]) for num in range(1, 40)),
        *(("condenser_api.get_ops_in_block", [num, False]) for num in range(1, 40)),
    ]:
        theirs, ours = hive(method, params)["result"], ask(method, params)
        assert renamed(ours) == theirs
    properties = hive("condenser_api.get_dynamic_global_properties", [])["result"]
    assert properties["virtual_supply"].endswith(" HIVE")
    params = {"block_num": 30}
    assert hive("block_api.get_block", params)["result"] == ask("block_api.get_block", params)


def renamed(value, member=""):
    """The value with Hive's names in the place of Steem's, in assets alone."""
    if isinstance(value, dict):
        return {key: renamed(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [renamed(each) for each in value]
    if member in shapes.ASSET_MEMBERS and isinstance(value, str):
        return value.replace("STEEM", "HIVE").replace("SBD", "HBD")
    return value


def test_call_with_numeric_api(ask, chain):
    """0 was database_api in steem-js's first years."""
    assert ask("call", [0, "get_block", [5]])["block_id"] == chain.block(5).id


@pytest.mark.parametrize("num", [0, READY + 1, 10**9, -1])
def test_block_that_is_not_there(ask, num):
    """Null or an empty object, as either API has it; no operations."""
    assert ask("condenser_api.get_block", [num]) is None
    assert ask("condenser_api.get_block_header", [num]) is None
    assert ask("block_api.get_block", {"block_num": num}) == {}
    assert ask("block_api.get_block_header", {"block_num": num}) == {}
    assert ask("condenser_api.get_ops_in_block", [num, False]) == []
    assert ask("account_history_api.get_ops_in_block", {"block_num": num}) == {"ops": []}


def test_block_header(ask, chain):
    """The five members of a header."""
    block = chain.block(9).appbase_block()
    names = ["previous", "timestamp", "witness", "transaction_merkle_root", "extensions"]
    header = {name: block[name] for name in names}
    assert ask("condenser_api.get_block_header", [9]) == header
    assert ask("block_api.get_block_header", {"block_num": 9}) == {"header": header}


def test_ops_in_block(ask, chain):
    """The block's own operations as they stand, then in order what the chain did itself."""
    some_filled = False
    for num in range(1, READY + 1):
        block = chain.block(num).appbase_block()
        ops = ask("account_history_api.get_ops_in_block", {"block_num": num})["ops"]
        real = [each for each in ops if not each["virtual_op"]]
        virtual = [each for each in ops if each["virtual_op"]]
        assert [each["op"] for each in real] == [
            operation for each in block["transactions"] for operation in each["operations"]
        ]
        for each in ops:
            assert list(each) == [
                "trx_id", "block", "trx_in_block", "op_in_trx", "virtual_op", "timestamp", "op",
            ]  # fmt: skip
            assert (each["block"], each["timestamp"]) == (num, block["timestamp"])
            if each["trx_in_block"] == 4294967295:
                assert each["trx_id"] == "0" * 40
                assert each["virtual_op"]
            else:
                assert each["trx_id"] == block["transaction_ids"][each["trx_in_block"]]
                some_filled |= bool(each["virtual_op"])
        order = [(each["trx_in_block"], each["virtual_op"]) for each in ops]
        assert order == sorted(order)
        assert len(virtual) == len(chain.block(num).virtual_operations())
        only = ask("account_history_api.get_ops_in_block", {"block_num": num, "only_virtual": True})
        assert only["ops"] == virtual
        legacy = ask("condenser_api.get_ops_in_block", [num, False])
        assert [each["op"][0] + "_operation" for each in legacy] == [
            each["op"]["type"] for each in ops
        ]
        assert ask("condenser_api.get_ops_in_block", [num, True]) == [
            each for each in legacy if each["virtual_op"]
        ]
        assert ask("condenser_api.get_ops_in_block", [num]) == legacy
    assert some_filled


def test_properties_follow_the_chain(ask, chain):
    """Head, time, witness, irreversible block and filled slots are the chain's."""
    properties = ask("condenser_api.get_dynamic_global_properties", [])
    assert properties["head_block_number"] == READY
    assert properties["head_block_id"] == chain.head.id
    assert properties["time"] == chain.head.appbase_block()["timestamp"]
    assert properties["current_witness"] == chain.head.witness
    assert properties["last_irreversible_block_num"] == READY - 15
    missed = chain.slots + 1 - READY
    assert missed > 0
    assert properties["participation_count"] == 128 - missed
    assert int(properties["recent_slots_filled"]).bit_count() == 128 - missed


def test_properties_equal_the_recorded_shape(ask, chaindata):
    """The same members in the same order, of the same kinds."""
    answered = ask("condenser_api.get_dynamic_global_properties", [])
    for record in recorded(chaindata, "get_dynamic_global_properties.jsonl"):
        if record["request"]["method"].startswith("condenser_api."):
            real = record["response"]["result"]
            assert list(answered) == list(real)
            assert shape(answered) == shape(real)
            # The rule by which Steem's time counts slots.
            assert (
                answered["current_aslot"] - real["current_aslot"]
                == seconds_between(real["time"], answered["time"]) / 3
            )
    appbase = ask("database_api.get_dynamic_global_properties", {})
    assert list(appbase) == ["id", *answered]
    assert appbase["current_sbd_supply"]["nai"] == "@@000000013"


def seconds_between(earlier, later):
    """Seconds between two of a node's times."""
    from datetime import datetime  # noqa: PLC0415

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def test_config_equals_the_recorded_one(ask, chaindata):
    """Every constant of Steem 0.23.0."""
    (real,) = (
        record["response"]["result"]
        for record in recorded(chaindata, "get_config.jsonl")
        if record["response"]["result"].get("STEEM_BLOCKCHAIN_VERSION") == "0.23.0"
    )
    assert list(ask("condenser_api.get_config", []).items()) == list(real.items())
    assert ask("database_api.get_config", {}) == real
    assert ask("call", ["database_api", "get_config", []]) == real


def test_version_equals_the_recorded_shape(ask, chaindata):
    """The version is that of the config."""
    answered = ask("condenser_api.get_version", [])
    for record in recorded(chaindata, "get_version.jsonl"):
        assert shape(answered) == shape(record["response"]["result"])
    assert answered["blockchain_version"] == "0.23.0"
    assert ask("database_api.get_version", {}) == answered | {"chain_id": "0" * 64}


def test_method_names(ask, chaindata):
    """Sorted, and real ones."""
    names = ask("jsonrpc.get_methods", {})
    assert names == sorted(names)
    known = set()
    for record in recorded(chaindata, "get_methods.jsonl"):
        known.update(record["response"]["result"])
    assert set(names) <= known


def without_place(error):
    """An error without the place in the C++ source and the time."""
    data = error.get("data")
    if isinstance(data, dict):
        for frame in data.get("stack", []):
            del frame["context"]
        for name in ("error_id", "jussi_request_id", "request"):
            data.pop(name, None)
    return error


@pytest.mark.parametrize(
    ("real", "ours"),
    [
        (("condenser_api.get_account_bandwidth", []), None),
        (("condenser_api.get_active_votes", []), ("condenser_api.get_block", [])),
        (("follow_api.get_following", "cosgrove"), None),
        (("market_history_api.get_market_history", None), ("block_api.get_block", None)),
        (
            ("condenser_api.get_comment_discussions_by_payout", [[None]]),
            ("database_api.get_config", []),
        ),
    ],
)
def test_errors_equal_the_recorded_ones(refuse, chaindata, real, ours):
    """The error objects of steemd and jussi, save ids, times and places in the source."""
    errors = [
        record["response"]["error"]
        for record in recorded(chaindata, "failures.jsonl")
        if isinstance(record.get("response"), dict)
        and (record.get("request") or {}).get("method") == real[0]
        and record["request"]["params"] == real[1]
    ]
    assert errors
    answered = json.dumps(without_place(refuse(call(*(ours or real)))))
    if ours == ("condenser_api.get_block", []):
        answered = answered.replace("args.size() == 1", "args.size() == 2")
    assert json.loads(answered) in [without_place(error) for error in errors]


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (b"", -32700, "Parse error"),
        (b"{", -32700, "Parse error"),
        (b"\xff\xfe", -32700, "Parse error"),
        (b'"hello"', -32600, "Invalid Request"),
        (b"[]", -32600, "Invalid Request"),
        (b"{}", -32600, "Invalid Request"),
        (call("condenser_api.get_config") | {"jsonrpc": "1.0"}, -32600, "Invalid Request"),
        (call("condenser_api.get_config") | {"extra": 1}, -32600, "Invalid Request"),
        (call(5), -32600, "Invalid Request"),
        (call("condenser_api.get_config", "x"), -32600, "Invalid Request"),
        (call("condenser_api.get_config", [], {}), -32600, "Invalid Request"),
        ([call("condenser_api.get_config"), 5], -32600, "Invalid Request"),
        (call("nothing_api.get_block"), -32002, "Could not find API nothing_api"),
        (call("condenser_api.nothing"), -32002, "Could not find method nothing"),
        (call("nothing"), -32002, "Could not find method nothing"),
        (call("a.b.c"), -32002, "Should be api.method"),
        (call("call", ["database_api"]), 1200, "namespace call"),
        (call("call", {}), 1200, "namespace call"),
        (call("condenser_api.get_block", [1, 2]), -32003, "== 1: Expected #s argument(s), was 2"),
        (call("condenser_api.get_config", [1]), -32003, "== 0: Expected #s argument(s), was 1"),
        (call("condenser_api.get_block", {}), -32000, "from object_type to Array"),
        (call("condenser_api.get_block", [[]]), -32000, "from array_type to uint64"),
        (call("condenser_api.get_block", ["x"]), -32000, "Couldn't parse uint64_t"),
        (call("condenser_api.get_ops_in_block", []), -32003, "Expected 1-2 arguments, was 0"),
        (call("block_api.get_block", [1]), -32000, "'array_type' to Object"),
        (call("database_api.get_block", [1]), -32002, "Could not find method get_block"),
    ],
)  # fmt: skip
def test_what_is_refused(refuse, request_, code, text):
    """Each wrong request gets its error, none an exception."""
    error = refuse(request_)
    assert error["code"] == code
    assert msgspec.json.encode(error)
    assert text in error["message"]


def test_batch(chain):
    """Answers stand in the order of the calls; one that fails leaves the others alone."""
    rpc = Rpc(chain)
    calls = [call("condenser_api.get_block", [num], num) for num in range(1, 50)]
    calls.append(call("condenser_api.nothing", [], "last"))
    replies = json.loads(rpc.answer(msgspec.json.encode(calls)))
    assert [reply["id"] for reply in replies] == [*range(1, 50), "last"]
    assert all(reply["result"]["block_id"] == chain.block(reply["id"]).id for reply in replies[:-1])
    assert replies[-1]["error"]["code"] == -32002


def test_batch_above_the_limit(refuse):
    """One error object for all, as jussi answers; data has its ids."""
    error = refuse([call("condenser_api.get_config")] * 51)
    assert error["code"] == 1600
    assert error["message"] == "JSONRPC batch size of 51 exceeds 50"
    assert set(error["data"]) == {"error_id", "jussi_request_id"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)  # fmt: skip
methods = st.sampled_from(
    [
        "account_history_api.get_ops_in_block",
        "block_api.get_block",
        "block_api.get_block_range",
        "call",
        "condenser_api.get_block",
        "condenser_api.get_ops_in_block",
        "database_api.get_config",
        "get_block",
        "jsonrpc.get_methods",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        json_values,
        st.builds(call, methods, json_values),
        st.builds(call, st.just("call"), st.tuples(json_values, json_values, json_values)),
    )
)
def test_any_request_gets_an_answer(chain, hive_chain, request_):
    """Whatever JSON comes in, a reply with the request's id comes out, never an exception."""
    body = msgspec.json.encode(request_)
    assert json.loads(Rpc(hive_chain).answer(body))
    reply = json.loads(Rpc(chain).answer(body))
    for each in reply if isinstance(reply, list) else [reply]:
        assert set(each) in ({"jsonrpc", "result", "id"}, {"jsonrpc", "error", "id"})


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_get_an_answer(chain, body):
    """The same for bytes that need not be JSON."""
    assert json.loads(Rpc(chain).answer(body))


def test_fork_changes_the_answers():
    """A replaced block is answered anew, nothing old is remembered."""
    source = GeneratedBlocks("tests", genesis_time=1_600_000_002, operations=3)
    chain = Chain(source, start=0, ready=30, interval_s=3)
    rpc = Rpc(chain)
    before = rpc.answer(msgspec.json.encode(call("condenser_api.get_block", [30])))
    fork = chain.fork(1)
    after = json.loads(rpc.answer(msgspec.json.encode(call("condenser_api.get_block", [30]))))
    assert json.loads(before)["result"]["block_id"] == fork.removed[0].id
    assert after["result"]["block_id"] == fork.added[0].id
