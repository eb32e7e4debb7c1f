"""The levels of a pyramid lie on top of each other in third-party readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import Dimension, Pyramid, create_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Level = tuple[np.ndarray[Any, Any], dict[str, float], dict[str, float]]
    """Pixels (z, y, x), scale and translation by axis."""

pytestmark = pytest.mark.filterwarnings("ignore")  # of the readers

SHAPE = (31, 301, 240)
SCALE = (2.0, 0.5, 0.25)  # micrometer
SPOT = (29.7, 81.3, 24.9)


def ome_zarr_py(path: Path) -> Iterator[Level]:
    from ome_zarr import io, reader

    (node, *_) = reader.Reader(io.parse_url(path, mode="r"))()
    for data, transformations in zip(
        node.data, node.metadata["coordinateTransformations"], strict=True
    ):
        found = {t["type"]: dict(zip("zyx", t[t["type"]], strict=True)) for t in transformations}
        yield np.asarray(data), found["scale"], found.get("translation", dict.fromkeys("zyx", 0.0))


def ngff_zarr(path: Path) -> Iterator[Level]:
    import ngff_zarr

    for image in ngff_zarr.from_ngff_zarr(str(path)).images:
        yield np.asarray(image.data), image.scale, image.translation


def bioio(path: Path) -> Iterator[Level]:
    """Its `scale` is that of each level; it has no interface for translations, so they are read from its metadata."""
    import bioio_ome_zarr

    reader = bioio_ome_zarr.Reader(str(path))
    for level in reader.resolution_levels:
        reader.set_resolution_level(level)
        (_, *moves) = reader._multiscales_metadata[0]["datasets"][level][
            "coordinateTransformations"
        ]
        move = moves[0]["translation"] if moves else (0.0, 0.0, 0.0)
        scale = {axis: getattr(reader.scale, axis.upper()) for axis in "zyx"}
        pixels = np.asarray(reader.get_image_data("ZYX"))
        yield pixels, scale, dict(zip("zyx", move, strict=True))


@pytest.mark.parametrize(
    ("read", "library"),
    [(ome_zarr_py, "ome_zarr"), (ngff_zarr, "ngff_zarr"), (bioio, "bioio_ome_zarr")],
)
@pytest.mark.parametrize("axes", [("y", "x"), ("z", "y", "x")], ids="".join)
def test_centroid_of_a_spot_is_equal_in_all_levels(
    tmp_path: Path, axes: Any, read: Callable[[Path], Iterator[Level]], library: str
) -> None:
    """Within 0.05 pixels of full resolution; half a pixel per level would be lost without translations."""
    pytest.importorskip(library)
    dimensions = [
        Dimension(name=name, count=n, scale=s, unit="micrometer")
        for name, n, s in zip("zyx", SHAPE, SCALE, strict=True)
    ]
    grid = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(SHAPE, SCALE, strict=True)), indexing="ij"
    )
    distance = sum(((g - c) / w) ** 2 for g, c, w in zip(grid, SPOT, (8, 10, 5), strict=True))
    path = tmp_path / "spot.ome.zarr"
    pyramid = Pyramid(levels=3, axes=axes)
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", pyramid=pyramid
    ) as stream:
        for plane in (60_000 * np.exp(-distance / 2)).astype("uint16"):
            stream.append(plane)
    levels = list(read(path))
    assert len(levels) == 4
    for pixels, scale, translation in levels:
        sums = [pixels.sum(axis=tuple({0, 1, 2} - {i}), dtype=float) for i in range(3)]
        for name, total, size, expected in zip("zyx", sums, SCALE, SPOT, strict=True):
            centers = np.arange(len(total)) * scale[name] + translation[name]
            centroid = (total * centers).sum() / total.sum()
            assert abs(centroid - expected) < 0.05 * size, (pixels.shape, name)
