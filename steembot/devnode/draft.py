"""What people do in one generated block: its transactions, as clients write and sign them.

The mix of operations and their shapes follow recorded blocks; the words are made up. Everything is
drawn from the block's own generator, in a fixed order.
"""

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from diff_match_patch import diff_match_patch  # type: ignore[import-untyped, unused-ignore]

from steembot.devnode import serialize
from steembot.devnode.chain import Block, VirtualOperation
from steembot.devnode.shapes import asset
from steembot.devnode.signing import Key
from steembot.devnode.words import SENTENCES, TAGS, TITLES

EMPTY_BLOCKS = 0.03  # share of blocks without an operation
EXPIRATION_SECONDS = 60

_WITNESSES = tuple(f"{name}.witness" for name in "abcdefghijklmnopqrstu")  # 21, as on Steem
_differ = diff_match_patch()
_differ.Diff_Timeout = 0  # a time limit would let the machine's load decide what is generated


@dataclass(frozen=True, slots=True)
class Post:
    """A post or reply to vote on, answer and edit; num: the block of its last edit."""

    num: int
    parent_author: str
    parent_permlink: str
    author: str
    permlink: str
    title: str
    body: str
    json_metadata: str

    def operation(self, body: str) -> dict[str, Any]:
        """Return the comment operation that publishes it, or edits it, with this body."""
        return {
            "type": "comment_operation",
            "value": {
                "parent_author": self.parent_author,
                "parent_permlink": self.parent_permlink,
                "author": self.author,
                "permlink": self.permlink,
                "title": self.title,
                "body": body,
                "json_metadata": self.json_metadata,
            },
        }


@lru_cache(maxsize=2048)
def key_of(seed: str, account: str, role: str) -> Key:
    """Return the key of an account in the chain of a seed; role: posting, active or signing."""
    return Key(f"steembot devnode {seed} {account} {role}")


class Draft:
    """One block while it is being filled.

    rng: decides all of it. seed: what keys follow from. num, time: the block's. accounts: who acts.
    posts: what they vote on, answer and edit; an edited one is taken out. ref_id: the block that
    its transactions refer to. hive: it is one of Hive's.

    published: the posts that it has or edits, to be remembered once it is sealed.
    """

    def __init__(
        self,
        *,
        rng: Random,
        seed: str,
        num: int,
        time: int,
        accounts: tuple[str, ...],
        posts: deque[Post],
        ref_id: str,
        hive: bool,
    ) -> None:
        self._rng = rng
        self._hive = hive
        self._seed = seed
        self._num = num
        self._time = time
        self._accounts = accounts
        self._posts = posts
        self._ref_num, self._ref_prefix = serialize.ref_block(ref_id)
        self._transactions: list[dict[str, Any]] = []
        self._ids: list[str] = []
        self._signed: list[bytes] = []
        self._virtual: list[VirtualOperation] = []
        self._serial = 0
        self.published: list[Post] = []

    def fill(self, mean: int) -> None:
        """Put in transactions until there are about `mean` operations."""
        if not mean or self._rng.random() < EMPTY_BLOCKS:
            return
        wanted = max(1, round(self._rng.gauss(mean, mean / 3)))
        count = 0
        while count < wanted:
            (make,) = self._rng.choices(_MAKERS, cum_weights=_CUMULATIVE)
            count += make(self)

    def seal(self, previous: str) -> Block:
        """Return the finished, signed block."""
        witness = _WITNESSES[self._num % len(_WITNESSES)]
        key = key_of(self._seed, witness, "signing")
        root = serialize.merkle_root(self._signed)
        header = serialize.header(previous, self._time, witness, root)
        signature = key.sign(serialize.header_digest(header))
        block = {
            "previous": previous,
            "timestamp": serialize.timestamp_text(self._time),
            "witness": witness,
            "transaction_merkle_root": root,
            "extensions": [],
            "witness_signature": signature,
            "transactions": self._transactions,
            "block_id": serialize.block_id(header, signature, self._num),
            "signing_key": key.public,
            "transaction_ids": self._ids,
        }
        self._reward(witness)
        return Block.of(self._num, self._time, block, self._virtual, hive=self._hive)

    # One transaction each; the answer is how many operations it has.

    def _vote(self) -> int:
        if not self._posts:
            return self._post()
        voter, post = self._account(), self._a_post()
        weight = self._rng.choice((10000, 10000, 10000, 5000, 1000, 100, -10000))
        return self._add(voter, "posting", _vote_operation(voter, post, weight))

    def _custom_json(self) -> int:
        account = self._account()
        return self._add(account, "posting", self._custom_json_operation(account))

    def _post(self) -> int:
        rng, author = self._rng, self._account()
        title = rng.choice(TITLES)
        tags = rng.sample(TAGS, 3)
        post = Post(
            num=self._num,
            parent_author="",
            parent_permlink=tags[0],
            author=author,
            permlink=f"{_slug(title)}-{self._unique()}",
            title=title,
            body=self._text(rng.randrange(6, 30)),
            json_metadata=_compact({"tags": tags, "app": "steemit/0.2", "format": "markdown"}),
        )
        self.published.append(post)
        operations = [post.operation(post.body)]
        if rng.random() < 0.6:
            operations.append(self._comment_options(post))
        if rng.random() < 0.2:
            operations.append(_vote_operation(author, post, 10000))
        return self._add(author, "posting", *operations)

    def _reply(self) -> int:
        if not self._posts:
            return self._post()
        parent, author = self._a_post(), self._account()
        post = Post(
            num=self._num,
            parent_author=parent.author,
            parent_permlink=parent.permlink,
            author=author,
            permlink=f"re-{parent.permlink}"[:200] + f"-{self._unique()}",
            title="",
            body=self._text(self._rng.randrange(1, 5)),
            json_metadata=_compact({"tags": ["life"], "app": "busy/2.5.4"}),
        )
        self.published.append(post)
        return self._add(author, "posting", post.operation(post.body))

    def _patch(self) -> int:
        """Edit a post as condenser does: the difference, where that is shorter than the body."""
        if not self._posts:
            return self._post()
        post = self._take_post()
        paragraphs = post.body.split("\n\n")
        paragraphs.insert(
            self._rng.randrange(len(paragraphs) + 1), f"Edit {self._unique()}: thanks!"
        )
        body = "\n\n".join(paragraphs)
        patch: str = _differ.patch_toText(_differ.patch_make(post.body, body))
        self.published.append(replace(post, num=self._num, body=body))
        shorter = patch if len(patch.encode()) < len(body.encode()) else body
        return self._add(post.author, "posting", post.operation(shorter))

    def _rewrite(self) -> int:
        if not self._posts:
            return self._post()
        post = self._take_post()
        body = self._text(self._rng.randrange(4, 20))
        self.published.append(replace(post, num=self._num, body=body))
        return self._add(post.author, "posting", post.operation(body))

    def _transfer(self) -> int:
        sender = self._account()
        return self._add(sender, "active", self._transfer_operation(sender))

    def _claim(self) -> int:
        account = self._account()
        value = {
            "account": account,
            "reward_steem": asset(0, "STEEM"),
            "reward_sbd": asset(self._rng.randrange(9000), "SBD"),
            "reward_vests": asset(self._rng.randrange(10**10), "VESTS"),
        }
        return self._add(
            account, "posting", {"type": "claim_reward_balance_operation", "value": value}
        )

    def _order(self) -> int:
        """Sell STEEM for SBD; half of the orders meet one that was open, and are filled."""
        rng, owner = self._rng, self._account()
        sell, receive = (
            asset(rng.randrange(1, 10**6), "STEEM"),
            asset(rng.randrange(1, 10**6), "SBD"),
        )
        order_id = rng.randrange(1 << 31)
        value = {
            "owner": owner,
            "orderid": order_id,
            "amount_to_sell": sell,
            "min_to_receive": receive,
            "fill_or_kill": False,
            "expiration": serialize.timestamp_text(self._time + 27 * 86400),
        }
        count = self._add(owner, "active", {"type": "limit_order_create_operation", "value": value})
        if rng.random() < 0.5:
            fill = {
                "current_owner": owner,
                "current_orderid": order_id,
                "current_pays": sell,
                "open_owner": self._account(),
                "open_orderid": rng.randrange(1 << 31),
                "open_pays": receive,
            }
            self._virtual.append(
                VirtualOperation(
                    len(self._transactions) - 1,
                    0,
                    1,
                    {"type": "fill_order_operation", "value": fill},
                )
            )
        return count

    def _twice(self) -> int:
        """Do the same thing twice in one transaction: two operations that are equal in all."""
        account = self._account()
        if self._rng.random() < 0.5:
            operation = self._transfer_operation(account)
            return self._add(account, "active", operation, operation)
        operation = self._custom_json_operation(account)
        return self._add(account, "posting", operation, operation)

    # What transactions are made of.

    def _add(self, account: str, role: str, *operations: dict[str, Any]) -> int:
        transaction = {
            "ref_block_num": self._ref_num,
            "ref_block_prefix": self._ref_prefix,
            # Two equal transactions in one block would have one id; Steem refuses the second. The
            # second of the expiration tells them apart.
            "expiration": serialize.timestamp_text(
                self._time + EXPIRATION_SECONDS + len(self._transactions)
            ),
            "operations": list(operations),
            "extensions": [],
        }
        data = serialize.transaction(transaction)
        key = key_of(self._seed, account, role)
        signatures = [key.sign(serialize.transaction_digest(data))]
        transaction["signatures"] = signatures
        self._transactions.append(transaction)
        self._ids.append(serialize.transaction_id(data))
        self._signed.append(serialize.signed_transaction(data, signatures))
        return len(operations)

    def _account(self) -> str:
        return self._rng.choice(self._accounts)

    def _a_post(self) -> Post:
        return self._posts[self._rng.randrange(len(self._posts))]

    def _take_post(self) -> Post:
        """Remove and return a post; its edited self is remembered in its place."""
        index = self._rng.randrange(len(self._posts))
        post = self._posts[index]
        del self._posts[index]
        return post

    def _unique(self) -> str:
        self._serial += 1
        return f"{self._num}-{self._serial}"

    def _text(self, sentences: int) -> str:
        chosen = self._rng.choices(SENTENCES, k=sentences)
        return "\n\n".join(" ".join(chosen[i : i + 3]) for i in range(0, sentences, 3))

    def _comment_options(self, post: Post) -> dict[str, Any]:
        beneficiaries = [{"account": "busy.org", "weight": 500}, {"account": "null", "weight": 100}]
        extension = {
            "type": "comment_payout_beneficiaries",
            "value": {"beneficiaries": beneficiaries[: self._rng.randrange(1, 3)]},
        }
        value = {
            "author": post.author,
            "permlink": post.permlink,
            "max_accepted_payout": asset(10**9, "SBD"),
            "percent_steem_dollars": self._rng.choice((0, 10000)),
            "allow_votes": True,
            "allow_curation_rewards": True,
            "extensions": [extension] if self._rng.random() < 0.5 else [],
        }
        return {"type": "comment_options_operation", "value": value}

    def _custom_json_operation(self, account: str) -> dict[str, Any]:
        rng = self._rng
        name, content = rng.choice(_CUSTOM)(rng, account, self._account())
        value = {
            "required_auths": [],
            "required_posting_auths": [account],
            "id": name,
            "json": _compact(content),
        }
        return {"type": "custom_json_operation", "value": value}

    def _transfer_operation(self, sender: str) -> dict[str, Any]:
        rng = self._rng
        memo = rng.choice(("", "thank you!", "Grüße aus Köln", "1.000 STEEM", f"#{self._unique()}"))
        value = {
            "from": sender,
            "to": self._account(),
            "amount": asset(rng.randrange(1, 10**6), rng.choice(("STEEM", "SBD"))),
            "memo": memo,
        }
        return {"type": "transfer_operation", "value": value}

    def _reward(self, witness: str) -> None:
        """Add what the chain does behind the transactions, in the order of `_apply_block`."""
        rng = self._rng
        done: list[tuple[str, dict[str, Any]]] = [
            (
                "producer_reward",
                {"producer": witness, "vesting_shares": asset(384_613_043, "VESTS")},
            )
        ]
        if self._posts and rng.random() < 0.6:
            post = self._a_post()
            done.extend(
                (
                    "curation_reward",
                    {
                        "curator": self._account(),
                        "reward": asset(rng.randrange(1, 10**8), "VESTS"),
                        "comment_author": post.author,
                        "comment_permlink": post.permlink,
                    },
                )
                for _ in range(rng.randrange(6))
            )
            where = {"author": post.author, "permlink": post.permlink}
            payout = {
                "sbd_payout": asset(rng.randrange(10**4), "SBD"),
                "steem_payout": asset(0, "STEEM"),
                "vesting_payout": asset(rng.randrange(10**9), "VESTS"),
            }
            done += [
                ("author_reward", where | payout),
                ("comment_reward", where | {"payout": asset(rng.randrange(10**4), "SBD")}),
                ("comment_payout_update", where),
            ]
        self._virtual += [
            VirtualOperation(None, 0, number, {"type": f"{name}_operation", "value": value})
            for number, (name, value) in enumerate(done, 1)
        ]


def _vote_operation(voter: str, post: Post, weight: int) -> dict[str, Any]:
    value = {"voter": voter, "author": post.author, "permlink": post.permlink, "weight": weight}
    return {"type": "vote_operation", "value": value}


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "post"


_CUSTOM: tuple[Callable[[Random, str, str], tuple[str, Any]], ...] = (
    lambda rng, account, other: (
        "follow",
        ["follow", {"follower": account, "following": other, "what": rng.choice((["blog"], []))}],
    ),
    lambda rng, account, other: (
        "sm_find_match",
        {"match_type": "Ranked", "team": [account, other], "n": rng.randrange(10**9)},
    ),
    lambda rng, account, other: (
        "drugwars-heist",
        {"username": account, "text": f"für {other}", "unit": rng.randrange(99)},
    ),
)

# In thousandths of all transactions; measured on recorded blocks of 2017 to 2020, the rare kinds
# made frequent enough to turn up within a few dozen blocks.
_MIX: tuple[tuple[int, Callable[[Draft], int]], ...] = (
    (430, Draft._vote),  # noqa: SLF001
    (312, Draft._custom_json),  # noqa: SLF001
    (90, Draft._reply),  # noqa: SLF001
    (50, Draft._post),  # noqa: SLF001
    (12, Draft._patch),  # noqa: SLF001
    (6, Draft._rewrite),  # noqa: SLF001
    (54, Draft._transfer),  # noqa: SLF001
    (30, Draft._claim),  # noqa: SLF001
    (8, Draft._order),  # noqa: SLF001
    (8, Draft._twice),  # noqa: SLF001
)
_MAKERS = tuple(make for _, make in _MIX)
_CUMULATIVE = tuple(sum(weight for weight, _ in _MIX[: i + 1]) for i in range(len(_MIX)))
