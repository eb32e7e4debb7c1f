"""Which files of a set contain the OME-XML: all of them, unless the copies would be large."""

from __future__ import annotations

import logging
import math

from ome_writers.routing import Plan

_log = logging.getLogger("ome_writers")

_IMAGE_BYTES = 1_400
_FRAME_BYTES = 700
"""OME-XML per image, and per frame with the metadata that pymmcore-plus gives."""
_UNBOUNDED_STEPS = 1_000
"""Steps that an unbounded axis counts as in estimates."""
_MAX_COPIES_BYTES = 100_000_000
"""OME-XML beyond its first copy up to which each file of a set contains it: a second of a gigabit network."""


def metadata_mode(plan: Plan) -> str:
    """Return which files of a set contain the OME-XML; depends on the plan only."""
    mode: str = getattr(plan.settings.format, "multi_file_metadata", "auto")
    if mode != "auto":
        return mode
    return "redundant" if _copies_bytes(plan) <= _MAX_COPIES_BYTES else "master-tiff"


def _copies_bytes(plan: Plan) -> int:
    """Estimate the size of the OME-XML of a set beyond its first copy, if each file contains it."""
    arrays = [image.array for image in plan.images]
    planes = sum(
        math.prod(a.shape[:-2]) * (1 if a.growing is None else _UNBOUNDED_STEPS) for a in arrays
    )
    document = len(arrays) * _IMAGE_BYTES + planes * _FRAME_BYTES
    return (len(arrays) - 1) * document


def warn_of_copies(plan: Plan) -> None:
    """Log an estimate of copies that the settings ask for. A warning would be an error in clients that forbid them."""
    size = _copies_bytes(plan)
    if metadata_mode(plan) == "redundant" and size > _MAX_COPIES_BYTES:
        _log.warning(
            "%s: the OME-XML of all %d files, in each of them, takes about %s with frame metadata as of "
            "pymmcore-plus. Leave out multi_file_metadata='redundant', or use 'master-tiff' or 'companion-file'.",
            plan.settings.output_path,
            len(plan.images),
            f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB",
        )
