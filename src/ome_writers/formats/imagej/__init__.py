"""ImageJ hyperstacks, which are only read."""

from __future__ import annotations

from ome_writers.formats.imagej.parse import read_hyperstack, spec_of

__all__ = ["read_hyperstack", "spec_of"]
