"""What a bot finished since its file was last written: a redo log in mapped memory.

A commit of SQLite for each operation costs several times what a handler does. So what an operation
changed is written here first, which is a copy within memory, and into the bot's file with many
others at once. The memory is a file's: it outlives the process, however that one dies, and the
next one reads it. A power cut may take it, as it may take SQLite's last commits; then both lead
back to the same earlier place.

A record counts only with the file that it continues: each commit there names a new, random
generation, and older records are thereby void. A record's header is written after its content, and
then, with one store of eight bytes, how far the records reach. So a process that is killed leaves
whole records, and what is not as it should be was damaged: see :meth:`Redo.records`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from pathlib import Path

from steembot.storage.files import open_beside, unusable

SIZE = 256 * 1024
"""Bytes for records, and so the bound on what waits to be committed."""

_HEADER = struct.Struct("<QII")  # generation, length, CRC-32 of the content
_MARK = struct.Struct("=QQQ")  # boot, generation, where the records end
_FILE_SIZE = SIZE + 4096
"""The mark stands behind the records, in a page of its own. Older versions had none."""

_CHANGING = 0x5AA5_0FF0_C33C_9669
"""Stands for the end while the generation is being changed."""

_MIX = 0x9E37_79B1  # any odd number: each bit of what it multiplies counts

_SAME_BOOT_S = 2


def boot_s() -> int:
    """Return when this machine was started, in seconds since 1970, as its clock says now.

    A power cut may leave any part of a file in an older state; the end of a process never does.
    """
    return round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))


class Redo:
    """The redo log at ``path``, made if there is none. ``boot`` is when the machine was started.

    Raises :class:`~steembot.errors.StateError` where that is not possible, and
    :class:`~steembot.errors.DiskError` where there is no room for it.
    """

    def __init__(self, path: Path, boot: int) -> None:
        self._path = path
        self._boot = boot
        descriptor = open_beside(path, os.O_RDWR)
        try:
            self._size_before = os.fstat(descriptor).st_size
            try:
                # Room for all of it now: a page that finds none later would kill the process.
                os.posix_fallocate(descriptor, 0, _FILE_SIZE)
            except OSError:
                os.ftruncate(descriptor, self._size_before)
                raise
            self._memory = mmap.mmap(descriptor, _FILE_SIZE)
        except OSError as error:
            raise unusable(path, error) from error
        finally:
            os.close(descriptor)
        self._mark = memoryview(self._memory)[SIZE : SIZE + _MARK.size].cast("Q")
        self._generation = 0
        self._fold = 0
        self._end = 0

    def close(self) -> None:
        """Let go of the memory; what is in it stays."""
        self._mark.release()
        self._memory.close()

    def restart(self, generation: int) -> None:
        """Void all records; those to come are of another generation."""
        mark = self._mark
        mark[2] = _CHANGING
        mark[0], mark[1] = self._boot, generation
        self._generation = generation
        self._fold = _fold(self._boot, generation)
        self._end = 0
        mark[2] = _sealed(0, self._fold)

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
        self._mark[2] = end << 32 | (end * _MIX + self._fold & 0xFFFF_FFFF)  # as _sealed has it
        return True

    def records(self, generation: int, before: int, *, may_be_another: bool) -> list[bytes]:
        """Read what continues the file, whose last commit named ``generation``, oldest first.

        ``before`` is the generation of the commit before that: the process may have died between
        the last commit and :meth:`restart`. ``may_be_another`` tells that the file may have been
        put here from elsewhere, so that a redo log of any other generation means nothing.

        Raises ``ValueError`` for a log that is damaged, or that continues a later file than this
        one. After a restart of the machine it raises nothing: a power cut may have taken a part.
        """
        if generation == 0:  # a file that was never written to
            return []
        if self._size_before in (0, SIZE):  # new, or of an older version
            return self._whole(generation)[0]
        if self._size_before != _FILE_SIZE:
            raise ValueError(f"it is cut to {self._size_before} bytes")
        boot, of, sealed = self._mark
        if boot == of == sealed == 0:  # made room for, and not written yet
            return self._whole(generation)[0]
        if sealed == _CHANGING:
            return []
        end = sealed >> 32
        if sealed != _sealed(end, _fold(boot, of)):
            raise ValueError("its mark is damaged")
        is_same_boot = abs(boot - self._boot) <= _SAME_BOOT_S
        if of == generation:
            records, read_to = self._whole(generation)
            if read_to < end and is_same_boot:
                raise ValueError(f"its record at {read_to} is damaged")
            return records
        if of != before and is_same_boot and not may_be_another:
            raise ValueError("it continues a later state of the file than there is")
        return []

    def _whole(self, generation: int) -> tuple[list[bytes], int]:
        """Read records up to the first one that is none; return where that is, too."""
        records = []
        place = 0
        while place + _HEADER.size <= SIZE:
            of, length, checksum = _HEADER.unpack_from(self._memory, place)
            begin = place + _HEADER.size
            # Nothing is a record of no bytes, but a header that was being written looks like one.
            if of != generation or not length or begin + length > SIZE:
                break
            content = self._memory[begin : begin + length]
            if zlib.crc32(content) != checksum:
                break
            records.append(content)
            place = begin + length
        return records, place


def _fold(boot: int, generation: int) -> int:
    """Make 32 bits in which each bit of the two counts."""
    mixed = boot ^ generation
    return (mixed ^ mixed >> 32) & 0xFFFF_FFFF


def _sealed(end: int, fold: int) -> int:
    """Return where the records end, with a check of that and of the rest of the mark."""
    return end << 32 | (end * _MIX + fold & 0xFFFF_FFFF)
