"""The direct engine: writes Zarr v3 at the speed of the disk.

`engine` copies a frame into a `block` of adjacent planes and submits the full block to a background thread
(`storage.write_buffer`), and `arrays` encodes the chunks and writes them to files (`storage.zarr`). Small frames bypass
the blocks: `write_through` writes them to their file immediately.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.storage.direct.arrays import StoredArray as StoredArray
    from ome_writers.storage.direct.engine import DirectEngine as DirectEngine
    from ome_writers.storage.direct.engine import open_engine as open_engine
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__, {".arrays": ("StoredArray",), ".engine": ("DirectEngine", "open_engine")}
    )
