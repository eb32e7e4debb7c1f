"""`pyramid` in the settings, and the levels that are planned from it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ome_writers import AcquisitionSettings, Dimension, Pyramid, UnsupportedError
from ome_writers.routing import resolve


def settings(*extents: int | None, names: str = "tzyx", **fields: Any) -> AcquisitionSettings:
    dimensions = [
        Dimension(name=name, count=extent)
        for name, extent in zip(names[-len(extents) :], extents, strict=True)
    ]
    return AcquisitionSettings(
        **{"root_path": "run.ome.zarr", "dimensions": dimensions, "dtype": "uint16", **fields}
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max", Pyramid(method="max")),
        (True, Pyramid()),
        (False, None),
        (None, None),
        ({"levels": 2, "axes": ["z", "y", "x"]}, Pyramid(levels=2, axes=("z", "y", "x"))),
    ],
)
def test_short_forms(value: Any, expected: Pyramid | None) -> None:
    assert AcquisitionSettings(pyramid=value).pyramid == expected


def test_settings_survive_json() -> None:
    before = settings(64, 64, pyramid=Pyramid(axes=("z", "y", "x"), levels=1))
    assert AcquisitionSettings.model_validate_json(before.model_dump_json()) == before


@pytest.mark.parametrize(
    "value", ["gaussian", {"levels": 0}, {"axes": ["x", "y"]}, {"axes": ["t"]}, {"smallest": 0}]
)
def test_invalid_values_are_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        AcquisitionSettings(pyramid=value)


def test_z_levels_of_ome_tiff_are_refused() -> None:
    pyramid = Pyramid(axes=("z", "y", "x"))
    with pytest.raises(ValidationError, match=r"OME-TIFF.*a SubIFD belongs to one plane"):
        settings(64, 64, root_path="run.ome.tiff", pyramid=pyramid)


def test_auto_halves_until_y_and_x_are_small() -> None:
    (image,) = resolve(settings(7, 5, 2048, 300, pyramid="mean")).images
    assert [level.shape for level in image.levels[1:]] == [
        (7, 5, 1024, 150),
        (7, 5, 512, 75),
        (7, 5, 256, 38),
    ]
    assert image.reductions[1].factors == (1, 1, 4, 4)
    assert image.reductions[1].offsets == (0, 0, 1.5, 1.5)
    assert image.levels[1].chunks == (1, 1, 1024, 150)
    assert resolve(settings(7, 5, 256, 256, pyramid="mean")).images[0].reductions == ()


def test_z_is_halved_until_one_plane_is_left() -> None:
    pyramid = Pyramid(axes=("z", "y", "x"), levels=3)
    (image,) = resolve(settings(7, 3, 64, 33, pyramid=pyramid)).images
    assert [level.shape for level in image.levels[1:]] == [
        (7, 2, 32, 17),
        (7, 1, 16, 9),
        (7, 1, 8, 5),
    ]
    assert [reduction.factors for reduction in image.reductions] == [
        (1, 2, 2, 2),
        (1, 4, 4, 4),
        (1, 4, 8, 8),
    ]


def test_decimate_keeps_the_first_sample_in_place() -> None:
    (image,) = resolve(settings(512, 512, pyramid="decimate")).images
    assert image.reductions[0].offsets == (0, 0)


def test_unbounded_z_is_reduced() -> None:
    pyramid = Pyramid(axes=("z", "y", "x"), levels=1)
    (image,) = resolve(settings(None, 64, 64, names="zyx", pyramid=pyramid)).images
    assert image.reductions[0].shape((5, 64, 64)) == (3, 32, 32)


def test_chunks_and_shards_are_clipped_to_the_level() -> None:
    dimensions = [
        Dimension(name="t", count=100, chunk_size=2, shard_size_chunks=10),
        Dimension(name="y", count=1000, chunk_size=256, shard_size_chunks=4),
        Dimension(name="x", count=1000, chunk_size=256, shard_size_chunks=4),
    ]
    (image,) = resolve(settings(64, 64, dimensions=dimensions, pyramid={"smallest": 200})).images
    arrays = [(level.chunks, level.shards) for level in image.levels[1:]]
    assert arrays == [
        ((2, 256, 256), (20, 512, 512)),
        ((2, 250, 250), (20, 250, 250)),
        ((2, 125, 125), (20, 125, 125)),
    ]


@pytest.mark.parametrize(("method", "dtype"), [("mean", "bool"), ("max", "complex64")])
def test_methods_without_meaning_for_the_dtype_are_refused(method: Any, dtype: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{method!r} is not defined for dtype {dtype!r}"):
        resolve(settings(512, 512, dtype=dtype, pyramid=method))


def test_more_levels_than_the_frame_has_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="can be halved 6 times, got levels=7"):
        resolve(settings(64, 33, pyramid={"levels": 7}))
