"""Fixtures of the BigTIFF engine's tests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_tifffile_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if tifffile logs a warning."""
    with caplog.at_level(logging.WARNING, logger="tifffile"):
        yield
    assert not [r.getMessage() for r in caplog.records if r.name == "tifffile"]
