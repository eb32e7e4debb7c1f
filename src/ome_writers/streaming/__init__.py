"""The only place where time passes. This room never decides where a frame goes or what a document says."""

from __future__ import annotations

from ome_writers.streaming.create import create_stream
from ome_writers.streaming.events import CoordUpdate
from ome_writers.streaming.stats import StreamStats
from ome_writers.streaming.stream import OMEStream

__all__ = ["CoordUpdate", "OMEStream", "StreamStats", "create_stream"]
