"""Resolution levels that are added to an existing image, in its ``ome`` attributes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ome_writers.formats.omezarr.ngff import level_entry, pyramid_fields
from ome_writers.formats.omezarr.parse_multiscale import compose
from ome_writers.formats.omezarr.versions import level_at_version
from ome_writers.routing import LevelPlan

Json = dict[str, Any]


def with_levels(ome: Json, levels: Sequence[LevelPlan]) -> Json:
    """Return the ``ome`` attributes of an image of any version with its full resolution and these levels."""
    found = copy.deepcopy(ome)
    multiscale = found["multiscales"][0]
    full = multiscale["datasets"][0]
    own = full.get("coordinateTransformations") or []
    axes = len(levels[0].factors)
    scale, translation = compose(own, axes, full["path"])
    for k, level in enumerate(levels, start=1):
        entry = level_entry(k, level.scale(scale), level.translation(translation, scale))
        if "coordinateSystems" in multiscale:
            entry = level_at_version(entry, axes, own[0]["output"])
        multiscale["datasets"].append(entry)
    multiscale.update(pyramid_fields(levels))
    return found
