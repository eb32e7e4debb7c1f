"""Metadata files of groups and arrays, of any writer: ``zarr.json``, or ``.zattrs`` and ``.zarray`` of Zarr v2.

Sources: https://ngff.openmicroscopy.org/0.5/, https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, the page
of the sharding codec, and https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

# Longer than 300 lines: the nodes of one specification.
from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ome_writers.codecs import COMPRESSIONS, CRC32C, ZarrCodec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.settings import OmeZarrFormat
from ome_writers.untrusted import (
    check_chunk_shape,
    check_count,
    check_distinct,
    check_shape,
    locate,
    member,
    read_json_object,
)

Json = dict[str, Any]

_MAX_CHUNKS_PER_SHARD = 2**24  # 16 bytes each in the index
_ZARR_2_FILES = (".zattrs", ".zgroup", ".zarray")
KEYS_04 = ("multiscales", "omero", "plate", "well", "bioformats2raw.layout", "series", "labels")


def is_omezarr(path: Path) -> bool:
    """Return whether a folder, or a single-file archive, is a group or an array of Zarr v3."""
    if (path / "zarr.json").is_file():
        return True
    if path.suffix.lower() != OmeZarrFormat.archive_suffix:
        return False
    return locate(path).child("zarr.json").exists()


def is_zarr_v2(path: Path) -> bool:
    """Return whether a folder is a group or an array of Zarr v2."""
    return not is_omezarr(path) and any((path / name).is_file() for name in _ZARR_2_FILES)


def image_groups(root: Path) -> list[str]:
    """Return the paths of all image groups below `root`, in acquisition order; ``""`` is `root` itself.

    Raises UnsupportedError if `root` is not an OME-Zarr, or a path in its metadata is outside `root`.
    """
    return layout_and_groups(root)[1]


def layout_and_groups(
    root: Path, ome: dict[str, Any] | None = None
) -> tuple[Literal["image", "plate", "collection"], list[str]]:
    """Return the layout of an OME-Zarr, and its image groups; see `image_groups`. `ome` is that of `root`, if known."""
    ome = _ome(root, root) if ome is None else ome
    if "multiscales" in ome:
        return "image", [""]
    try:
        if "plate" in ome:
            wells = [well["path"] for well in ome["plate"]["wells"]]
            check_distinct(wells, f"{root}: the list of wells")
            return "plate", _checked(root, [path for w in wells for path in well_fields(root, w)])
        if "bioformats2raw.layout" in ome:
            return "collection", _checked(root, _ome(root / "OME", root)["series"])
    except KeyError as error:
        raise InvalidFileError(f"{root} is not a valid OME-Zarr: {error} is missing.") from error
    except (TypeError, AttributeError) as error:
        raise InvalidFileError(f"{root} is not a valid OME-Zarr: {error}.") from error
    raise UnsupportedError(
        f"{root} is not an OME-Zarr image, collection or plate: its group metadata contains none of the keys "
        f"multiscales, bioformats2raw.layout and plate."
    )


def well_fields(root: Path, well: str) -> list[str]:
    """Return the paths of the images in the metadata of a well.

    Raises KeyError, TypeError if the group metadata is missing or is not that of a well; InvalidFileError if a path is
    outside `root`.
    """
    images = _ome(member(root, well), root)["well"]["images"]
    return _checked(root, [f"{well}/{image['path']}" for image in images])


def group_attributes(group: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the attributes of a group; empty if it does not have any; see `read_json_object`."""
    content = read_json_object(group / "zarr.json", root or group)
    if not content and (old := read_json_object(group / ".zattrs", root or group)):
        return _as_05(old, group)
    attributes = content.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _as_05(old: dict[str, Any], group: Path) -> dict[str, Any]:
    """Return the ``.zattrs`` of an OME-Zarr 0.4, whose keys are beside each other, as 0.5 nests them in ``ome``."""
    multiscales = old.get("multiscales")
    models = multiscales if isinstance(multiscales, list) else []
    models = [*models, old.get("plate"), old.get("well")]
    versions = {str(model.get("version", "0.4")) for model in models if isinstance(model, dict)}
    if versions - {"0.4"}:
        raise UnsupportedError(
            f"{group} is an OME-Zarr {'/'.join(sorted(versions))} in Zarr v2; of Zarr v2, only 0.4 is read."
        )
    ome = {key: value for key, value in old.items() if key in KEYS_04}
    rest = {k: v for k, v in old.items() if k not in (*KEYS_04, "ome")}
    own = rest.pop("ome_writers", None)
    if isinstance(own, dict):  # the copy of a dataset of this library
        rest["ome_writers"] = {k: v for k, v in own.items() if k != "settings"}
    return {**rest, "ome": {"version": "0.4", **ome}}


def ome_writers_attributes(group: Path, root: Path | None = None) -> dict[str, Any]:
    """Return ``attributes.ome_writers`` of a group; empty if it does not exist."""
    own = group_attributes(group, root).get("ome_writers")
    return own if isinstance(own, dict) else {}


def read_settings(root: Path) -> dict[str, Any] | None:
    """Return the settings that this library stored in an OME-Zarr; None without settings of an OME-Zarr."""
    settings = ome_writers_attributes(root).get("settings")
    format_ = settings.get("format") if isinstance(settings, dict) else None
    is_own = isinstance(format_, dict) and format_.get("name") == "ome-zarr"
    return settings if is_own else None


def _ome(group: Path, root: Path) -> dict[str, Any]:
    ome = group_attributes(group, root).get("ome", {})
    return ome if isinstance(ome, dict) else {}


def _checked(root: Path, groups: Any) -> list[str]:
    """Return the paths of image groups; refuse duplicates, too many, and paths outside `root`."""
    if not isinstance(groups, list):
        raise InvalidFileError(
            f"{root}: the list of images in its metadata must be a JSON array, got "
            f"{type(groups).__name__}."
        )
    check_distinct(groups, f"{root}: the list of images")
    for group in groups:
        member(root, group)
    return groups


def check_expressible_in_05(ome: dict[str, Any], file: Path) -> None:
    """Raise UnsupportedError if 0.5 cannot express the coordinate systems of a group."""
    own_scene = ome.get("scene")
    steps = own_scene.get("coordinateTransformations", []) if isinstance(own_scene, dict) else []
    found = [step.get("type") for step in steps if step.get("type") != "identity"]
    for multiscale in ome.get("multiscales", []):
        if "coordinateSystems" not in multiscale:
            continue
        if len(multiscale["coordinateSystems"]) > 1:
            found.append(f"{len(multiscale['coordinateSystems'])} coordinate systems")
        found += [step.get("type") for step in multiscale.get("coordinateTransformations") or ()]
    if found:
        raise UnsupportedError(
            f"{file}: OME-Zarr 0.5 cannot express its coordinate transformations ({', '.join(map(str, found))}). "
            f"Keep the dataset at 0.6, or copy the pixels with `ome-writers convert`."
        )


@dataclass(frozen=True)
class ArrayMetadata:
    """Metadata of one array."""

    # shape of the array and of a chunk; with shards, of an inner chunk
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None  # shape of a shard; None without sharding
    # as in the file, unchecked
    data_type: Any
    fill_value: Any
    # name and configuration of each codec of a chunk, in the order of encoding
    codecs: tuple[Json, ...]
    shard_codecs: tuple[Json, ...] = ()  # codecs of a whole shard, after the sharding codec
    # names of the codecs of the shard index; empty without sharding
    index_codecs: tuple[str, ...] = ()
    index_at_start: bool = False  # whether the index is at the start of a shard
    v2_keys: bool = False  # whether the chunk keys have no `c` in front
    separator: str = "/"  # `"/"` or `"."`, between the numbers of a chunk key
    # names of the axes; None if the metadata has none
    dimension_names: tuple[str | None, ...] | None = None

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        """Number of inner chunks along each axis of a shard; 1 each without sharding."""
        outer = self.shards or self.chunks
        return tuple(o // c for o, c in zip(outer, self.chunks, strict=True))


def array_metadata_file(folder: Path) -> Path:
    """Return the path of the ``zarr.json`` of an array, or of its ``.zarray`` if it is of Zarr v2."""
    file, old = folder / "zarr.json", folder / ".zarray"
    return old if not file.is_file() and old.is_file() else file


def parse_array_metadata(metadata: Json, name: object) -> ArrayMetadata:
    """Return the parsed content of a ``zarr.json`` or ``.zarray``; `name` begins the error messages.

    Raises UnsupportedError if the chunk grid is not regular, and InvalidFileError if it is not the metadata of an
    array, or contains invalid numbers.
    """
    try:
        return _parse(_as_v3(metadata) if metadata.get("zarr_format") == 2 else metadata, name)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InvalidFileError(f"{name} is not valid array metadata: {what}.") from error


def _parse(metadata: Json, name: object) -> ArrayMetadata:
    if metadata.get("node_type") != "array":
        raise InvalidFileError(f"{name} is not an array: node_type {metadata.get('node_type')!r}.")
    shape = check_shape(metadata["shape"], name)
    grid = metadata["chunk_grid"]
    if grid["name"] != "regular":
        raise UnsupportedError(f"{name}: the chunk grid {grid['name']!r} is not supported.")
    outer = check_chunk_shape(
        grid["configuration"]["chunk_shape"], f"{name}: a chunk", axes=len(shape)
    )
    encoding = metadata["chunk_key_encoding"]
    v2_keys = encoding["name"] == "v2"
    separator = encoding.get("configuration", {}).get("separator", "." if v2_keys else "/")
    if separator not in (".", "/"):
        raise InvalidFileError(
            f"{name}: the separator of chunk keys must be '.' or '/', got {separator!r}."
        )
    names = metadata.get("dimension_names")
    array = ArrayMetadata(
        shape=shape,
        chunks=outer,
        shards=None,
        data_type=metadata["data_type"],
        fill_value=metadata["fill_value"],
        codecs=_checked_codecs(metadata["codecs"]),
        v2_keys=v2_keys,
        separator=separator,
        dimension_names=None if names is None else tuple(names),
    )
    return _with_shards(array, name) if array.codecs[0]["name"] == "sharding_indexed" else array


def _as_v3(metadata: Json) -> Json:
    """Return the content of a ``.zarray`` in the words of Zarr v3. Filters and Fortran order become codecs."""
    dtype, fill_value = metadata["dtype"], metadata["fill_value"]
    known = isinstance(dtype, str) and re.fullmatch(r"[<>|][biufc][0-9]{1,2}", dtype)
    codecs: list[Any] = [{"name": each["id"]} for each in metadata["filters"] or ()]
    if metadata["order"] != "C":
        codecs.append({"name": "transpose"})
    endian = "big" if known and dtype[0] == ">" else "little"
    codecs.append({"name": "bytes", "configuration": {"endian": endian}})
    if metadata["compressor"]:
        name = metadata["compressor"]["id"]
        codecs.append({"name": name, "configuration": metadata["compressor"]})
    separator = metadata.get("dimension_separator", ".")
    return {
        "node_type": "array",
        "shape": metadata["shape"],
        "data_type": np.dtype(dtype).name if known else dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": metadata["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": separator}},
        "fill_value": 0 if fill_value is None else fill_value,
        "codecs": codecs,
    }


def _with_shards(array: ArrayMetadata, name: object) -> ArrayMetadata:
    """Return the metadata of an array whose first codec is the sharding codec, with its chunks and shards."""
    sharding, *shard_codecs = array.codecs
    configuration = sharding["configuration"]
    inner = check_chunk_shape(
        configuration["chunk_shape"], f"{name}: an inner chunk", axes=len(array.shape)
    )
    sharded = replace(
        array,
        chunks=inner,
        shards=array.chunks,
        codecs=_checked_codecs(configuration["codecs"]),
        shard_codecs=tuple(shard_codecs),
        index_codecs=tuple(codec["name"] for codec in configuration["index_codecs"]),
        index_at_start=configuration.get("index_location", "end") == "start",
    )
    count = math.prod(sharded.chunks_per_shard)
    check_count(count, f"{name}: the number of chunks in a shard", _MAX_CHUNKS_PER_SHARD)
    if not count:
        raise InvalidFileError(f"{name}: a shard is smaller than its inner chunks.")
    return sharded


def _checked_codecs(codecs: Any) -> tuple[Json, ...]:
    """Return the codecs; raise if there is none, or one does not have a name."""
    for codec in codecs:
        _ = codec["name"], codec.get("configuration", {}).get("")
    return (codecs[0], *codecs[1:])


def compression_of_codecs(stored: Sequence[Json]) -> str:
    """Return the compression whose codecs are in array metadata; the name of another codec if it is not in the table.

    Codecs of arrays are ignored, and checksums are unless the compression has one.
    """
    codecs = [codec for codec in stored if codec["name"] not in ("bytes", "transpose")]
    unchecked = [codec for codec in codecs if codec["name"] != CRC32C.name]
    for candidates in (codecs, unchecked):
        found = [
            (sum(len(codec.identity) for codec in row.zarr), name)
            for name, row in COMPRESSIONS.items()
            if row.zarr is not None
            and len(row.zarr) == len(candidates)
            and all(map(_matches, row.zarr, candidates))
        ]
        if found:  # a row that compares more members is more specific
            return max(found)[1]
    name, library = unchecked[0]["name"], unchecked[0].get("configuration", {}).get("cname")
    return f"{name}-{library}" if name == "blosc" else str(name)


def _matches(codec: ZarrCodec, stored: Json) -> bool:
    """Whether `stored`, an entry of array metadata (see `ArrayMetadata.codecs`), is this codec."""
    found = stored.get("configuration", {})
    own = (codec.v2 or {}) if "id" in found else codec.configuration(1)
    return stored["name"] == codec.name and all(
        found.get(member) == own.get(member) for member in codec.identity
    )
