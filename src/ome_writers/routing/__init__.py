"""Resolve settings to a frozen plan: images, arrays, and the address of each frame. No I/O, no threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.routing.axis_labels import coordinate_labels as coordinate_labels
    from ome_writers.routing.axis_labels import coordinates as coordinates
    from ome_writers.routing.axis_labels import make_distinct as make_distinct
    from ome_writers.routing.cameras import camera_axis as camera_axis
    from ome_writers.routing.cameras import camera_name as camera_name
    from ome_writers.routing.cameras import cameras_along as cameras_along
    from ome_writers.routing.extents import Progress as Progress
    from ome_writers.routing.levels import plan_levels as plan_levels
    from ome_writers.routing.levels import reduced_level as reduced_level
    from ome_writers.routing.levels import with_shape as with_shape
    from ome_writers.routing.page_order import PageOrder as PageOrder
    from ome_writers.routing.plan import ArrayPlan as ArrayPlan
    from ome_writers.routing.plan import ImagePlan as ImagePlan
    from ome_writers.routing.plan import Plan as Plan
    from ome_writers.routing.planning import planned_channels as planned_channels
    from ome_writers.routing.planning import resolve as resolve
    from ome_writers.routing.router import Address as Address
    from ome_writers.routing.router import Observer as Observer
    from ome_writers.routing.router import Router as Router
    from ome_writers.routing.router import Step as Step
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".axis_labels": ("coordinate_labels", "coordinates", "make_distinct"),
            ".cameras": ("camera_axis", "camera_name", "cameras_along"),
            ".extents": ("Progress",),
            ".levels": ("plan_levels", "reduced_level", "with_shape"),
            ".page_order": ("PageOrder",),
            ".plan": ("ArrayPlan", "ImagePlan", "Plan"),
            ".planning": ("planned_channels", "resolve"),
            ".router": ("Address", "Observer", "Router", "Step"),
        },
    )
