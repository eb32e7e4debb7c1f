"""The order of axes that NGFF requires, and settings that ask for another one."""

from __future__ import annotations

import logging

from ome_writers.routing import Plan
from ome_writers.settings import OmeZarrFormat

_log = logging.getLogger("ome_writers")


def warn_of_axis_order(plan: Plan) -> None:
    """Log a warning if `storage_order` is not time, channel or other, space. It is obeyed: most readers open it.

    A warning would be an error in clients that forbid warnings.
    """
    ranks = OmeZarrFormat.axis_order or {}
    axes = plan.images[0].axes
    order = [ranks[axis.type] for axis in axes]
    if order != sorted(order):
        _log.warning(
            "%s: storage_order=%r stores the axes as %s. OME-Zarr requires time, channel and space in this order: "
            "validators refuse the dataset, and readers may confuse axes. Leave out storage_order, or write OME-TIFF.",
            plan.settings.output_path,
            plan.settings.storage_order,
            ", ".join(axis.name for axis in axes),
        )
