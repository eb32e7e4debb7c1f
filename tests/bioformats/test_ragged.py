"""Ragged acquisitions read by Bio-Formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import useq

from ome_writers import (
    AcquisitionSettings,
    OmeTiffFormat,
    create_stream,
    useq_to_acquisition_settings,
)
from support.bioformats import read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("positions", "prefer"), [(1, "auto"), (2, "auto"), (2, "always")])
def test_missing_planes_read_as_zeros(positions: int, prefer: Any, tmp_path: Path) -> None:
    """Every frame is at the index of its MDAEvent, and the other planes are black, in all layouts."""
    sequence = useq.MDASequence(
        channels=["DAPI", {"config": "FITC", "do_stack": False}],
        z_plan={"range": 2, "step": 1},
        stage_positions=[(i, i, i) for i in range(positions)],
        time_plan={"interval": 1, "loops": 2},
        axis_order="tpcz",
    )
    found = useq_to_acquisition_settings(sequence, 16, 12)
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.tiff",
        dtype="uint16",
        format=OmeTiffFormat(prefer_single_file=prefer),
        **found,
    )
    expected = np.zeros((positions, 2, 2, 3), np.uint16)
    with create_stream(settings) as stream:
        for number, event in enumerate(sequence):
            at = event.index
            expected[at["p"], at["t"], at["c"], at["z"]] = number + 1
            stream.append(np.full((12, 16), number + 1, np.uint16))
    single = positions == 1 or prefer == "always"
    path = tmp_path / "x.ome.tiff" if single else tmp_path / "x" / "x_p000.ome.tiff"
    series = read(path)
    assert len(series) == positions
    for one, right in zip(series, expected, strict=True):
        assert np.array_equal(one.pixels[..., 0, 0], right)
