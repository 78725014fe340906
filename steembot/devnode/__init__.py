"""A stand-in Steem node for development and tests: recorded or generated blocks over real HTTP.

chain (which blocks exist now) and rpc (what is answered) decide and are pure; server is HTTP,
__main__ the command. recorded and generate are where blocks come from; serialize, signing and
shapes know Steem's binary form, keys and JSON.
"""
