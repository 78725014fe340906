"""Bots on the Steem blockchain as small processes that heal themselves."""
