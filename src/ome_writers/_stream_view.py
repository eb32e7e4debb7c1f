"""Compatibility: the view under the private path that published clients import."""

from __future__ import annotations

from ome_writers.views import StreamView

__all__ = ["StreamView"]
