"""Readers of OME-Zarr: Python packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from readers.samples import RECIPES
from readers.verdict import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from readers.samples import Sample
    from readers.verdict import Images


def _zarr_python(sample: Sample) -> Images:
    import zarr

    root = zarr.open_group(sample.path, mode="r")
    return [np.asarray(root[f"{path}/0".lstrip("/")][...]) for path in sample.images]


def _zarr_python_level(sample: Sample, level: int) -> Any:
    return _zarr_python_array(sample, str(level))


def _zarr_python_array(sample: Sample, path: str) -> Any:
    import zarr

    return np.asarray(zarr.open_group(sample.path, mode="r")[path][...])


def _zarrs(sample: Sample) -> Images:
    import zarr

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return _zarr_python(sample)


def _zarrs_array(sample: Sample, path: str) -> Any:
    import zarr

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return _zarr_python_array(sample, path)


def _tensorstore(sample: Sample) -> Images:
    return [_tensorstore_array(sample.path / path / "0") for path in sample.images]


def _tensorstore_array(path: Path) -> Any:
    import tensorstore

    store = {"driver": "file", "path": str(path)}
    array = tensorstore.open({"driver": "zarr3", "kvstore": store}, open=True).result()
    return np.asarray(array.read().result())


def _ome_zarr_py(sample: Sample) -> Images:
    if sample.plate:
        assert _ome_zarr_py_levels(sample.path), "the plate has no picture"
    return [np.asarray(_ome_zarr_py_levels(sample.path / path)[0]) for path in sample.images]


def _ome_zarr_py_levels(path: Path) -> Any:
    """Return the levels of the first image, full resolution first."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader as Nodes

    location = parse_url(path, mode="r")
    assert location is not None, f"no OME-Zarr at {path}"
    return next(node.data for node in Nodes(location)() if node.data)


def _ome_zarr_py_derived(sample: Sample, path: str) -> Any:
    """Return the pixels of labels as a node of the image, and of other images from their group."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader as Nodes

    image, labels, name = path.rpartition("labels/")
    if not labels:
        return _ome_zarr_py_levels(sample.path / path)[0]
    location = parse_url(sample.path / image, mode="r")
    assert location is not None, f"no OME-Zarr at {image}"
    nodes = {node.zarr.basename(): node for node in Nodes(location)() if node.data}
    assert name in nodes, f"labels {sorted(nodes)}"
    return nodes[name].data[0]


def _ome_zarr_models(sample: Sample) -> Images:
    from ome_zarr_models import open_ome_zarr

    for path in ["", *sample.images] if sample.plate else sample.images:
        open_ome_zarr(sample.path / path, version="0.5")
    for path in sample.derived:
        open_ome_zarr(sample.path / path, version="0.5")
    for group, names in _label_groups(sample).items():
        listed = open_ome_zarr(sample.path / group, version="0.5").ome_attributes.labels
        assert listed == names, f"{group}: labels {listed}"
    return []


def _yaozarrs(sample: Sample) -> Images:
    import yaozarrs

    for path in ["", *sample.derived]:
        yaozarrs.validate_zarr_store(str(sample.path / path))
    for group, names in _label_groups(sample).items():
        metadata = yaozarrs.open_group(str(sample.path / group)).ome_metadata()
        assert metadata.labels == names, f"{group}: labels {metadata.labels}"
    return []


def _label_groups(sample: Sample) -> dict[str, list[str]]:
    """Return the path of the group of labels of each image, with the names that it must list."""
    paths = [path.rpartition("/") for path in sample.derived]
    return {group: [name] for group, _, name in paths if group.endswith("labels")}


def _ngff_zarr(sample: Sample) -> Images:
    import ngff_zarr

    if sample.plate:
        ngff_zarr.from_hcs_zarr(str(sample.path))
    return [
        np.asarray(ngff_zarr.from_ngff_zarr(str(sample.path / path)).images[0].data)
        for path in sample.images
    ]


def _ngff_zarr_level(sample: Sample, level: int) -> Any:
    import ngff_zarr

    return np.asarray(ngff_zarr.from_ngff_zarr(str(sample.path)).images[level].data)


def _ngff_zarr_derived(sample: Sample, path: str) -> Any:
    import ngff_zarr

    return np.asarray(ngff_zarr.from_ngff_zarr(str(sample.path / path)).images[0].data)


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


def _iohub_level(sample: Sample, level: int) -> Any:
    from iohub import open_ome_zarr

    with open_ome_zarr(sample.path, mode="r") as position:
        return np.asarray(position[str(level)][...])


def _bioio(sample: Sample) -> Images:
    from bioio_ome_zarr import Reader as BioReader

    return [
        np.asarray(BioReader(str(sample.path / path)).get_image_data("TCZYX"))
        for path in sample.images
    ]


def _bioio_level(sample: Sample, level: int) -> Any:
    from bioio_ome_zarr import Reader as BioReader

    reader = BioReader(str(sample.path))
    reader.set_resolution_level(level)
    return np.asarray(reader.get_image_data("TCZYX"))


def _dask(sample: Sample) -> Images:
    return [_dask_array(sample, f"{path}/0".lstrip("/")) for path in sample.images]


def _dask_array(sample: Sample, key: str) -> Any:
    import dask.array

    return dask.array.from_zarr(str(sample.path), component=key).compute()


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


def _ngio_level(sample: Sample, level: int) -> Any:
    import ngio

    image = ngio.open_ome_zarr_container(str(sample.path), mode="r").get_image(path=str(level))
    assert (image.pixel_size.y, image.pixel_size.z) == (0.25 * 2**level, 0.5), "wrong pixel size"
    return image.get_as_numpy()


def _ngio_derived(sample: Sample, path: str) -> Any:
    import ngio

    image, labels, name = path.rpartition("labels/")
    if not labels:
        return (
            ngio.open_ome_zarr_container(str(sample.path / path), mode="r")
            .get_image()
            .get_as_numpy()
        )
    container = ngio.open_ome_zarr_container(str(sample.path / image), mode="r")
    assert container.list_labels() == [name], f"labels {container.list_labels()}"
    return container.get_label(name).get_as_numpy()


def _napari(sample: Sample) -> Images:
    """Open what a user drops on the window: the root, or a field of view of a plate."""
    from napari_ome_zarr import napari_get_reader

    found = []
    for path in sample.images if sample.plate else [""]:
        target = str(sample.path / path)
        layers = napari_get_reader(target)(target)
        layers = [layer for layer in layers if layer[2] != "labels"]
        for data, looks, *_ in layers:
            assert looks["scale"][-2:] == [0.25, 0.25], f"scale {looks['scale']}"
            assert [name.split(": ")[-1] for name in looks["name"]] == ["DAPI", "BF"], "no names"
            found.append(np.asarray(data[0]))
    return found


def _napari_level(sample: Sample, level: int) -> Any:
    from napari_ome_zarr import napari_get_reader

    layers = napari_get_reader(str(sample.path))(str(sample.path))
    ((data, *_),) = [layer for layer in layers if layer[2] != "labels"]
    return np.asarray(data[level])


def _napari_derived(sample: Sample, path: str) -> Any:
    from napari_ome_zarr import napari_get_reader

    image, labels, _ = path.rpartition("labels/")
    target = str(sample.path / (image if labels else path))
    layers = napari_get_reader(target)(target)
    if not labels:
        ((data, *_),) = layers
        return np.asarray(data[0])
    found = [np.asarray(data[0]) for data, looks, kind in layers if kind == "labels"]
    assert len(found) == 1, f"{len(found)} layers of labels"
    return found[0]


XARRAY = (
    "the levels of an image are one group, and xarray does not accept variables whose dimensions have one name and "
    "several sizes: open one with xarray.open_zarr(path, drop_variables=['1', '2'], consolidated=False), or with "
    "`ome_writers.open(path, level=1).to_xarray()`"
)

READERS = (
    Reader(
        "zarr-python",
        "zarr",
        _zarr_python,
        {},
        _zarr_python_level,
        lambda s, p: _zarr_python_array(s, f"{p}/0"),
    ),
    Reader(
        "tensorstore",
        "zarr",
        _tensorstore,
        {},
        lambda s, k: _tensorstore_array(s.path / str(k)),
        lambda s, p: _tensorstore_array(s.path / p / "0"),
    ),
    Reader(
        "zarrs",
        "zarr",
        _zarrs,
        {},
        lambda s, k: _zarrs_array(s, str(k)),
        lambda s, p: _zarrs_array(s, f"{p}/0"),
    ),
    Reader(
        "ome-zarr-py",
        "zarr",
        _ome_zarr_py,
        {},
        lambda s, k: _ome_zarr_py_levels(s.path)[k],
        _ome_zarr_py_derived,
    ),
    Reader("ome-zarr-models", "zarr", _ome_zarr_models, {}),
    Reader("yaozarrs", "zarr", _yaozarrs, {}),
    Reader("ngff-zarr", "zarr", _ngff_zarr, {}, _ngff_zarr_level, _ngff_zarr_derived),
    Reader("iohub", "zarr", _iohub, {}, _iohub_level),
    Reader("bioio-ome-zarr", "zarr", _bioio, {}, _bioio_level),
    Reader(
        "dask",
        "zarr",
        _dask,
        {},
        lambda s, k: _dask_array(s, str(k)),
        lambda s, p: _dask_array(s, f"{p}/0"),
    ),
    Reader(
        "xarray",
        "zarr",
        _xarray,
        {recipe.name: XARRAY for recipe in RECIPES if recipe.format == "zarr" and recipe.levels},
    ),
    Reader("ngio", "zarr", _ngio, {}, _ngio_level, _ngio_derived),
    Reader("napari-ome-zarr", "zarr", _napari, {}, _napari_level, _napari_derived),
)
