"""Copy datasets to object stores, while they are written or afterwards."""

from __future__ import annotations

from ome_writers.mirroring.stream_mirror import StreamMirror
from ome_writers.mirroring.upload import Upload, mirror

__all__ = ["StreamMirror", "Upload", "mirror"]
