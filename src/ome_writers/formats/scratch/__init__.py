"""The scratch format: frames in memory, or in raw files that this library does not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.scratch.metadata import FORMAT as FORMAT
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, {".metadata": ("FORMAT",)})
