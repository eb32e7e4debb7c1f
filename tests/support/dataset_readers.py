"""Third-party readers of the output."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.formats import lay_out

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.dataset import ImageSpec
    from ome_writers.routing import Plan


def read_images(plan: Plan, shapes: list[tuple[int, ...]] | None = None) -> list[NDArray[Any]]:
    """Return the pixels of each image of a dataset in storage order.

    OME-Zarr is read with tensorstore and, if it is installed, with zarr-python, which must agree. OME-TIFF is read with
    tifffile, whose arrays omit axes of length 1 and are reshaped to `shapes`. Scratch is read with numpy.
    """
    plan, layout = lay_out(plan)
    read = {"ome-zarr": _zarr, "ome-tiff": _tiff, "scratch": _scratch}[plan.settings.format.name]
    images = []
    for image in plan.images:
        shape = None if shapes is None else shapes[image.number]
        images.append(read(layout.root / image.array.key, image, shape))
    return images


def zarr_shapes(plan: Plan) -> list[tuple[int, ...]]:
    """Return the shape of each array as read by tensorstore."""
    plan, layout = lay_out(plan)
    return [tuple(_open(layout.root / image.array.key).shape) for image in plan.images]


def _zarr(path: Path, image: ImageSpec, shape: object) -> NDArray[Any]:
    store = _open(path)
    array: NDArray[Any] = store.read().result()
    assert store.domain.labels == image.dims
    if find_spec("zarr") is not None:  # it needs Python 3.11
        import zarr

        store = zarr.storage.LocalStore(
            path, read_only=True
        )  # zarr-python may interpret a string as a URL
        assert np.array_equal(zarr.open_array(store, mode="r")[...], array)
    return array


def _open(path: Path) -> Any:
    import tensorstore

    store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return tensorstore.open(store).result()


def _tiff(path: Path, image: ImageSpec, shape: Any) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path, is_mmstack=False) as file:
        # the OME-XML of a file describes the whole set, and tifffile opens the other files
        found = [series for series in file.series if series.kind == "ome"]
        array: NDArray[Any] = found[image.number if len(found) > 1 else 0].asarray()
    return array if shape is None else array.reshape(shape)


def _scratch(path: Path, image: ImageSpec, shape: Any) -> NDArray[Any]:
    mapped = np.memmap(path, image.array.dtype, "r", shape=shape or image.shape)
    return np.array(mapped)  # a copy: Windows does not remove mapped files
