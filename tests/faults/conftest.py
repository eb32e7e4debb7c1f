"""Tests marked `short` are part of normal test runs; all others here get the mark `fault`.

The result of a `short` test must not depend on the speed of the machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that normal runs deselect (``-m "not fault"``)."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("short") is None:
            item.add_marker("fault")
