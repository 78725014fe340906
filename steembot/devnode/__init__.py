"""A stand-in Steem node for development and tests: recorded or generated blocks over real HTTP.

chain (which blocks exist now) and rpc (what is answered) decide and are pure; server is HTTP,
ports are its listeners, __main__ the command. recorded and generate are where blocks come from;
serialize, signing and shapes know Steem's binary form, keys and JSON. faults names the ways in
which a node fails and draws when; view is what they leave of the chain, pages what stands in for
an answer.
"""
