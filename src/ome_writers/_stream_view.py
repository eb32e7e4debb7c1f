"""Alias of the view at the private path that published clients import."""

from __future__ import annotations

from ome_writers.views import StreamView

__all__ = ["StreamView"]
