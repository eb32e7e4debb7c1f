"""Read-only views of streams and datasets. A view never blocks the writer for longer than one copy takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats import OpenPixels as OpenPixels
    from ome_writers.views.dataset import OpenDataset as OpenDataset
    from ome_writers.views.dataset import open as open  # noqa: A004 # the public name, as in h5py, tifffile and zarr
    from ome_writers.views.dataset import open_dataset as open_dataset
    from ome_writers.views.frame_follower import follow as follow
    from ome_writers.views.frame_follower import wait_for as wait_for
    from ome_writers.views.source import Summary as Summary
    from ome_writers.views.stream_source import view_names as view_names
    from ome_writers.views.streamview import StreamView as StreamView
    from ome_writers.views.summary import html_summary as html_summary
    from ome_writers.views.summary import summary_line as summary_line
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".dataset": ("OpenDataset", "open", "open_dataset"),
            ".frame_follower": ("follow", "wait_for"),
            ".source": ("Summary",),
            ".stream_source": ("view_names",),
            ".streamview": ("StreamView",),
            ".summary": ("html_summary", "summary_line"),
            "ome_writers.formats": ("OpenPixels",),
        },
    )
