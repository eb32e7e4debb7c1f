"""Which faults the normal tests have: those marked `short`; all others get the mark `fault`.

A test that is `short` may not depend on how quick the machine is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the normal tests leave out (``-m "not fault"``)."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("short") is None:
            item.add_marker("fault")
