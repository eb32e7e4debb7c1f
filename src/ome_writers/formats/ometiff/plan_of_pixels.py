"""The plan of an OME-TIFF of an earlier version, whose OME-XML does not contain the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import Addressing, ImageSpec, LevelSpec
from ome_writers.formats.frame_metadata import latest_entries
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings, Dimension, DimensionType, OmeTiffFormat
from ome_writers.untrusted import read_lines

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import Layout
    from ome_writers.formats.ometiff.pixels_element import PixelSizes

_TYPES: dict[str, DimensionType] = {"T": "time", "C": "channel", "Z": "space"}


def plan_of_pixels(
    sizes: Sequence[PixelSizes], info: dict[str, Any], layout: Layout, files: Sequence[str]
) -> Plan:
    """Return a plan with the arrays that the Pixels elements describe.

    It is enough to find the IFD of each plane, and to render sizes and TiffData again. An interrupted bounded
    acquisition is trimmed along its slowest axis in DimensionOrder.
    """
    rank, in_folder = _rank(layout), layout.root == layout.output
    settings = AcquisitionSettings(
        root_path=layout.output,
        dimensions=[Dimension(name="y", count=1), Dimension(name="x", count=1)],
        dtype="uint8",
        format=OmeTiffFormat(prefer_single_file="never" if in_folder else "always"),
        on_incomplete="keep" if info.get("on_incomplete") == "keep" else "trim",
    )
    images = []
    for number, found in enumerate(sizes):
        axes = str(info.get("axes") or "")
        if not axes or not set(axes) <= set(found.axes):
            needed = next((3 - i for i in range(3) if found.sizes[found.axes[i]] > 1), 0)
            axes = found.axes[3 - max(rank, needed) :]
        growing = str(info.get("growing") or "")
        shape = tuple(1 if letter == growing else found.sizes[letter] for letter in axes)
        frame_shape = found.sizes["Y"], found.sizes["X"]
        array = LevelSpec(
            key=files[number],
            dimensions=(
                *(Dimension(name=c.lower(), count=1, type=_TYPES[c]) for c in axes),
                *settings.dimensions,
            ),
            shape=(*shape, *frame_shape),
            growing=axes.index(growing) if growing and growing in axes else None,
            dtype=found.dtype.name,
            scale=(None,) * (len(shape) + 2),
            translation=(0.0,) * (len(shape) + 2),
            chunks=(*(1 for _ in axes), *frame_shape),
            shards=None,
            compression="none",
            samples=found.samples,
        )
        slow = next((axis for axis, extent in enumerate(shape) if extent > 1), None)
        addressing = Addressing(number, number, slow_axis=slow)
        images.append(ImageSpec(files[number], "", (array,), addressing=addressing))
    frames = info.get("frames_expected")
    frames = frames if isinstance(frames, int) else None
    return replace(resolve(settings), images=tuple(images), frames=frames)


def _rank(layout: Layout) -> int:
    """Return the number of axes of the storage indices in the journals; 3 if no frame has metadata."""
    for key in layout.journals:
        for line in read_lines(layout.root / key):
            if entries := latest_entries([line]):
                return min(3, len(entries[0]["storage_index"]))
    return 3
