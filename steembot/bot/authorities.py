"""Who acts in an operation: the accounts whose authority the chain asks for. Pure.

From ``get_required_posting_authorities()``, ``…_active_…`` and ``…_owner_…`` of each operation in
``libraries/protocol/include/…/*_operations.hpp`` of steem 0.23 and hive 1.28. Two of them need
none there, and name who acts all the same: the proofs of work, and ``recover_account``, which is
signed with keys of the account that it names.

Nobody acts in a virtual operation: the chain makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_Place = tuple[str | int, ...]
"""Members on the way to a name, or to a list of names; a number is an index."""

_PLACES: Mapping[str, tuple[_Place, ...]] = {
    "account_create": (("creator",),),
    "account_create_with_delegation": (("creator",),),
    "account_update": (("account",),),
    "account_update2": (("account",),),
    "account_witness_proxy": (("account",),),
    "account_witness_vote": (("account",),),
    "cancel_transfer_from_savings": (("from",),),
    "change_recovery_account": (("account_to_recover",),),
    "claim_account": (("creator",),),
    "claim_reward_balance": (("account",),),
    "collateralized_convert": (("owner",),),
    "comment": (("author",),),
    "comment_options": (("author",),),
    "convert": (("owner",),),
    "create_claimed_account": (("creator",),),
    "create_proposal": (("creator",),),
    "custom": (("required_auths",),),
    "custom_binary": (
        ("required_owner_auths",),
        ("required_active_auths",),
        ("required_posting_auths",),
    ),
    "custom_json": (("required_auths",), ("required_posting_auths",)),
    "decline_voting_rights": (("account",),),
    "delegate_vesting_shares": (("delegator",),),
    "delete_comment": (("author",),),
    "escrow_approve": (("who",),),
    "escrow_dispute": (("who",),),
    "escrow_release": (("who",),),
    "escrow_transfer": (("from",),),
    "feed_publish": (("publisher",),),
    "limit_order_cancel": (("owner",),),
    "limit_order_create": (("owner",),),
    "limit_order_create2": (("owner",),),
    "pow": (("worker_account",),),
    "pow2": (("work", 1, "input", "worker_account"),),
    "recover_account": (("account_to_recover",),),
    "recurrent_transfer": (("from",),),
    "remove_proposal": (("proposal_owner",),),
    "report_over_production": (("reporter",),),
    "request_account_recovery": (("recovery_account",),),
    "reset_account": (("reset_account",),),
    "set_reset_account": (("account",),),
    "set_withdraw_vesting_route": (("from_account",),),
    "transfer": (("from",),),
    "transfer_from_savings": (("from",),),
    "transfer_to_savings": (("from",),),
    "transfer_to_vesting": (("from",),),
    "update_proposal": (("creator",),),
    "update_proposal_votes": (("voter",),),
    "vote": (("voter",),),
    "withdraw_vesting": (("account",),),
    "witness_set_properties": (("owner",),),
    "witness_update": (("owner",),),
}


def actors_of(kind: str, value: Mapping[str, Any]) -> frozenset[str]:
    """Return the accounts that act in an operation; none where it names none that can be read."""
    return frozenset(name for place in _PLACES.get(kind, ()) for name in _names(value, place))


def _names(value: Any, place: _Place) -> Iterator[str]:
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return
    for name in value if isinstance(value, list) else (value,):
        if isinstance(name, str):
            yield name
