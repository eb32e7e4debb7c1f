"""What holds for every test of the BigTIFF engine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _loud_tifffile(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What tifffile logs about a file is a failure."""
    with caplog.at_level(logging.WARNING, logger="tifffile"):
        yield
    assert not [r.getMessage() for r in caplog.records if r.name == "tifffile"]
