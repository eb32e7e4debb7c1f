"""Looking while we write. This room never writes, and never keeps the writer waiting for longer than a copy."""

from __future__ import annotations

from ome_writers.views.signals import deliver, guarded, guarded_signal_class
from ome_writers.views.source import Source, Stream, coordinates, view_names
from ome_writers.views.stored_dataset import open_dataset

# The public name is that of the builtin, as in h5py, tifffile and zarr; inside this room it has another.
from ome_writers.views.stored_dataset import open_dataset as open  # noqa: A004 # see above
from ome_writers.views.streamview import StreamView
from ome_writers.views.summary import Summary, html_of, line_of

__all__ = [
    "Source",
    "Stream",
    "StreamView",
    "Summary",
    "coordinates",
    "deliver",
    "guarded",
    "guarded_signal_class",
    "html_of",
    "line_of",
    "open",
    "open_dataset",
    "view_names",
]
