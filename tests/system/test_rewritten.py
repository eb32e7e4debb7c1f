"""Repair refuses datasets that another program has rewritten, and keeps files of users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    UnsupportedError,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers.repair import repair
from support.interrupted import checksums

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = np.arange(64, dtype="uint16").reshape(8, 8)


def _written(path: Path, **more: Any) -> Path:
    """Write a dataset of six frames."""
    dimensions = more.pop("dimensions", dims_from_standard_axes({"t": 6, "y": 8, "x": 8}))
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16", **more)
    with create_stream(settings) as stream:
        for number in range(6):
            stream.append(FRAME + number)
    return Path(settings.output_path)


def _as_writing(description: str) -> str:
    """Return OME-XML with the status before `close`."""
    assert "complete" in description
    return description.replace("complete", "writing")


def _by_tifffile(path: Path, **more: Any) -> None:
    """Rewrite a file with tifffile, as scripts do to edit pixels, and keep the ImageDescription."""
    with tifffile.TiffFile(path) as tiff:
        pixels, description = tiff.asarray(), tiff.pages.first.description
    tifffile.imwrite(
        path,
        pixels,
        description=_as_writing(description).encode(),
        metadata=None,
        bigtiff=True,
        byteorder="<",
        **more,
    )


def _with_sub_ifds(path: Path) -> None:
    """Rewrite a file with a pyramid in SubIFDs."""
    with tifffile.TiffFile(path) as tiff:
        pixels, description = tiff.asarray(), tiff.pages.first.description
    with tifffile.TiffWriter(path, bigtiff=True, byteorder="<") as writer:
        for number, page in enumerate(pixels):
            text = _as_writing(description).encode() if number == 0 else None
            writer.write(page, description=text, subifds=1, metadata=None, photometric="minisblack")
            writer.write(page[::2, ::2], subfiletype=1, metadata=None, photometric="minisblack")


@pytest.mark.parametrize(
    "rewrite",
    [
        _by_tifffile,
        lambda path: _by_tifffile(path, contiguous=False),
        lambda path: _by_tifffile(path, compression="deflate"),
        lambda path: _by_tifffile(path, software="ome-writers 1.0.0"),
        _with_sub_ifds,
    ],
    ids=["plain", "pages", "deflate", "our-name", "sub-ifds"],
)
def test_rewritten_tiff_is_refused_unchanged(
    tmp_path: Path, rewrite: Callable[[Path], None]
) -> None:
    """The OME-XML is from this library, the IFDs are not."""
    path = _written(tmp_path / "x.ome.tiff")
    rewrite(path)
    before = checksums(path)
    for dry_run in (True, False):
        with pytest.raises((UnsupportedError, OSError), match="rewritten|BigTIFF"):
            repair(path, dry_run=dry_run)
    assert checksums(path) == before
    assert tifffile.imread(path)[3].tolist() == (FRAME + 3).tolist()


def _rechunked(path: Path, chunks: tuple[int, ...]) -> None:
    """Rewrite the array with zarr-python in other chunks, and set the status back to writing."""
    zarr = pytest.importorskip("zarr", reason="zarr-python 3 rewrites the array")
    pixels = zarr.open_array(str(path / "0"), mode="r")[...]
    array = zarr.create_array(
        str(path / "0"), data=pixels, chunks=chunks, overwrite=True, dimension_names=["t", "y", "x"]
    )
    assert array.shape == (6, 8, 8)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome_writers"]["status"] = "writing"
    (path / "zarr.json").write_text(json.dumps(metadata))


@pytest.mark.parametrize("chunks", [(6, 8, 8), (2, 4, 4), (1, 8, 4)])
def test_rechunked_zarr_is_refused_unchanged(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    path = _written(tmp_path / "x.ome.zarr")
    _rechunked(path, chunks)
    before = checksums(path)
    for dry_run in (True, False):
        with pytest.raises(UnsupportedError, match="chunks in 0/zarr.json differ"):
            repair(path, dry_run=dry_run)
    assert checksums(path) == before


def test_files_of_users_are_kept(tmp_path: Path) -> None:
    """Temporary names are removed only in the folders in which an engine creates them."""
    path = _written(tmp_path / "x.ome.zarr")
    users = [
        ".x.tmp",
        "y.__lock",
        ".notes.12-34.tmp",
        "0/.7.tmp",
        "0/c/.x.tmp",
        ".12.tmp",
        "0/c/0/a.__lock",
    ]
    engines = [".zarr.json.12-34.tmp", "0/.zarr.json.5-6.tmp", "0/c/0/0/.0.tmp", "0/c/0/0/0.__lock"]
    engines += [f"0/c/1/0/0.{'a' * 32}.partial"]
    for name in (*users, *engines):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"mine")
    removed = {finding.path.relative_to(path).as_posix() for finding in repair(path).findings}
    kept = {name for name in (*users, *engines) if (path / name).exists()}
    assert removed == {*engines, "0/.7.tmp"}
    assert kept == set(users) - {"0/.7.tmp"}


def test_files_of_users_beside_a_set_are_kept(tmp_path: Path) -> None:
    """In the folder of a TIFF set, only temporary files of its members are removed."""
    dimensions = [
        Dimension(name="p", type="position", coords=["a", "b"]),
        *dims_from_standard_axes({"t": 3, "y": 8, "x": 8}),
    ]
    path = _written(tmp_path / "x.ome.tiff", dimensions=dimensions)
    ours = path / ".x_p000.ome.tiff.12-34.tmp"
    users = [path / name for name in (".x.tmp", "y.__lock", ".notes.12-34.tmp", ".7.tmp")]
    for file in (ours, *users):
        file.write_bytes(b"mine")
    repair(path)
    assert not ours.exists()
    assert all(file.exists() for file in users)
