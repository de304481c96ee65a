"""Settings of the C library's allocator: freed memory is returned to the system, so that a job's peak stays low."""

import ctypes
import sys

# glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
LARGE_BYTES = 2**20
ARENAS = 2


def give_back_freed() -> None:
    """Have each large block be memory of its own, which its end gives back, and few arenas for the small ones.

    Else glibc keeps for each of many threads what pictures once took. Other C libraries have no such call.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((MMAP_THRESHOLD, LARGE_BYTES), (TRIM_THRESHOLD, LARGE_BYTES), (ARENA_MAX, ARENAS)):
            mallopt(option, value)
