"""Each file of an OME-TIFF set, opened alone, has the right pixels: for tifffile, and for libtiff's ``tiffinfo``."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ome_writers import create_stream
from support.ometiff import SETS, Case

tifffile = pytest.importorskip("tifffile", reason="the reader of OME-TIFF in Python")

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENDINGS = {
    "complete": Case("complete", "tpc", (3, 2, 2)),
    "cancelled between positions": Case(
        "cancelled", "tpc", (4, 2, 2), frames=6, reached=({"t": 2}, {"t": 1})
    ),
    "cancelled before the second position": Case(
        "cancelled", "ptc", (2, 4, 2), frames=3, reached=({"t": 2}, {"t": 1})
    ),
    "cancelled, stored inside": Case(
        "inside",
        "ptc",
        (2, 3, 2),
        frames=8,
        reached=({}, {"t": 1}),
        order=["p", "c", "t", "y", "x"],
    ),
    "cancelled before the first frame": Case(
        "nothing", "tpc", (3, 2, 2), frames=0, reached=({"t": 1},) * 2
    ),
    "without end": Case(
        "endless", "tpc", (None, 2, 2), frames=10, reached=({"t": 3}, {"t": 2}), metadata=False
    ),
}
# tifffile's own, of sets
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")


def made(ending: str, mode: str, compression: str = "none") -> Case:
    """Return the case of an ending as a set of a mode."""
    format_ = {"multi_file_metadata": mode}
    return dataclasses.replace(ENDINGS[ending], compression=compression, format=format_)


def files_of(folder: Path) -> list[Path]:
    """Return the TIFF files of a set."""
    found = sorted(folder.glob("*.tiff"))
    assert len(found) == 2
    return found


def planes(case: Case, image: np.ndarray) -> np.ndarray:
    """Return the planes of an image, shape (t, c, z, y, x), in the order in which the case stores them."""
    inside = case.order != "ome"
    return (image.swapaxes(0, 1) if inside else image).reshape(-1, *image.shape[-2:])


def series_of(file: Path) -> tuple[bool, list[np.ndarray]]:
    """Return whether a file tells of the whole set, and the planes of each series that tifffile finds in it."""
    with tifffile.TiffFile(file) as tiff:
        whole = "<BinaryOnly" not in tiff.ome_metadata
        return whole, [s.asarray().reshape(-1, *s.shape[-2:]) for s in tiff.series]


def check(case: Case, files: Sequence[Path], right: list[np.ndarray]) -> None:
    """Take it that each file, opened alone, has the right series."""
    told = []
    for number, file in enumerate(files):
        whole, series = series_of(file)
        told.append(whole)
        if whole:
            assert len(series) == len(right)
            for found, expected in zip(series, right, strict=True):
                np.testing.assert_array_equal(found, expected)
            continue
        (found,) = series  # of its own pages: tifffile does not look for the file that tells more
        if case.order != "ome":  # pages that no frame came for may stay, blank
            found, expected = (p[p.any(axis=(1, 2))] for p in (found, right[number]))
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_array_equal(found, right[number])
    mode = case.format["multi_file_metadata"]
    assert told == {"redundant": [True, True], "master-tiff": [True, False]}.get(
        mode, [False, False]
    )


def listed(file: Path) -> subprocess.CompletedProcess[str]:
    """Return what libtiff says of all directories of a file, and of all pixels."""
    arguments = ["tiffinfo", "-D", str(file)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", SETS)
def test_each_file_alone(tmp_path: Path, mode: str, ending: str, compression: str) -> None:
    """While the set is written and when it is closed, each file alone gives each series that it tells of."""
    case = made(ending, mode, compression)
    right = [planes(case, image) for image in case.expected()]
    with create_stream(case.settings(tmp_path)) as stream:
        for number in range(case.total):
            stream.append(case.pixels(number), frame_metadata=case.facts(number))
        stream.flush()
        files = files_of(tmp_path / stream.settings.output_path)
        for number, file in enumerate(files):
            whole, series = series_of(file)
            for image, found in enumerate(series):
                there = right[image if whole else number]
                there, found = (p[p.any(axis=(1, 2))] for p in (there, found))
                np.testing.assert_array_equal(found, there)
    check(case, files, right)


@pytest.mark.skipif(shutil.which("tiffinfo") is None, reason="libtiff's tools are not installed")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", SETS)
def test_tiffinfo_has_nothing_to_say(tmp_path: Path, mode: str, ending: str) -> None:
    """Libtiff reads each file, half written and closed, without a warning."""
    case = made(ending, mode)
    with create_stream(case.settings(tmp_path)) as stream:
        for number in range(case.total):
            stream.append(case.pixels(number), frame_metadata=case.facts(number))
        stream.flush()
        files = files_of(tmp_path / stream.settings.output_path)
        told = [listed(file) for file in files]
    told += [listed(file) for file in files]
    assert [t.stderr for t in told] == [""] * len(told)
    assert [t.returncode for t in told] == [0] * len(told)
