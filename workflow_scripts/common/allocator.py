"""Settings of the C library's allocator that return freed memory to the system and keep a job's peak low."""

import ctypes
import sys

# glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
LARGE_BYTES = 2**20
ARENAS = 2


def give_back_freed() -> None:
    """Map large blocks separately, so that freeing them returns their memory, and limit the number of arenas.

    By default, glibc keeps memory that images once took in an arena of each thread. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((MMAP_THRESHOLD, LARGE_BYTES), (TRIM_THRESHOLD, LARGE_BYTES), (ARENA_MAX, ARENAS)):
            mallopt(option, value)
