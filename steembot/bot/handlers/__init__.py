"""Handlers that come with steembot."""
