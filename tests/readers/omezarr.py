"""Readers of OME-Zarr that are Python packages."""

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
        place = {"driver": "file", "path": str(sample.path / path / "0")}
        array = tensorstore.open({"driver": "zarr3", "kvstore": place}, open=True).result()
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
)
