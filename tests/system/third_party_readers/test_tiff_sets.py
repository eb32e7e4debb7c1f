"""Each file of an OME-TIFF set can be opened alone, with tifffile and with libtiff's ``tiffinfo``."""

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
    "cancelled, c before t in storage order": Case(
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
    "unbounded": Case(
        "endless", "tpc", (None, 2, 2), frames=10, reached=({"t": 3}, {"t": 2}), metadata=False
    ),
}
# raised by tifffile for sets
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")


def set_case(ending: str, mode: str, compression: str = "none") -> Case:
    """Return a case with a mode of `multi_file_metadata`."""
    format_ = {"multi_file_metadata": mode}
    return dataclasses.replace(ENDINGS[ending], compression=compression, format=format_)


def files_of(folder: Path) -> list[Path]:
    """Return the TIFF files of a set."""
    found = sorted(folder.glob("*.tiff"))
    assert len(found) == 2
    return found


def planes(case: Case, image: np.ndarray) -> np.ndarray:
    """Return the planes of an image of shape (t, c, z, y, x) in storage order."""
    transposed = case.order != "ome"
    return (image.swapaxes(0, 1) if transposed else image).reshape(-1, *image.shape[-2:])


def series_of(file: Path) -> tuple[bool, list[np.ndarray]]:
    """Return whether a file has the metadata of the whole set, and the planes of each series in tifffile."""
    with tifffile.TiffFile(file) as tiff:
        whole = "<BinaryOnly" not in tiff.ome_metadata
        return whole, [s.asarray().reshape(-1, *s.shape[-2:]) for s in tiff.series]


def check(case: Case, files: Sequence[Path], images: list[np.ndarray]) -> None:
    """Check the series of each file, opened alone."""
    has_full_metadata = []
    for number, file in enumerate(files):
        whole, series = series_of(file)
        has_full_metadata.append(whole)
        if whole:
            assert len(series) == len(images)
            for found, expected in zip(series, images, strict=True):
                np.testing.assert_array_equal(found, expected)
            continue
        (found,) = series  # its own pages: tifffile does not open the companion
        if case.order != "ome":  # blank pages without frames may stay
            found, expected = (p[p.any(axis=(1, 2))] for p in (found, images[number]))
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_array_equal(found, images[number])
    mode = case.format["multi_file_metadata"]
    assert has_full_metadata == {"redundant": [True, True], "master-tiff": [True, False]}.get(
        mode, [False, False]
    )


def run_tiffinfo(file: Path) -> subprocess.CompletedProcess[str]:
    """List all IFDs and read all pixels."""
    arguments = ["tiffinfo", "-D", str(file)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300)


# A normal run has each mode with each ending, and both compressions with each of these.
ALONE = [
    pytest.param(mode, ending, compression, marks=() if (i + j + k) % 2 else pytest.mark.sweep)
    for i, mode in enumerate(SETS)
    for j, ending in enumerate(ENDINGS)
    for k, compression in enumerate(["none", "deflate"])
]


@pytest.mark.parametrize(("mode", "ending", "compression"), ALONE)
def test_each_file_opened_alone(tmp_path: Path, mode: str, ending: str, compression: str) -> None:
    """During the acquisition and after `close`."""
    case = set_case(ending, mode, compression)
    images = [planes(case, image) for image in case.expected()]
    with create_stream(case.settings(tmp_path)) as stream:
        for number in range(case.total):
            stream.append(case.pixels(number), frame_metadata=case.facts(number))
        stream.flush()
        files = files_of(tmp_path / stream.settings.output_path)
        for number, file in enumerate(files):
            whole, series = series_of(file)
            for image, found in enumerate(series):
                expected = images[image if whole else number]
                expected, found = (p[p.any(axis=(1, 2))] for p in (expected, found))
                np.testing.assert_array_equal(found, expected)
    check(case, files, images)


@pytest.mark.parametrize("frame", [(20, 30), (1, 30)])
def test_entry_file_of_a_set_with_one_image(tmp_path: Path, frame: tuple[int, int]) -> None:
    """The planes are read from the file of the set, not from the entry file that was opened."""
    case = Case("one", "tc", (3, 2), frame=frame, format={"prefer_single_file": "never"})
    with create_stream(case.settings(tmp_path)) as stream:
        for number in range(case.total):
            stream.append(case.pixels(number))
    (image,) = case.expected()
    found = tifffile.imread(tmp_path / "one.ome.tiff")
    np.testing.assert_array_equal(found.reshape(image.shape), image)


@pytest.mark.skipif(shutil.which("tiffinfo") is None, reason="libtiff's tools are not installed")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", SETS)
def test_tiffinfo_has_no_warnings(tmp_path: Path, mode: str, ending: str) -> None:
    """During the acquisition and after `close`."""
    case = set_case(ending, mode)
    with create_stream(case.settings(tmp_path)) as stream:
        for number in range(case.total):
            stream.append(case.pixels(number), frame_metadata=case.facts(number))
        stream.flush()
        files = files_of(tmp_path / stream.settings.output_path)
        results = [run_tiffinfo(file) for file in files]
    results += [run_tiffinfo(file) for file in files]
    assert [r.stderr for r in results] == [""] * len(results)
    assert [r.returncode for r in results] == [0] * len(results)
