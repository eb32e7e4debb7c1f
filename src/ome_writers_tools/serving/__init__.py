"""A web server for one dataset, also while it is being written: for viewers that run in a browser. Never writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.toolkit import lazy_exports

if TYPE_CHECKING:
    from ome_writers_tools.serving.dataset_server import DatasetServer as DatasetServer
    from ome_writers_tools.serving.progress_page import viewer_links as viewer_links
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {".dataset_server": ("DatasetServer",), ".progress_page": ("viewer_links",)},
    )
