"""Benchmarks of this project, its peers and the hardware limits. They report times without asserting them."""

from __future__ import annotations
