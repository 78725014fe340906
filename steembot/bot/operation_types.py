"""The names of all operations that Steem and Hive have, and which name somebody may have meant.

From the chains' public headers: `libraries/protocol/include/…/operations.hpp` of steem 0.23 and
hive 1.27, and what hive renamed since (`sps_…` became `dhf_…`; nodes of either version are about).
The operations of Steem's SMTs are left out: no chain ever switched them on.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

_SIGNED = frozenset(
    {
        "account_create", "account_create_with_delegation", "account_update", "account_update2",
        "account_witness_proxy", "account_witness_vote", "cancel_transfer_from_savings",
        "change_recovery_account", "claim_account", "claim_reward_balance", "comment",
        "comment_options", "convert", "create_claimed_account", "create_proposal", "custom",
        "custom_binary", "custom_json", "decline_voting_rights", "delegate_vesting_shares",
        "delete_comment", "escrow_approve", "escrow_dispute", "escrow_release", "escrow_transfer",
        "feed_publish", "limit_order_cancel", "limit_order_create", "limit_order_create2", "pow",
        "pow2", "recover_account", "remove_proposal", "report_over_production",
        "request_account_recovery", "reset_account", "set_reset_account",
        "set_withdraw_vesting_route", "transfer", "transfer_from_savings", "transfer_to_savings",
        "transfer_to_vesting", "update_proposal_votes", "vote", "withdraw_vesting",
        "witness_set_properties", "witness_update",
    }
)  # fmt: skip

_VIRTUAL = frozenset(
    {
        "author_reward", "clear_null_account_balance", "comment_benefactor_reward",
        "comment_payout_update", "comment_reward", "curation_reward", "fill_convert_request",
        "fill_order", "fill_transfer_from_savings", "fill_vesting_withdraw", "hardfork", "interest",
        "liquidity_reward", "producer_reward", "proposal_pay", "return_vesting_delegation",
        "shutdown_witness", "sps_fund",
    }
)  # fmt: skip

_SIGNED_OF_HIVE = frozenset({"collateralized_convert", "recurrent_transfer", "update_proposal"})

_VIRTUAL_OF_HIVE = frozenset(
    {
        "account_created", "changed_recovery_account",
        "collateralized_convert_immediate_conversion", "consolidate_treasury_balance",
        "declined_voting_rights", "delayed_voting", "dhf_conversion", "dhf_funding",
        "effective_comment_vote", "escrow_approved", "escrow_rejected",
        "expired_account_notification", "failed_recurrent_transfer",
        "fill_collateralized_convert_request", "fill_recurrent_transfer", "hardfork_hive",
        "hardfork_hive_restore", "ineffective_delete_comment", "limit_order_cancelled",
        "pow_reward", "producer_missed", "proposal_fee", "proxy_cleared", "sps_convert",
        "system_warning", "transfer_to_vesting_completed", "vesting_shares_split",
    }
)  # fmt: skip

VIRTUAL = _VIRTUAL | _VIRTUAL_OF_HIVE
"""What a chain does by itself; in no transaction, and on the feed only if it is asked for."""

OF_CHAIN: Mapping[str, frozenset[str]] = {
    "steem": _SIGNED | _VIRTUAL,
    "hive": _SIGNED | _VIRTUAL | _SIGNED_OF_HIVE | _VIRTUAL_OF_HIVE,
}
"""By the chain's name in ``STEEMBOT_CHAIN``: all of its operations."""

KNOWN = frozenset().union(*OF_CHAIN.values())


def nearest(name: str) -> str | None:
    """Return the known name that a wrong one was probably meant to be, if there is one."""
    text = name.lower().replace("-", "_").removesuffix("_operation")
    if text in KNOWN:
        return text
    near = difflib.get_close_matches(text, sorted(KNOWN), n=1)
    return near[0] if near else None
