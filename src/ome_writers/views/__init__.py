"""Read-only views of streams and datasets. A view never blocks the writer for longer than one copy takes."""

from __future__ import annotations

from ome_writers.views.omezarr import open_array
from ome_writers.views.signals import call_on_gui_thread, guarded_signal_class, log_listener_errors
from ome_writers.views.source import PlaneSource, Stream, coordinates, view_names
from ome_writers.views.stored_dataset import open_dataset

# The public name is `open`, as in h5py, tifffile and zarr; inside the package it would hide the builtin.
from ome_writers.views.stored_dataset import open_dataset as open  # noqa: A004 # see above
from ome_writers.views.stored_source import StoredPixels, open_stored
from ome_writers.views.streamview import StreamView
from ome_writers.views.summary import Summary, html_summary, summary_line
from ome_writers.views.zarr_array import ZarrArray

__all__ = [
    "PlaneSource",
    "StoredPixels",
    "Stream",
    "StreamView",
    "Summary",
    "ZarrArray",
    "call_on_gui_thread",
    "coordinates",
    "guarded_signal_class",
    "html_summary",
    "log_listener_errors",
    "open",
    "open_array",
    "open_dataset",
    "open_stored",
    "summary_line",
    "view_names",
]
