"""Process a dataset block by block on any executor. The source is not modified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.toolkit import lazy_exports

if TYPE_CHECKING:
    from ome_writers_tools.processing.functions import Bin as Bin
    from ome_writers_tools.processing.functions import Crop as Crop
    from ome_writers_tools.processing.functions import FlatField as FlatField
    from ome_writers_tools.processing.functions import Maximum as Maximum
    from ome_writers_tools.processing.functions import Mean as Mean
    from ome_writers_tools.processing.functions import Minimum as Minimum
    from ome_writers_tools.processing.functions import PlaneFunction as PlaneFunction
    from ome_writers_tools.processing.functions import StandardDeviation as StandardDeviation
    from ome_writers_tools.processing.functions import Sum as Sum
    from ome_writers_tools.processing.run import process as process
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".functions": (
                "Bin",
                "Crop",
                "FlatField",
                "Maximum",
                "Mean",
                "Minimum",
                "PlaneFunction",
                "StandardDeviation",
                "Sum",
            ),
            ".run": ("process",),
        },
    )
