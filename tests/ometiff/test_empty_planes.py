"""Planes of an OME-TIFF without frames read as zeros and are listed in the acquisition annotation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import useq
from ome_types import from_xml

from ome_writers import (
    AcquisitionSettings,
    OmeTiffFormat,
    create_stream,
    dims_from_standard_axes,
    useq_to_acquisition_settings,
)

if TYPE_CHECKING:
    from pathlib import Path

RAGGED = useq.MDASequence(
    channels=["DAPI", {"config": "FITC", "do_stack": False}],
    z_plan={"range": 2, "step": 1},
    stage_positions=[(0, 0, 0), (1, 1, 1)],
    time_plan={"interval": 1, "loops": 2},
    axis_order="tpcz",
)


def listed_planes(path: Path) -> dict[str, list[list[int]]]:
    """Return `planes_without_frames`, as read by tifffile and ome-types."""
    with tifffile.TiffFile(path) as tiff:
        annotations = from_xml(tiff.ome_metadata or "").structured_annotations.comment_annotations
    (own,) = (a for a in annotations if a.namespace == "ome_writers")
    found: dict[str, list[list[int]]] = json.loads(own.value).get("planes_without_frames", {})
    return found


@pytest.mark.parametrize("prefer", ["auto", "always"])
def test_ragged_acquisition_lists_planes_without_frames(prefer: Any, tmp_path: Path) -> None:
    """16 of 24 planes have frames; the others read as zeros in tifffile, in both layouts."""
    found = useq_to_acquisition_settings(RAGGED, 16, 12)
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.tiff",
        dtype="uint16",
        format=OmeTiffFormat(prefer_single_file=prefer),
        **found,
    )
    with create_stream(settings) as stream:
        for number in range(settings.num_frames or 0):
            stream.append(np.full((12, 16), number + 1, np.uint16))
    path = tmp_path / "x.ome.tiff" if prefer == "always" else tmp_path / "x" / "x_p000.ome.tiff"
    runs = [[t, 1, z, 1] for t in (0, 1) for z in (0, 2)]
    assert listed_planes(path) == {"0": runs, "1": runs}
    with tifffile.TiffFile(path) as tiff:
        images = [series.asarray() for series in tiff.series]
    assert len(images) == 2
    for image in images:
        empty = ~image.any(axis=(-2, -1))
        assert [(*place, 1) for place in np.argwhere(empty).tolist()] == [tuple(r) for r in runs]


def test_skipped_and_cancelled_planes_are_listed(tmp_path: Path) -> None:
    """As runs, in the trimmed image."""
    path = tmp_path / "x.ome.tiff"
    dimensions = dims_from_standard_axes({"t": 4, "c": 3, "y": 8, "x": 8})
    with create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    ) as stream:
        stream.append(np.ones((8, 8), np.uint8))
        stream.skip(frames=4)
        stream.append(np.ones((8, 8), np.uint8))
        stream.append(np.ones((8, 8), np.uint8))
    assert listed_planes(path) == {"0": [[0, 1, 0, 4], [2, 1, 0, 2]]}


@pytest.mark.parametrize("count", [3, None])
def test_complete_acquisition_lists_no_planes(count: int | None, tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tiff"
    dimensions = dims_from_standard_axes({"t": count, "c": 2, "y": 8, "x": 8})
    with create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    ) as stream:
        for _ in range(3):
            stream.append(np.ones((8, 8), np.uint8))
            stream.append(np.ones((8, 8), np.uint8))
    assert listed_planes(path) == {}


def test_planes_written_by_index_are_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tiff"
    dimensions = dims_from_standard_axes({"t": 4, "y": 8, "x": 8})
    with create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    ) as stream:
        stream.append(np.ones((8, 8), np.uint8))
        stream.append(np.ones((8, 8), np.uint8), index={"t": 3})
    assert listed_planes(path) == {"0": [[1, 0, 0, 2]]}
