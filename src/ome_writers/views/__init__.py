"""Looking while we write. This room never writes, and never keeps the writer waiting for longer than a copy."""

from ome_writers.views.streamview import StreamView

__all__ = ["StreamView"]
