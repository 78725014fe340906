"""Following the chain: from nodes over HTTP to blocks joined in order.

``node`` speaks with one node (the only module that imports beem), ``pool`` decides which node to
ask, ``follower`` decides what to ask for and joins the answers, ``stream`` does the waiting.
"""
