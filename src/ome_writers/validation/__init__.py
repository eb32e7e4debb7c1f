"""Is this dataset what it says it is? This room reads, and never changes a byte of what it judges."""

from __future__ import annotations

from ome_writers.validation.dataset import validate
from ome_writers.validation.report import Check, Validation

__all__ = ["Check", "Validation", "validate"]
