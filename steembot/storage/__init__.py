"""A file that a process keeps its state in: its lock, its opening, what went wrong with it.

Below the broadcaster and the bot, which both keep an SQLite file:

- :mod:`~steembot.storage.files`: opens the files beside one, and takes the lock that keeps a second
  process away.
- :mod:`~steembot.storage.database`: opens the SQLite file itself, and tells damage from a disk that
  cannot be written.
"""
