"""The generated chain: repeatable, correct in every hash and signature, and as varied as Steem."""

import hashlib
from itertools import pairwise

import coincurve
import pytest
from diff_match_patch import diff_match_patch
from hypothesis import given, settings
from hypothesis import strategies as st

from steembot.devnode import serialize
from steembot.devnode.chain import Block
from steembot.devnode.draft import key_of
from steembot.devnode.generate import GeneratedBlocks, genesis_for
from steembot.devnode.signing import Key

SEED = "tests"  # of the fixture `generated`


def blocks_of(seed, count, **settings_):
    """The first `count` blocks of a seed."""
    source = GeneratedBlocks(seed, genesis_time=1_600_000_002, **settings_)
    return [source.next(source.slots_to_next()) for _ in range(count)]


def operations(blocks):
    """Every operation with its block's number and its transaction."""
    for block in blocks:
        for transaction in block.appbase_block()["transactions"]:
            for operation in transaction["operations"]:
                yield block.num, transaction, operation["type"], operation["value"]


def recovered(signature, digest):
    """The public key that libsecp256k1 recovers from Steem's form of a signature."""
    data = bytes.fromhex(signature)
    compact = data[1:] + bytes([data[0] - 31])
    key = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    return serialize.public_key_text(key.format())


def test_same_seed_gives_the_same_chain():
    """Byte for byte, and another seed another chain."""
    first, again = blocks_of("a", 30), blocks_of("a", 30)
    assert first == again
    assert first[-1].id != blocks_of("b", 30)[-1].id


def test_genesis_time_and_first_number_count():
    """They are part of what makes a chain."""
    (block,) = blocks_of("a", 1, first_num=1000)
    assert (block.num, block.id[:8], block.previous[:8]) == (1000, "000003e8", "000003e7")
    other = GeneratedBlocks("a", genesis_time=1_700_000_001, first_num=1000).next(1)
    assert other.timestamp == 1_700_000_001
    assert other.id != block.id


def test_blocks_are_linked_by_computed_ids(generated):
    """Numbers have no gap, times are growing multiples of 3, ids are the hash of the header."""
    assert generated[0].previous == "0" * 40
    for earlier, later in pairwise(generated):
        assert later.previous == earlier.id
        assert later.num == earlier.num + 1
        assert later.timestamp > earlier.timestamp
    for block in generated:
        value = block.appbase_block()
        time = serialize.timestamp_seconds(value["timestamp"])
        assert time == block.timestamp
        assert time % 3 == 0
        header = serialize.header(
            value["previous"], time, value["witness"], value["transaction_merkle_root"]
        )
        block_id = serialize.block_id(header, value["witness_signature"], block.num)
        assert block_id == value["block_id"] == block.id
        digest = hashlib.sha256(header).digest()
        assert recovered(value["witness_signature"], digest) == value["signing_key"]
        assert value["signing_key"] == key_of(SEED, value["witness"], "signing").public


def test_transactions_have_computed_ids_and_real_signatures(generated):
    """Of everybody's own key: the ids, merkle root and references to earlier blocks are right."""
    by_num = {block.num & 0xFFFF: block for block in generated}
    for block in generated:
        value = block.appbase_block()
        assert len(set(value["transaction_ids"])) == len(value["transactions"])
        signed = []
        for trx_id, transaction in zip(
            value["transaction_ids"], value["transactions"], strict=True
        ):
            data = serialize.transaction(transaction)
            assert serialize.transaction_id(data) == trx_id
            (signature,) = transaction["signatures"]
            key = recovered(signature, serialize.transaction_digest(data))
            roles = ("posting", "active")
            account = signer(transaction["operations"][0])
            assert key in {key_of(SEED, account, role).public for role in roles}
            signed.append(serialize.signed_transaction(data, [signature]))
            if block.num > 1:
                ref = by_num[transaction["ref_block_num"]]
                assert serialize.ref_block(ref.id)[1] == transaction["ref_block_prefix"]
                assert ref.num < block.num
            expiration = serialize.timestamp_seconds(transaction["expiration"])
            assert block.timestamp < expiration < block.timestamp + 3600
        assert serialize.merkle_root(signed) == value["transaction_merkle_root"]


def signer(operation):
    """Who had to sign an operation."""
    value = operation["value"]
    if operation["type"] == "custom_json_operation":
        return value["required_posting_auths"][0]
    return next(
        value[key] for key in ("voter", "from", "owner", "account", "author") if key in value
    )


def test_has_what_a_busy_day_has(generated):
    """All kinds of operation turn up within some blocks, in about Steem's proportions."""
    kinds = {}
    for _, _, kind, _ in operations(generated):
        kinds[kind] = kinds.get(kind, 0) + 1
    total = sum(kinds.values())
    assert 30 < total / len(generated) < 50
    assert kinds["vote_operation"] / total == pytest.approx(0.43, abs=0.06)
    assert kinds["custom_json_operation"] / total == pytest.approx(0.31, abs=0.06)
    assert set(kinds) == {
        "claim_reward_balance_operation",
        "comment_operation",
        "comment_options_operation",
        "custom_json_operation",
        "limit_order_create_operation",
        "transfer_operation",
        "vote_operation",
    }
    transactions = [t for block in generated for t in block.appbase_block()["transactions"]]
    assert any(len(each["operations"]) > 1 for each in transactions)
    assert any(
        first == second for each in transactions for first, second in pairwise(each["operations"])
    )
    comments = [value for _, _, kind, value in operations(generated) if kind == "comment_operation"]
    assert any(not value["body"].isascii() for value in comments)
    assert any(value["parent_author"] for value in comments)
    assert any(not value["parent_author"] for value in comments)


def test_has_empty_blocks_and_missed_slots(generated):
    """Both happen on Steem, and both break simple clients."""
    empty = [block for block in generated if not block.appbase_block()["transactions"]]
    assert empty
    assert all(b.appbase_block()["transaction_merkle_root"] == "0" * 40 for b in empty)
    gaps = {later.timestamp - earlier.timestamp for earlier, later in pairwise(generated)}
    assert 3 in gaps
    assert any(gap >= 6 for gap in gaps)


def test_edits_apply_to_the_earlier_body(generated):
    """A diff-patch is one against the body as it was; other edits bring the whole body."""
    differ = diff_match_patch()
    bodies = {}
    patches = rewrites = 0
    for _, _, kind, value in operations(generated):
        if kind != "comment_operation":
            continue
        where = value["author"], value["permlink"]
        body = value["body"]
        if where in bodies and body.startswith("@@ "):
            body, applied = differ.patch_apply(differ.patch_fromText(body), bodies[where])
            assert applied
            assert all(applied)
            assert "Edit " in body
            patches += 1
        elif where in bodies:
            rewrites += 1
        else:
            assert not body.startswith("@@ ")
        bodies[where] = body
    assert patches
    assert rewrites


def test_votes_replies_and_options_refer_to_what_exists(generated):
    """Nobody votes on or answers a post of a later block."""
    seen = set()
    for _, _, kind, value in operations(generated):
        if kind == "comment_operation":
            if value["parent_author"]:
                assert (value["parent_author"], value["parent_permlink"]) in seen
            seen.add((value["author"], value["permlink"]))
        elif kind in ("vote_operation", "comment_options_operation"):
            assert (value["author"], value["permlink"]) in seen


def test_virtual_operations(generated):
    """Each block rewards its producer; rewards and filled orders are numbered as Steem does."""
    kinds = set()
    for block in generated:
        by_transaction = {}
        for each in block.virtual_operations():
            kinds.add(each.operation["type"])
            by_transaction.setdefault(each.trx_in_block, []).append(each.virtual_op)
        assert None in by_transaction
        for numbers in by_transaction.values():
            assert numbers == list(range(1, len(numbers) + 1))
    assert kinds >= {
        "author_reward_operation",
        "curation_reward_operation",
        "fill_order_operation",
        "producer_reward_operation",
    }


def test_operations_per_block_can_be_set():
    """None at all, few, many."""
    assert not list(operations(blocks_of("a", 20, operations=0)))
    few = len(list(operations(blocks_of("a", 40, operations=5)))) / 40
    many = len(list(operations(blocks_of("a", 40, operations=100)))) / 40
    assert 3 < few < 8
    assert 80 < many < 120


def test_rewind_goes_on_with_other_blocks():
    """The new branch is linked to the common block, and does not know the lost posts."""
    source = GeneratedBlocks("a", genesis_time=1_600_000_002)
    blocks = [source.next(source.slots_to_next()) for _ in range(20)]
    common = blocks[9]
    source.rewind(common)
    branch = [source.next(1) for _ in range(40)]
    assert branch[0].previous == common.id
    assert branch[0].id != blocks[10].id
    seen = {
        (value["author"], value["permlink"])
        for _, _, kind, value in operations(blocks[:10])
        if kind == "comment_operation"
    }
    for _, _, kind, value in operations(branch):
        if kind == "comment_operation":
            seen.add((value["author"], value["permlink"]))
        elif kind == "vote_operation":
            assert (value["author"], value["permlink"]) in seen


@given(st.text(min_size=1, max_size=5), st.integers(1, 60), st.integers(1, 10**6))
@settings(max_examples=25, deadline=None)
def test_genesis_can_be_chosen_for_the_head(seed, ready, first):
    """The `ready`th block is stamped as asked, rounded down to a slot, whatever slots missed."""
    genesis = genesis_for(seed, first, ready, 1_700_000_000)
    source = GeneratedBlocks(seed, genesis_time=genesis, first_num=first, operations=0)
    blocks: list[Block] = [source.next(source.slots_to_next()) for _ in range(ready)]
    assert blocks[-1].timestamp == 1_700_000_000 - 1_700_000_000 % 3
    assert blocks[-1].num == first + ready - 1


@given(st.text(), st.binary(max_size=40))
@settings(max_examples=150)
def test_signatures_are_canonical_and_recoverable(name, message):
    """For any key and message: libsecp256k1 recovers the key, and fc would take the signature."""
    key = Key(name)
    digest = hashlib.sha256(message).digest()
    signature = key.sign(digest)
    assert signature == key.sign(digest)
    assert recovered(signature, digest) == key.public
    data = bytes.fromhex(signature)
    # fc's is_fc_canonical, to the letter
    assert not data[1] & 0x80
    assert not (data[1] == 0 and not data[2] & 0x80)
    assert not data[33] & 0x80
    assert not (data[33] == 0 and not data[34] & 0x80)


@given(st.binary(min_size=33, max_size=33))
def test_public_keys_survive_their_text(data):
    """STM… and back."""
    key = b"\x02" + data[1:]
    assert serialize.public_key_bytes(serialize.public_key_text(key)) == key


@given(st.integers(0, 2**32 - 1))
def test_times_survive_their_text(seconds):
    """As nodes write them."""
    assert serialize.timestamp_seconds(serialize.timestamp_text(seconds)) == seconds
