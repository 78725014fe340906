"""Who acts in an operation is known for every type, and told from one table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.bot import authorities, filters, operation_types
from steembot.bot.authorities import actors_of
from tests.bot.test_filters import holds, operation


def test_every_type_that_somebody_signs_has_its_place():
    """No type of either chain is forgotten, and no virtual one is somebody's."""
    assert authorities._PLACES.keys() == operation_types.KNOWN - operation_types.VIRTUAL


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("update_proposal", {"creator": "alice"}),
        ("recover_account", {"account_to_recover": "alice"}),
        ("feed_publish", {"publisher": "alice"}),
        ("pow2", {"work": [0, {"input": {"worker_account": "alice"}}]}),
        ("custom_binary", {"required_owner_auths": [], "required_active_auths": ["alice"]}),
        ("custom_json", {"required_auths": [], "required_posting_auths": ["bob", "alice"]}),
        ("set_withdraw_vesting_route", {"from_account": "alice", "to_account": "bob"}),
        ("remove_proposal", {"proposal_owner": "alice"}),
    ],
)
def test_the_signer_is_found_where_it_stands(kind, value):
    """In a member, a list, or deep within; ``by`` asks the same table."""
    assert "alice" in actors_of(kind, value)
    assert holds(filters.by("@Alice"), operation(kind, **value))
    assert not holds(filters.by("carol"), operation(kind, **value))


def test_who_is_only_named_does_not_act():
    """Neither who receives, nor whoever a virtual operation is about."""
    assert actors_of("transfer", {"from": "alice", "to": "bob"}) == {"alice"}
    assert actors_of("curation_reward", {"curator": "alice"}) == frozenset()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(operation_types.KNOWN)), values)
def test_a_member_of_another_shape_names_nobody(kind, value):
    """Whatever stands in a signer's place: names or nothing, never an error."""
    members = {place[0]: value for place in authorities._PLACES.get(kind, ())}
    assert all(isinstance(name, str) for name in actors_of(kind, members))
