"""Alias of the stream at the private path that published clients import."""

from __future__ import annotations

from ome_writers.storage import ENGINES as AVAILABLE_BACKENDS
from ome_writers.streaming import OMEStream, create_stream

__all__ = ["AVAILABLE_BACKENDS", "OMEStream", "create_stream"]
