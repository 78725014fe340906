"""The broadcaster: follow the chain, serve it as a feed."""
