"""What the C library does with freed memory, set for work that allocates the same large tensors again and again."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


@cache
def keep_freed_memory() -> bool:
    """Let this process keep freed memory for the next tensor, where its C library is glibc.

    Else every tensor of some megabytes is mapped anew and its pages are zeroed at first touch, a tenth of the time of
    patched runs of a small model. What is kept is at most what was in use at once. Returns whether it was set.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
