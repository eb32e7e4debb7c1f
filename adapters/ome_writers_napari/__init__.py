"""Show datasets and running acquisitions in napari.

napari finds the reader by the manifest ``napari.yaml``; `add_live` adds the layers of an acquisition to a viewer and
keeps them up to date. Only `show` and `add_live` import napari or Qt.
"""

from __future__ import annotations

from ome_writers_napari.live import LiveLayers, add_live, show
from ome_writers_napari.reader import get_reader

__all__ = ["LiveLayers", "add_live", "get_reader", "show"]
