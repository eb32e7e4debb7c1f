"""Readers of OME-Zarr: Python packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from readers.verdict import Reader

if TYPE_CHECKING:
    from readers.samples import Sample
    from readers.verdict import Images


def _zarr_python(sample: Sample) -> Images:
    import zarr

    root = zarr.open_group(sample.path, mode="r")
    return [np.asarray(root[f"{path}/0".lstrip("/")][...]) for path in sample.images]


def _zarrs(sample: Sample) -> Images:
    import zarr

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return _zarr_python(sample)


def _tensorstore(sample: Sample) -> Images:
    import tensorstore

    found = []
    for path in sample.images:
        store = {"driver": "file", "path": str(sample.path / path / "0")}
        array = tensorstore.open({"driver": "zarr3", "kvstore": store}, open=True).result()
        found.append(np.asarray(array.read().result()))
    return found


def _ome_zarr_py(sample: Sample) -> Images:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader as Nodes

    def nodes(path: str) -> list[np.ndarray]:
        location = parse_url(sample.path / path, mode="r")
        assert location is not None, f"no OME-Zarr at {path!r}"
        return [node.data[0] for node in Nodes(location)() if node.data]

    if sample.plate:
        assert nodes(""), "the plate has no picture"
    return [np.asarray(nodes(path)[0]) for path in sample.images]


def _ome_zarr_models(sample: Sample) -> Images:
    from ome_zarr_models import open_ome_zarr

    for path in ["", *sample.images] if sample.plate else sample.images:
        open_ome_zarr(sample.path / path, version="0.5")
    return []


def _yaozarrs(sample: Sample) -> Images:
    import yaozarrs

    yaozarrs.validate_zarr_store(str(sample.path))
    return []


def _ngff_zarr(sample: Sample) -> Images:
    import ngff_zarr

    if sample.plate:
        ngff_zarr.from_hcs_zarr(str(sample.path))
    return [
        np.asarray(ngff_zarr.from_ngff_zarr(str(sample.path / path)).images[0].data)
        for path in sample.images
    ]


def _iohub(sample: Sample) -> Images:
    from iohub import open_ome_zarr

    if sample.plate:
        with open_ome_zarr(sample.path, mode="r") as plate:
            return [np.asarray(position["0"][...]) for _, position in plate.positions()]
    found = []
    for path in sample.images:
        with open_ome_zarr(sample.path / path, mode="r") as position:
            found.append(np.asarray(position["0"][...]))
    return found


def _bioio(sample: Sample) -> Images:
    from bioio_ome_zarr import Reader as BioReader

    return [
        np.asarray(BioReader(str(sample.path / path)).get_image_data("TCZYX"))
        for path in sample.images
    ]


def _dask(sample: Sample) -> Images:
    import dask.array

    return [
        dask.array.from_zarr(str(sample.path), component=f"{path}/0".lstrip("/")).compute()
        for path in sample.images
    ]


def _xarray(sample: Sample) -> Images:
    """Open the whole hierarchy from its root; the axes must have their names."""
    import xarray

    tree = xarray.open_datatree(sample.path, engine="zarr", consolidated=False)
    arrays = [tree[f"{path}/0".lstrip("/")] for path in sample.images]
    assert all(array.dims == tuple("tczyx") for array in arrays), "names of axes are missing"
    return [array.values for array in arrays]


def _ngio(sample: Sample) -> Images:
    import ngio

    found = []
    for path in sample.images:
        image = ngio.open_ome_zarr_container(str(sample.path / path), mode="r").get_image()
        size = image.pixel_size
        assert (size.t, size.z, size.y, size.x) == (2.5, 0.5, 0.25, 0.25), f"pixels of {size}"
        assert image.channel_labels == ["DAPI", "BF"], f"channels {image.channel_labels}"
        found.append(image.get_as_numpy())
    return found


def _napari(sample: Sample) -> Images:
    """Open what a user drops on the window: the root, or a field of view of a plate."""
    from napari_ome_zarr import napari_get_reader

    found = []
    for path in sample.images if sample.plate else [""]:
        target = str(sample.path / path)
        layers = napari_get_reader(target)(target)
        for data, looks, *_ in layers:
            assert looks["scale"][-2:] == [0.25, 0.25], f"scale {looks['scale']}"
            assert [name.split(": ")[-1] for name in looks["name"]] == ["DAPI", "BF"], "no names"
            found.append(np.asarray(data[0]))
    return found


READERS = (
    Reader("zarr-python", "zarr", _zarr_python, {}),
    Reader("tensorstore", "zarr", _tensorstore, {}),
    Reader("zarrs", "zarr", _zarrs, {}),
    Reader("ome-zarr-py", "zarr", _ome_zarr_py, {}),
    Reader("ome-zarr-models", "zarr", _ome_zarr_models, {}),
    Reader("yaozarrs", "zarr", _yaozarrs, {}),
    Reader("ngff-zarr", "zarr", _ngff_zarr, {}),
    Reader("iohub", "zarr", _iohub, {}),
    Reader("bioio-ome-zarr", "zarr", _bioio, {}),
    Reader("dask", "zarr", _dask, {}),
    Reader("xarray", "zarr", _xarray, {}),
    Reader("ngio", "zarr", _ngio, {}),
    Reader("napari-ome-zarr", "zarr", _napari, {}),
)
