"""Copy datasets to object stores, while they are written or afterwards; checksums of their files."""

from __future__ import annotations

from ome_writers.mirroring.dataset_files import scan
from ome_writers.mirroring.manifest import check_manifest, manifest_files, write_manifest
from ome_writers.mirroring.stream_mirror import StreamMirror
from ome_writers.mirroring.upload import Upload, is_growing, mirror

__all__ = [
    "StreamMirror",
    "Upload",
    "check_manifest",
    "is_growing",
    "manifest_files",
    "mirror",
    "scan",
    "write_manifest",
]
