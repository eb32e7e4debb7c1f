"""Copy datasets to object stores, while they are written or afterwards; checksums of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.toolkit import lazy_exports

if TYPE_CHECKING:
    from ome_writers_tools.mirroring.dataset_files import refuse_moved as refuse_moved
    from ome_writers_tools.mirroring.dataset_files import scan as scan
    from ome_writers_tools.mirroring.manifest import check_manifest as check_manifest
    from ome_writers_tools.mirroring.manifest import manifest_files as manifest_files
    from ome_writers_tools.mirroring.manifest import write_manifest as write_manifest
    from ome_writers_tools.mirroring.stream_mirror import StreamMirror as StreamMirror
    from ome_writers_tools.mirroring.upload import Upload as Upload
    from ome_writers_tools.mirroring.upload import is_growing as is_growing
    from ome_writers_tools.mirroring.upload import mirror as mirror
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".dataset_files": ("refuse_moved", "scan"),
            ".manifest": ("check_manifest", "manifest_files", "write_manifest"),
            ".stream_mirror": ("StreamMirror",),
            ".upload": ("Upload", "is_growing", "mirror"),
        },
    )
