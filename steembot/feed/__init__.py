"""The feed: how the broadcaster passes operations on to local clients.

``wire`` holds every message, limit and the version; ``session`` decides what one client gets
next; both are pure. ``server`` and ``client`` are the two ends of the socket and the only
modules that import zmq.
"""
