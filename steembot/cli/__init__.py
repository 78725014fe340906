"""The `steembot` command for people."""
