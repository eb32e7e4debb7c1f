"""OME-Zarr 0.4, which is Zarr v2: a new OME-Zarr 0.5 is rewritten. Metadata is translated, chunks are renamed.

Sources: https://ngff.openmicroscopy.org/0.4/, https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ome_writers import codecs
from ome_writers.dataset import DatasetSpec
from ome_writers.errors import OutputExistsError, SettingsError, UnsupportedError
from ome_writers.file_sharing import rename
from ome_writers.file_sync import sync_folder, sync_tree
from ome_writers.formats.omezarr.node_metadata import KEYS_04, compression_of_codecs
from ome_writers.settings import OmeZarrFormat
from ome_writers.untrusted import read_json

Json = dict[str, Any]

_VERSION = "0.4"


@contextmanager
def rewritten(
    source: DatasetSpec,
    destination: str | PathLike[str],
    shards: Mapping[str, int],
    compression: str | None,
) -> Iterator[tuple[Path, dict[str, int]]]:
    """Yield path and shard shapes of an OME-Zarr 0.5 to be written, which becomes the OME-Zarr 0.4 at `destination`.

    Until it is complete and on disk, it is in a temporary folder beside `destination`.

    Raises SettingsError for shards, UnsupportedError if Zarr v2 does not have the compression, and OutputExistsError if
    the output exists.
    """
    if any(shards.values()):
        raise SettingsError(
            f"{destination}: an OME-Zarr 0.4 has no shards. Leave out shard_shapes."
        )
    if compression is not None and compression in codecs.ZARR_COMPRESSIONS:
        _ = _compressor(compression)
    output = Path(OmeZarrFormat().get_output_path(destination))
    if os.path.lexists(output):
        raise OutputExistsError(
            f"{output} exists. Choose another name, or remove it; an OME-Zarr 0.4 is not overwritten."
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        written = Path(folder, output.name)
        yield written, {dim.name: 0 for dim in source.dimensions if dim.type != "position"}
        _rewrite(written)
        sync_tree(written)
        rename(written, output)
    sync_folder(output.parent)


def _rewrite(root: Path) -> None:
    """Translate the metadata of each group and array. Chunks have the same content and path, without ``c/``."""
    for file in [*root.rglob("zarr.json")]:
        content, folder = read_json(file), file.parent
        if content["node_type"] == "array":
            if codecs.CRC32C.name in [codec["name"] for codec in content["codecs"]]:
                _remove_checksums(folder / "c")
            _write(folder / ".zarray", _array(content))
            _write(folder / ".zattrs", {"_ARRAY_DIMENSIONS": content["dimension_names"]})
            if (chunks := folder / "c").is_dir():
                for name in os.listdir(chunks):
                    rename(chunks / name, folder / name)
                chunks.rmdir()
        else:
            _write(folder / ".zgroup", {"zarr_format": 2})
            _write(folder / ".zattrs", _attributes(content.get("attributes", {})))
        file.unlink()


def _compressor(compression: str) -> Mapping[str, Any] | None:
    """Return the ``compressor`` of ``.zarray``; None: uncompressed. UnsupportedError if Zarr v2 has no such one."""
    found = codecs.find_compression(compression).zarr
    if not found:
        return None
    (codec, *others) = found
    if codec.v2 is None or others:
        able = [
            name for name in codecs.ZARR_COMPRESSIONS if all(c.v2 for c in codecs.zarr_codecs(name))
        ]
        raise UnsupportedError(
            f"Compression {compression!r} is not supported for OME-Zarr 0.4 (Zarr v2). Supported: {tuple(able)}."
        )
    return codec.v2


def _remove_checksums(chunks: Path) -> None:
    """Cut the checksums off: few readers of Zarr v2 know the filter."""
    for file in chunks.rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size - codecs.CRC32C_BYTES)


def _array(content: Json) -> Json:
    """Return the ``.zarray`` of an array."""
    return {
        "zarr_format": 2,
        "shape": content["shape"],
        "chunks": content["chunk_grid"]["configuration"]["chunk_shape"],
        "dtype": np.dtype(content["data_type"]).newbyteorder("<").str,
        "compressor": _compressor(compression_of_codecs(content["codecs"])),
        "fill_value": content["fill_value"],
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def _attributes(attributes: Json) -> Json:
    """Return the ``.zattrs`` of a group: 0.4 has the keys of ``ome`` beside the others, with a version in each."""
    rest = {k: v for k, v in attributes.items() if k != "ome"}
    if own := rest.get("ome_writers"):  # without the settings, which are those of an OME-Zarr 0.5
        rest["ome_writers"] = {k: v for k, v in own.items() if k != "settings"}
        if "settings" in own:
            rest["ome_writers"]["acquisition"] = _acquisition(own["settings"]["dimensions"][:-2])
    ome = {k: v for k, v in attributes.get("ome", {}).items() if k != "version"}
    if "multiscales" in ome:
        ome["multiscales"] = [{**each, "version": _VERSION} for each in ome["multiscales"]]
    look = ome.get("image-label")
    labelled = {"image-label"} if isinstance(look, dict) and "version" in look else set()
    for key in ome.keys() & ({"plate", "well"} | labelled):
        ome[key] = {**ome[key], "version": _VERSION}
    if clash := sorted(rest.keys() & set(KEYS_04)):
        raise UnsupportedError(
            f"The key {clash[0]!r} of the source's metadata has another meaning in OME-Zarr 0.4. Rename it there."
        )
    return {**rest, **ome}


def _acquisition(dimensions: Sequence[Json]) -> Json:
    """Return what a reader cannot derive from the images: the order of the axes, and which channels have no color."""
    channels = [c for dim in dimensions if dim["type"] == "channel" for c in dim["coords"] or ()]
    return {
        "order": ["p" if dim["type"] == "position" else dim["name"] for dim in dimensions],
        "channels_without_color": [c["name"] for c in channels if c["color"] is None],
    }


def _write(file: Path, content: Json) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
