"""What a bot finished since its file was last written: a redo log in mapped memory.

A commit of SQLite for each operation costs several times what a handler does. So what an operation
changed is written here first, which is a copy within memory, and into the bot's file with many
others at once. The memory is a file's: it outlives the process, however that one dies, and the
next one reads it. A power cut may take it, as it may take SQLite's last commits; then both lead
back to the same earlier place.

A record counts only with the file that it continues: each commit there names a new, random
generation, and older records are thereby void. The header of a record is written after its
content, and holds a checksum, so a record that was being written is none.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from steembot.storage.files import open_beside, unusable

SIZE = 256 * 1024
"""Bytes, and so the bound on what waits to be committed."""

_HEADER = struct.Struct("<QII")  # generation, length, CRC-32 of the content


class Redo:
    """The redo log at ``path``, made if there is none.

    Raises :class:`~steembot.errors.StateError` where that is not possible, and
    :class:`~steembot.errors.DiskError` where there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        descriptor = open_beside(path, os.O_RDWR)
        try:
            # Room for all of it now: a page that finds none later would kill the process.
            os.posix_fallocate(descriptor, 0, SIZE)
            self._memory = mmap.mmap(descriptor, SIZE)
        except OSError as error:
            raise unusable(path, error) from error
        finally:
            os.close(descriptor)
        self._generation = 0
        self._end = 0

    def close(self) -> None:
        """Let go of the memory; what is in it stays."""
        self._memory.close()

    def restart(self, generation: int) -> None:
        """Void all records; those to come are of another generation."""
        self._generation = generation
        self._end = 0

    def append(self, content: bytes) -> bool:
        """Add a record. Returns False, with nothing added, when there is no room for it."""
        begin = self._end + _HEADER.size
        end = begin + len(content)
        if end > SIZE:
            return False
        self._memory[begin:end] = content
        _HEADER.pack_into(
            self._memory, self._end, self._generation, len(content), zlib.crc32(content)
        )
        self._end = end
        return True

    def records(self, generation: int) -> Iterator[bytes]:
        """Read the records of a generation, oldest first."""
        place = 0
        while place + _HEADER.size <= SIZE:
            of, length, checksum = _HEADER.unpack_from(self._memory, place)
            begin = place + _HEADER.size
            place = begin + length
            if of != generation or place > SIZE:
                return
            content = self._memory[begin:place]
            if zlib.crc32(content) != checksum:
                return
            yield content
