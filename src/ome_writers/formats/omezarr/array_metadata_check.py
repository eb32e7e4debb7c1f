"""Checks of the ``zarr.json`` of an array against the specification: members, their types, codecs.

Readers differ in what they ignore. zarr-python refuses an unknown member, so a single flipped bit can make an array
unreadable for one reader and not for another.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, "Array metadata", and the codecs' pages there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome_writers.codecs import find_zarr_codec

_REQUIRED: Mapping[str, type | tuple[type, ...]] = {
    "zarr_format": int,
    "node_type": str,
    "shape": list,
    "data_type": (str, dict),
    "chunk_grid": dict,
    "chunk_key_encoding": dict,
    "fill_value": (int, float, str, list, bool),
    "codecs": list,
}
_OPTIONAL: Mapping[str, type | tuple[type, ...]] = {
    "attributes": dict,
    "storage_transformers": list,
    "dimension_names": (list, type(None)),
}
_NAMED = {"name", "configuration", "must_understand"}
# Members of the configuration of codecs, with the allowed values where the specification lists them. Those of further
# compressions are in their table.
_CODECS: Mapping[str, Mapping[str, tuple[object, ...] | None]] = {
    "bytes": {"endian": ("little", "big")},
    "transpose": {"order": None},
    "blosc": {
        "cname": ("lz4", "lz4hc", "blosclz", "zstd", "snappy", "zlib"),
        "clevel": tuple(range(10)),
        "shuffle": ("noshuffle", "shuffle", "bitshuffle"),
        "typesize": None,
        "blocksize": None,
    },
    "zstd": {"level": None, "checksum": (True, False)},
    "gzip": {"level": tuple(range(10))},
    "sharding_indexed": {
        "chunk_shape": None,
        "codecs": None,
        "index_codecs": None,
        "index_location": ("start", "end"),
    },
}


def array_metadata_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Describe what a reader may refuse in the content of a ``zarr.json``; nothing is yielded for Zarr v2."""
    if metadata.get("zarr_format") == 2:
        return
    known = {**_REQUIRED, **_OPTIONAL}
    for name, value in metadata.items():
        if name not in known:
            if not isinstance(value, dict) or value.get("must_understand") is not False:
                yield f"unknown member {name!r}"
        elif not isinstance(value, known[name]):
            yield f"{name} is {value!r:.60}"
    yield from (f"the member {name!r} is missing" for name in _REQUIRED if name not in metadata)
    if metadata.get("zarr_format") != 3:
        yield f"zarr_format is {metadata.get('zarr_format')!r:.60}, not 3"
    names, shape = metadata.get("dimension_names"), metadata.get("shape")
    if isinstance(names, list) and isinstance(shape, list) and len(names) != len(shape):
        yield f"{len(names)} dimension_names for {len(shape)} axes"
    for name in ("chunk_grid", "chunk_key_encoding"):
        yield from _unknown_members(name, metadata.get(name))
    encoding = metadata.get("chunk_key_encoding")
    if isinstance(encoding, dict) and encoding.get("name") not in ("default", "v2"):
        yield f"unknown chunk key encoding {encoding.get('name')!r:.60}"
    yield from _codecs(metadata.get("codecs"))


def _codecs(codecs: Any) -> Iterator[str]:
    for codec in codecs if isinstance(codecs, list) else ():
        if not isinstance(codec, dict) or not isinstance(codec.get("name"), str):
            yield f"codec {codec!r:.60} without a name"
            continue
        name, configuration = codec["name"], codec.get("configuration", {})
        yield from _unknown_members(f"codec {name}", codec)
        members = _members(name)
        if members is None:
            continue  # an extension: a reader of the pixels accepts or refuses it
        if not isinstance(configuration, dict):
            yield f"codec {name}: configuration is {configuration!r:.60}"
            continue
        for member, value in configuration.items():
            if member not in members:
                yield f"codec {name}: unknown member {member!r}"
            elif (allowed := members[member]) is not None and value not in allowed:
                yield f"codec {name}: {member} is {value!r:.60}"
        if name == "sharding_indexed":
            yield from _codecs(configuration.get("codecs"))
            yield from _codecs(configuration.get("index_codecs"))


def _unknown_members(what: str, named: Any) -> Iterator[str]:
    """Describe the members that an object with a name and a configuration does not have."""
    unknown = named.keys() - _NAMED if isinstance(named, dict) else ()
    yield from (f"{what}: unknown member {member!r:.60}" for member in sorted(unknown))


def _members(name: str) -> Mapping[str, tuple[object, ...] | None] | None:
    if name in _CODECS:
        return _CODECS[name]
    codec = find_zarr_codec(name)
    return None if codec is None else codec.members
