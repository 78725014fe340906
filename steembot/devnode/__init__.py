"""A stand-in Steem node for development and tests: recorded or generated blocks over real HTTP.

chain (which blocks exist now), rpc (how a request is taken) and methods (what is answered) decide
and are pure; rpc_errors are the answers to what is wrong. server is HTTP, ports are its listeners,
thread serves for callers without an event loop, __main__ is the command.
recorded and generate are where blocks come from; draft is what a generated block holds, words what
its posts say. serialize, signing and shapes know Steem's binary form, keys and JSON. fault_kinds is
the table of the ways in which a node fails, fault_notation how one is written, faults draws when it
strikes; view is what they leave of the chain, pages what stands in for an answer.
"""
