"""Clients that nobody here wrote take the devnode for a Steem node.

beem (Python), and from npm dsteem (the old `call` form) and dhive (condenser_api's own names).
The npm packages are installed once into the user's cache.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from steembot.devnode import serialize
from steembot.devnode.draft import key_of

PACKAGES = ("dsteem@0.11.3", "@hiveio/dhive@1.3.6")
INSTALL_TIMEOUT_S = 120
RUN_TIMEOUT_S = 120
FIRST, LAST = 1, 60

# beem 0.24 and what it needs warn about themselves: invalid escapes, sessions never closed.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def expected(generated):
    """(block, type, value) of every operation of blocks FIRST to LAST, in the condenser's shape."""
    return [
        (block.num, *operation)
        for block in generated[FIRST - 1 : LAST]
        for transaction in json.loads(block.condenser_json())["transactions"]
        for operation in transaction["operations"]
    ]


@pytest.fixture
def blockchain(still_node):
    """Beem's Blockchain on the devnode."""
    from beem import Steem  # noqa: PLC0415 - it warns while it is imported
    from beem.blockchain import Blockchain  # noqa: PLC0415

    steem = Steem(node=[still_node.url], num_retries=1, num_retries_call=1, timeout=RUN_TIMEOUT_S)
    return Blockchain(blockchain_instance=steem, mode="head")


WAYS = [
    pytest.param({}, id="single"),
    pytest.param({"max_batch_size": 50}, id="batch"),
    pytest.param({"threading": True, "thread_num": 4}, id="threads"),
]


@pytest.mark.parametrize("way", WAYS)
def test_beem_streams_exactly_the_operations(blockchain, generated, way):
    """Each operation of the chain, in order, in all three ways that beem has."""
    streamed = [
        (each["block_num"], each["trx_id"], each["type"] + "_operation", each)
        for each in blockchain.stream(start=FIRST, stop=LAST, raw_ops=False, **way)
    ]
    chain = [
        (block.num, trx_id, operation["type"], operation["value"])
        for block in generated[FIRST - 1 : LAST]
        for value in [block.appbase_block()]
        for trx_id, transaction in zip(value["transaction_ids"], value["transactions"], strict=True)
        for operation in transaction["operations"]
    ]
    assert [each[:3] for each in streamed] == [each[:3] for each in chain]
    for (*_, got), (*_, value) in zip(streamed, chain, strict=True):
        assert {key: got[key] for key in value} == value


@pytest.mark.parametrize("way", WAYS)
def test_beem_blocks(blockchain, generated, way):
    """Block by block, ids and times included."""
    blocks = list(blockchain.blocks(start=FIRST, stop=LAST, **way))
    assert [block.block_num for block in blocks] == list(range(FIRST, LAST + 1))
    assert [block["block_id"] for block in blocks] == [each.id for each in generated[:LAST]]
    assert [int(block.time().timestamp()) for block in blocks] == [
        each.timestamp for each in generated[:LAST]
    ]


def test_beem_virtual_operations(blockchain, generated):
    """What the chain did itself, in its order."""
    got = [
        (each["block_num"], each["type"] + "_operation")
        for each in blockchain.stream(start=FIRST, stop=20, only_virtual_ops=True)
    ]
    assert got == [
        (block.num, each.operation["type"])
        for block in generated[:20]
        for each in sorted(
            block.virtual_operations(),
            key=lambda each: (
                1 << 32 if each.trx_in_block is None else each.trx_in_block,
                each.virtual_op,
            ),
        )
    ]


def test_beem_knows_the_chain(blockchain, still_node):
    """It connects without a hint: Steem, its prefix and id; head, participation, properties."""
    steem = blockchain.blockchain
    network = steem.get_network(use_stored_data=False)
    assert (steem.prefix, network["chain_id"]) == ("STM", "0" * 64)
    assert steem.is_steem
    assert steem.get_blockchain_version(use_stored_data=False) == "0.23.0"
    assert blockchain.get_current_block_num() == still_node.chain.head.num
    assert 0.8 < blockchain.participation_rate < 1
    properties = steem.get_dynamic_global_properties(use_stored_data=False)
    assert properties["head_block_id"] == still_node.chain.head.id
    assert blockchain.block_timestamp(5) == still_node.chain.block(5).timestamp


def test_beem_verifies_the_signatures(generated):
    """Its own serialization and cryptography give the ids and recover the signers' keys."""
    from beembase.signedtransactions import Signed_Transaction  # noqa: PLC0415
    from beemgraphenebase.account import PublicKey  # noqa: PLC0415

    kinds = set()
    for block in generated[:60]:
        value = json.loads(block.condenser_json())
        for transaction in value["transactions"]:
            (kind, content), *_ = transaction["operations"]
            trx = Signed_Transaction(
                ref_block_num=transaction["ref_block_num"],
                ref_block_prefix=transaction["ref_block_prefix"],
                expiration=transaction["expiration"],
                operations=transaction["operations"],
                extensions=[],
                signatures=transaction["signatures"],
            )
            assert trx.id == transaction["transaction_id"]
            if kind in kinds:
                continue  # beem's pure Python needs 50 ms for a signature: one of each kind
            kinds.add(kind)
            role = "active" if kind in ("transfer", "limit_order_create") else "posting"
            account = (
                content["required_posting_auths"][0]
                if kind == "custom_json"
                else content[SIGNERS[kind]]
            )
            key = PublicKey(key_of("tests", account, role).public)
            trx.verify(pubkeys=[key], chain="STEEM")
    assert kinds >= set(SIGNERS)


SIGNERS = {
    "claim_reward_balance": "account",
    "comment": "author",
    "limit_order_create": "owner",
    "transfer": "from",
    "vote": "voter",
}


@pytest.fixture(scope="session")
def npm():
    """A folder with the npm clients installed, and how to run a script there."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = "-".join(package.replace("/", "_") for package in PACKAGES)
    folder = cache / "steembot-tests" / name
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        try:
            subprocess.run(
                ["npm", "install", *options, *PACKAGES],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT_S,
            )
        except subprocess.SubprocessError as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            pytest.skip(f"npm could not install {' '.join(PACKAGES)}: {reason[:1]}")
        done.touch()

    def run(script, *arguments):
        result = subprocess.run(
            ["node", "-e", script, *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


def client(package):
    """The script that makes a client of a package."""
    node_argument = "[url]" if "dhive" in package else "url"
    return f"""
        const lib = require('{package}');
        const [url, from, to] = process.argv.slice(1);
        const client = new lib.Client({node_argument}, {{
            timeout: 10000, chainId: '0'.repeat(64), addressPrefix: 'STM'}});
        const say = (value) => console.log(JSON.stringify(value));
    """


@pytest.mark.parametrize("package", ["dsteem", "@hiveio/dhive"])
def test_npm_client_streams_exactly_the_operations(npm, still_node, expected, package):
    """Its own operation stream, which asks for get_ops_in_block, gives the block's operations."""
    script = (
        client(package)
        + """
        (async () => {
            const options = {from: +from, to: +to, mode: lib.BlockchainMode.Latest};
            for await (const each of client.blockchain.getOperations(options))
                if (!each.virtual_op) say([each.block, each.op[0], each.op[1]]);
        })();
    """
    )
    assert npm(script, still_node.url, FIRST, LAST) == [list(each) for each in expected]


@pytest.mark.parametrize("package", ["dsteem", "@hiveio/dhive"])
def test_npm_client_streams_blocks(npm, still_node, generated, package):
    """Its own block stream gives every block."""
    script = (
        client(package)
        + """
        (async () => {
            const options = {from: +from, to: +to, mode: lib.BlockchainMode.Latest};
            for await (const block of client.blockchain.getBlocks(options)) say(block);
        })();
    """
    )
    want = [json.loads(block.condenser_json()) for block in generated[FIRST - 1 : LAST]]
    assert npm(script, still_node.url, FIRST, LAST) == want


def test_dsteem_verifies_the_signatures(npm, still_node, generated):
    """Its cryptography recovers the signer's key (dhive's knows Hive's operations only)."""
    package = "dsteem"
    script = (
        client(package)
        + """
        (async () => {
            const options = {from: +from, to: +to, mode: lib.BlockchainMode.Latest};
            for await (const block of client.blockchain.getBlocks(options)) {
                const keys = block.transactions.slice(0, 3).map((trx) => {
                    const plain = {ref_block_num: trx.ref_block_num,
                        ref_block_prefix: trx.ref_block_prefix, expiration: trx.expiration,
                        operations: trx.operations, extensions: trx.extensions};
                    const digest = lib.cryptoUtils.transactionDigest(plain, client.chainId);
                    return lib.Signature.fromString(trx.signatures[0])
                        .recover(digest, 'STM').toString();
                });
                say([block.block_id, keys]);
            }
        })();
    """
    )
    got = npm(script, still_node.url, FIRST, 20)
    want = []
    for block in generated[:20]:
        keys = []
        for transaction in block.appbase_block()["transactions"][:3]:
            value = transaction["operations"][0]["value"]
            keys.append(signer_key(value))
        want.append([block.id, keys])
    assert got == want


def signer_key(value):
    """The text of the key that signed a transaction whose first operation has this value."""
    if "required_posting_auths" in value:
        return key_of("tests", value["required_posting_auths"][0], "posting").public
    role = "active" if "from" in value or "orderid" in value else "posting"
    name = next(key for key in ("voter", "from", "owner", "account", "author") if key in value)
    return key_of("tests", value[name], role).public


def test_npm_client_sees_the_head(npm, still_node):
    """Properties and config, in the words of each client."""
    for package in ("dsteem", "@hiveio/dhive"):
        script = (
            client(package)
            + """
            (async () => {
                const {head_block_number} = await client.database.getDynamicGlobalProperties();
                const config = await client.database.getConfig();
                const header = await client.database.getBlockHeader(head_block_number);
                say([head_block_number, config.STEEM_CHAIN_ID, header.previous]);
            })();
        """
        )
        head = still_node.chain.head
        chain_id = serialize.CHAIN_ID.hex()
        assert npm(script, still_node.url, 0, 0) == [[head.num, chain_id, head.previous]]
