"""How the threads of a library that works with OpenMP wait for their next piece of work."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["threads_that_sleep"]

_POLICY = "OMP_WAIT_POLICY"


@contextmanager
def threads_that_sleep() -> Iterator[None]:
    """Have the OpenMP threads of a library sleep while they wait, if it is loaded in here.

    Otherwise they try again and again for some milliseconds, on a core that others could use. OpenMP looks at the
    environment once, when it is loaded; so that is as it was when this ends, and what the user asked for holds.

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
