"""Resolve settings to a frozen plan: images, arrays, and the address of each frame. No I/O, no threads."""

from __future__ import annotations

from ome_writers.routing.arrival_order import arrival_order
from ome_writers.routing.cameras import camera_axis, camera_name, cameras_along
from ome_writers.routing.extents import Progress
from ome_writers.routing.levels import plan_levels, with_shape
from ome_writers.routing.page_order import PageOrder
from ome_writers.routing.plan import ArrayPlan, ImagePlan, LevelPlan, Plan
from ome_writers.routing.resolve import resolve
from ome_writers.routing.router import Address, Observer, Router, Step

__all__ = [
    "Address",
    "ArrayPlan",
    "ImagePlan",
    "LevelPlan",
    "Observer",
    "PageOrder",
    "Plan",
    "Progress",
    "Router",
    "Step",
    "arrival_order",
    "camera_axis",
    "camera_name",
    "cameras_along",
    "plan_levels",
    "resolve",
    "with_shape",
]
