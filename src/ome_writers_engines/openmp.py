"""The wait policy of OpenMP threads of a library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_POLICY = "OMP_WAIT_POLICY"


@contextmanager
def passive_openmp_threads() -> Iterator[None]:
    """Make OpenMP threads sleep while idle, for a library that is imported within this context.

    By default they spin for some milliseconds, on cores that other threads could use. OpenMP reads the environment
    variable once, when it is loaded, so it is removed afterwards. A value that the user has set takes precedence.

    Source: https://gcc.gnu.org/onlinedocs/libgomp/OMP_005fWAIT_005fPOLICY.html
    """
    if _POLICY in os.environ:
        yield
        return
    os.environ[_POLICY] = "passive"
    try:
        yield
    finally:
        os.environ.pop(_POLICY, None)
