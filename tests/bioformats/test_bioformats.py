"""Bio-Formats (and so Fiji and OMERO) reads the acquired data from an OME-TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.bioformats import read
from support.ometiff import CASES, Case

if TYPE_CHECKING:
    from pathlib import Path

# Bio-Formats 7.3.1 does not support complex pixels ("Unknown type: 'complex'")
READABLE = [case for case in CASES if not case.dtype.startswith("complex")]


@pytest.mark.parametrize("case", READABLE, ids=lambda c: c.name)
def test_bioformats_reads_pixels_and_metadata(case: Case, tmp_path: Path) -> None:
    """Every image has the acquired pixels, sizes, name and plane metadata, whichever file is opened."""
    stream = case.write(tmp_path)
    output = tmp_path / stream.settings.output_path
    expected = case.expected()
    files = [output] if output.is_file() else sorted(output.iterdir())
    entry = tmp_path / stream.settings.root_path
    for file in {files[0], files[-1], *([entry] if entry.is_file() else [])}:
        found = read(file)
        assert len(found) == len(expected)
        for number, (series, pixels) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(series.pixels, pixels)
            if "p" in case.axes:
                assert series.name == f"Pos {number}"
            if "c" in case.axes:
                count = pixels.shape[1]
                assert series.facts["Channels"] == [f"Channel {i}" for i in range(count)]
            assert series.facts["PhysicalSizeX"] == 0.25
            assert series.facts["PhysicalSizeZ"] == (2.0 if "z" in case.axes else None)
            assert series.facts["TimeIncrement"] == (0.5 if "t" in case.axes else None)
            assert series.facts["Plates"] == (1 if case.plate else 0)
        if case.metadata:
            numbers = sorted(
                d * 8 for series in found for d in series.facts["DeltaT"] if d is not None
            )
            assert numbers == list(range(case.total))
