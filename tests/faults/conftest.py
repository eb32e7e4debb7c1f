"""The short part of this folder belongs to every test run; all of it is run by ``tox -e faults``."""

from __future__ import annotations

import os

collect_ignore = (
    []
    if int(os.environ.get("FAULT_ROUNDS", "0"))
    else ["test_disk.py", "test_ends.py", "test_kill.py", "test_tiff_kill.py"]
)
