"""Memory that torch frees stays with the process: the same tensors are asked for again in the next step."""

from __future__ import annotations

import ctypes

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_PADDING = 64 << 20  # bytes asked of the kernel at a time


def keep_freed_memory() -> bool:
    """Have glibc reuse what is freed instead of handing it back to the kernel, which clears every page once more.

    On two processors that was 5 to 11 % of a step's time: 32 rows of 128 tokens are 190,000 page faults without, none
    with it. The peak of memory was 5 % higher. Returns False with another C library, which is left as
    it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, _PADDING))
    return all(mallopt(name, value) for name, value in wanted)
