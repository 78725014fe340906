"""Operations of ``block_api`` in the shape of ``condenser_api``: the same for bots, or an error."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.chain.appbase import converted
from steembot.chain.profiles import PROFILES
from steembot.devnode import shapes
from steembot.devnode.generate import GeneratedBlocks
from steembot.errors import UnknownShapeError
from tests.conftest import GENESIS

STEEM = PROFILES["steem"].symbols
HIVE = PROFILES["hive"].symbols
NAIS = {"HBD": ("@@000000013", 3), "HIVE": ("@@000000021", 3), "VESTS": ("@@000000037", 6)}


def body(value) -> bytes:
    """As hived writes JSON: nothing between the parts, letters of other scripts as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def asset(amount: int, symbol: str) -> dict[str, object]:
    nai, precision = NAIS[symbol]
    return {"amount": str(amount), "precision": precision, "nai": nai}


def recorded(chaindata, name: str):
    """The operations of a file of recorded blocks, in its order."""
    for line in (chaindata / "blocks" / f"{name}.jsonl").read_text().splitlines():
        record = json.loads(line)
        for transaction in record.get("block", record)["transactions"]:
            yield from transaction["operations"]


def read(operation, symbols) -> list[object]:
    kind, value = converted(operation["type"], body(operation["value"]), symbols)
    return [kind, json.loads(value)]


def test_real_operations_are_what_condenser_api_answered(chaindata):
    """The same real blocks were recorded in both shapes: 17 types of operations."""
    appbase = list(recorded(chaindata, "steem_2017_2020.block_api"))
    condenser = list(recorded(chaindata, "steem_2017_2020.recorded"))
    assert len({kind for kind, _ in condenser}) == 17
    assert [read(operation, STEEM) for operation in appbase] == condenser


def test_operations_of_a_hive_node_are_what_the_devnode_makes_of_them(chaindata):
    """Which is written apart from it; among them proof of work with its 64-bit nonce."""
    operations = list(recorded(chaindata, "steem_1000000_1000999.block_api"))
    assert len({operation["type"] for operation in operations}) == 9
    for operation in operations:
        assert read(operation, STEEM) == shapes.legacy_operation(operation)


def test_generated_operations_are_what_the_devnode_makes_of_them():
    """Virtual ones too."""
    source = GeneratedBlocks("appbase", genesis_time=GENESIS)
    kinds = set()
    for block in (source.next(1) for _ in range(60)):
        transactions = block.appbase_block()["transactions"]
        operations = [each for one in transactions for each in one["operations"]]
        operations += [each.operation for each in block.virtual_operations()]
        for operation in operations:
            assert read(operation, STEEM) == shapes.legacy_operation(operation)
            kinds.add(operation["type"])
    assert {"comment_options_operation", "transfer_operation", "author_reward_operation"} < kinds


# As nodes of Hive write them, which its own tests expect.
VARIANTS = [
    (
        "comment_options",
        {
            "max_accepted_payout": asset(10_000, "HBD"),
            "percent_hbd": 10,
            "extensions": [
                {
                    "type": "comment_payout_beneficiaries",
                    "value": {"beneficiaries": [{"account": "bob", "weight": 100}]},
                }
            ],
        },
        {
            "max_accepted_payout": "10.000 HBD",
            "percent_hbd": 10,
            "extensions": [[0, {"beneficiaries": [{"account": "bob", "weight": 100}]}]],
        },
    ),
    (
        "update_proposal",
        {
            "proposal_id": 0,
            "daily_pay": asset(10_000, "HBD"),
            "extensions": [
                {
                    "type": "update_proposal_end_date",
                    "value": {"end_date": "2031-05-01T00:00:00"},
                }
            ],
        },
        {
            "proposal_id": 0,
            "daily_pay": "10.000 HBD",
            "extensions": [[1, {"end_date": "2031-05-01T00:00:00"}]],
        },
    ),
    (
        "recurrent_transfer",
        {
            "amount": asset(1, "HIVE"),
            "extensions": [{"type": "recurrent_transfer_pair_id", "value": {"pair_id": 7}}],
        },
        {"amount": "0.001 HIVE", "extensions": [[1, {"pair_id": 7}]]},
    ),
    (
        "pow2",
        {
            "work": {"type": "pow2", "value": {"input": {"nonce": "18446744073709551615"}}},
            "props": {"account_creation_fee": asset(1, "HIVE")},
        },
        {
            "work": [0, {"input": {"nonce": "18446744073709551615"}}],
            "props": {"account_creation_fee": "0.001 HIVE"},
        },
    ),
    (
        "pow2",
        {"work": {"type": "equihash_pow", "value": {"pow_summary": 4294967295}}},
        {"work": [1, {"pow_summary": 4294967295}]},
    ),
    ("comment_options", {"extensions": []}, {"extensions": []}),
    (
        "feed_publish",
        {"exchange_rate": {"base": asset(250, "HBD"), "quote": asset(1000, "HIVE")}},
        {"exchange_rate": {"base": "0.250 HBD", "quote": "1.000 HIVE"}},
    ),
]


@pytest.mark.parametrize(("kind", "value", "expected"), VARIANTS)
@pytest.mark.parametrize("spaces", [False, True])
def test_variants_and_assets_within(kind, value, expected, spaces):
    """Numbered by their type's name, in whatever way the JSON is written."""
    given_body = json.dumps(value, sort_keys=True, indent=2).encode() if spaces else body(value)
    name, got = converted(f"{kind}_operation", given_body, HIVE)
    assert (name, json.loads(got)) == (kind, expected)


def test_members_that_need_nothing_keep_their_bytes():
    """Only the asset's member is written anew."""
    before = b'{"from":"\\u0061","amount":' + body(asset(1, "HIVE")) + b',"memo":"\\/ 1.50e3"}'
    after = b'{"from":"\\u0061","amount":"0.001 HIVE","memo":"\\/ 1.50e3"}'
    assert converted("transfer_operation", before, HIVE) == ("transfer", after)


@given(amount=st.integers(0, 2**63 - 1), symbol=st.sampled_from(sorted(NAIS)))
def test_an_asset_is_its_amount_with_its_decimals(amount, symbol):
    """Never rounded, however large."""
    value = body({"amount": asset(amount, symbol)})
    text = json.loads(converted("transfer_operation", value, HIVE)[1])["amount"]
    number, _, name = text.partition(" ")
    assert name == symbol
    assert Decimal(number).scaleb(NAIS[symbol][1]) == amount
    assert len(number.partition(".")[2]) == NAIS[symbol][1]
    assert text == shapes.legacy_asset(asset(amount, symbol)).replace("STEEM", "HIVE").replace(
        "SBD", "HBD"
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (-1_000_000, "-1.000000"),
        (-1_500_000, "-1.00000"),
        (-1, "0.99999"),
        (-(2**63), "-9223372036854.24192"),
    ],
)
def test_below_zero_it_is_what_cpp_makes_of_it(amount, text):
    """withdraw_vesting once took such amounts; what is no whole number of VESTS comes out odd."""
    value = body({"vesting_shares": asset(amount, "VESTS")})
    got = json.loads(converted("withdraw_vesting_operation", value, HIVE)[1])
    assert got == {"vesting_shares": f"{text} VESTS"}


TEXTS = st.one_of(
    st.text(alphabet='nai"\\{}:,\n\u20ac', max_size=20),
    st.sampled_from(
        [
            "nai",
            '{"nai":"x"}',
            '{"type":"a","value":{}}',
            "1.000 HIVE",
            '{"amount":"1","precision":3,"nai":"@@000000021"}',
        ]
    ),
)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**31), 2**32), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "amount", "value"]), inner, max_size=3),
    ),
    max_leaves=10,
)


@given(value=st.dictionaries(st.sampled_from(["json", "memo", "weight", "keys"]), PLAIN))
def test_whatever_is_neither_asset_nor_variant_stays_as_it_is(value):
    """A text that looks like one is a text."""
    name, got = converted("custom_json_operation", body(value), HIVE)
    assert (name, json.loads(got)) == ("custom_json", value)


def test_a_body_with_neither_is_not_even_read():
    """custom_json holds JSON as a text, so its quotes have a backslash before them."""
    value = body({"id": "x", "json": json.dumps({"type": "t", "nai": 1})})
    assert converted("custom_json_operation", value, HIVE)[1] is value
    assert converted("custom_json_operation", b"rubbish", HIVE)[1] == b"rubbish"


ASSET = asset(1, "HIVE")


@pytest.mark.parametrize(
    "value",
    [
        {"amount": ASSET | {"nai": "@@000000099"}},
        {"amount": ASSET | {"precision": 6}},
        {"amount": ASSET | {"precision": "3"}},
        {"amount": ASSET | {"amount": 1}},
        {"amount": ASSET | {"amount": "1.0"}},
        {"amount": ASSET | {"amount": "+1"}},
        {"amount": ASSET | {"amount": "01"}},
        {"amount": ASSET | {"amount": "-0"}},
        {"amount": ASSET | {"amount": "\u0661"}},
        {"amount": ASSET | {"decimals": 3}},
        {"symbol": {"nai": "@@000000021", "decimals": 3}},
        {"nai": "@@000000021"},
        {"extensions": [{"type": "void_t", "value": {}}]},
        {"extensions": [{"type": 0, "value": {}}]},
        {"extensions": {"a": {"type": "comment_payout_beneficiaries", "value": {}}}},
        {"extensions": [[{"type": "comment_payout_beneficiaries", "value": {}}]]},
        {"other": [{"type": "comment_payout_beneficiaries", "value": {}}]},
        {"type": "vote_operation", "value": {}},
        [{"nai": 1}],
        "nai",
    ],
)
def test_what_is_not_known_for_sure_is_not_guessed(value):
    """It raises, and names the operation."""
    with pytest.raises(UnknownShapeError, match="comment_options"):
        converted("comment_options_operation", body(value), HIVE)


@pytest.mark.parametrize("given_body", [b'{"nai"', b'{"a":{"nai":1}} x', b'{"a":"nai" \xff}'])
def test_a_body_that_cannot_be_read_is_not_understood(given_body):
    """Nothing but one kind of error comes out."""
    with pytest.raises(UnknownShapeError):
        converted("transfer_operation", given_body, HIVE)


def test_each_operation_type_ends_so():
    """A name without ``_operation`` is of something else."""
    with pytest.raises(UnknownShapeError, match="'vote'"):
        converted("vote", b"{}", HIVE)
