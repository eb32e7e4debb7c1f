"""Corpus of hostile datasets: each has one kind of invalid or malicious content."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    Position,
    create_stream,
    dims_from_standard_axes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Builder = Callable[[Path], Path]

__all__ = ["CORPUS", "ESCAPES", "build"]

CORPUS: dict[str, Builder] = {}
"""Name to a function that creates the dataset in an empty folder and returns its path."""

ESCAPES = "a\x1b]0;title\x07b\x1b[2Jc\x9b1md\x7fe\u202ef\u2066g\rh\ni"
"""OSC, CSI, C1, DEL, bidirectional overrides and line breaks."""

POSIX = sys.platform != "win32"


def build(name: str, folder: Path) -> Path:
    """Create a dataset of the corpus."""
    folder.mkdir(parents=True)
    return CORPUS[name](folder)


# ------------------------------------------------------------------ valid datasets to start from


@cache
def _templates() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="ome-writers-hostile-")  # is removed when the program ends


@cache
def _template(kind: str) -> Path:
    """Return a valid dataset, which is written once and copied for each hostile one."""
    root = Path(_templates().name)
    suffix = ".ome.tiff" if "tiff" in kind else "" if kind == "scratch" else ".ome.zarr"
    dimensions = list(dims_from_standard_axes({"t": 2, "c": 2, "y": 8, "x": 8}, chunk_shapes=None))
    more: dict[str, Any] = {}
    if kind.startswith(("collection", "tiff-set")):
        names = [Position(name="left"), Position(name="right")]
        dimensions.insert(1, Dimension(name="p", type="position", coords=names))
    if kind == "shards":
        dimensions[0] = Dimension(name="t", count=2, type="time", chunk_size=1, shard_size_chunks=2)
    if kind in ("zstd", "gzip", "blosc"):
        more["compression"] = {"blosc": "blosc-zstd"}.get(kind, kind)
    if kind in ("tiff-lzw", "tiff-deflate"):
        more["compression"] = kind.removeprefix("tiff-")
    if kind == "tiff-levels":
        more["pyramid"] = {"levels": 1}
    if kind == "tiff-set-companion":
        more["format"] = {"name": "ome-tiff", "multi_file_metadata": "companion-file"}
    if kind == "scratch":
        more["format"] = "scratch"
    settings = AcquisitionSettings(
        root_path=root / f"{kind}{suffix}", dimensions=dimensions, dtype="uint16", **more
    )
    with create_stream(settings) as stream:
        for number in range(settings.num_frames or 0):
            stream.append(np.full((8, 8), number + 1, "uint16"), frame_metadata={"n": number})
    return Path(settings.output_path)


def _copy(kind: str, folder: Path) -> Path:
    source = _template(kind)
    target = folder / source.name
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target


def _plain_zarr(folder: Path, **array: Any) -> Path:
    """Return an OME-Zarr of another writer, with items of its array metadata replaced, or removed (...)."""
    root = folder / "plain.ome.zarr"
    axes = [{"name": n, "type": "space"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    image = {
        "name": "plain",
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    ome = {"version": "0.5", "multiscales": [image]}
    _write(root / "zarr.json", _group({"ome": ome}))
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [2, 8, 8],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 8, 8]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
        "dimension_names": ["z", "y", "x"],
    }
    document.update(array)
    document = {key: value for key, value in document.items() if value is not ...}
    _write(root / "0" / "zarr.json", document)
    chunk = root / "0" / "c" / "0" / "0" / "0"
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(np.arange(64, dtype="<u2").tobytes())
    return root


def _group(attributes: Any) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _edited(root: Path, key: str, edit: Callable[[Any], Any]) -> Path:
    """Replace the content of a JSON file with the result of `edit`; None: `edit` modified it in place."""
    path = root / key
    document = json.loads(path.read_text(encoding="utf-8"))
    edited = edit(document)
    _write(path, document if edited is None else edited)
    return root


def _add(name: str, builder: Builder) -> None:
    assert name not in CORPUS, name
    CORPUS[name] = builder


# ------------------------------------------------------------------ special files and links


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _zero(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def _outside(path: Path) -> None:
    """Move a file out of its dataset and replace it with a link."""
    target = Path(_templates().name) / f"outside-{abs(hash(path))}"
    if path.exists():
        shutil.move(path, target)
    else:
        target.write_bytes(b"{}\n")
    path.symlink_to(target)


_PLACES = {
    "root-document": ("collection", "zarr.json"),
    "image-document": ("collection", "0/zarr.json"),
    "series-document": ("collection", "OME/zarr.json"),
    "array-document": ("collection", "1/0/zarr.json"),
    "chunk": ("collection", "0/0/c/0/0/0/0"),
    "shard": ("shards", "0/c/0/0/0/0"),
    "zarr-journal": ("collection", "0/frame_metadata.jsonl"),
    "zarr-lock": ("collection", ".ome-writers.lock"),
    "tiff": ("tiff", ""),
    "tiff-lock": ("tiff", "../.tiff.ome.tiff.lock"),
    "tiff-journal": ("tiff", "../.tiff.ome.tiff.jsonl"),
    "set-first": ("tiff-set", "tiff-set_p000.ome.tiff"),
    "set-second": ("tiff-set", "tiff-set_p001.ome.tiff"),
    "companion": ("tiff-set-companion", "tiff-set-companion.companion.ome"),
    "manifest": ("scratch", "manifest.json"),
    "scratch-journal": ("scratch", "frame_metadata.jsonl"),
}


def _special(kind: str, key: str, replace: Callable[[Path], None]) -> Builder:
    def builder(folder: Path) -> Path:
        root = _copy(kind, folder)
        if kind == "collection" and key.endswith("jsonl"):
            _edited(root, "0/zarr.json", lambda d: d["attributes"]["ome_writers"].clear())
        path = Path(os.path.normpath(root / key)) if key else root
        replace(path)
        return root

    return builder


if POSIX:
    for _place, (_kind, _key) in _PLACES.items():
        _add(f"fifo-{_place}", _special(_kind, _key, _fifo))
        _add(f"zero-{_place}", _special(_kind, _key, _zero))
        if _key:
            _add(f"link-out-{_place}", _special(_kind, _key, _outside))


def _linked_folder(folder: Path) -> Path:
    root = _copy("collection", folder)
    shutil.move(root / "0", folder / "elsewhere")
    (root / "0").symlink_to(folder / "elsewhere")
    return root


def _link_loop(folder: Path) -> Path:
    root = _copy("collection", folder)
    (root / "loop").symlink_to(root)
    (root / "1" / "zarr.json").unlink()
    (root / "1" / "zarr.json").symlink_to("zarr.json")
    return root


if POSIX:
    _add("link-out-folder", _linked_folder)
    _add("link-loop", _link_loop)


# ------------------------------------------------------------------ JSON


def _raw(key: str, content: bytes, kind: str = "collection") -> Builder:
    def builder(folder: Path) -> Path:
        root = _copy(kind, folder)
        (root / key).write_bytes(content)
        return root

    return builder


_DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
for _key in ("zarr.json", "0/zarr.json", "OME/zarr.json", "1/0/zarr.json"):
    _add(f"deep-json {_key}", _raw(_key, _DEEP))
for _name, _content in {
    "empty": b"",
    "list": b"[]",
    "number": b"1e999",
    "null": b"null",
    "nul-bytes": b"\0" * 4096,
    "nan": b'{"attributes": {"ome": NaN}}',
    "utf-16": '{"attributes": {}}'.encode("utf-16"),
    "surrogate": b'{"attributes": {"ome": {"version": "\\ud800"}}}',
    "immense-number": b'{"attributes": {"ome": {"version": ' + b"9" * 5000 + b"}}}",
    "millions-of-values": b'{"attributes": [' + b"[]," * 9_000_000 + b"0]}",
    "cut-off": b'{"attributes": {"ome": {"vers',
    "attributes-list": b'{"zarr_format": 3, "node_type": "group", "attributes": [1]}',
    "ome-string": b'{"zarr_format": 3, "node_type": "group", "attributes": {"ome": "x"}}',
}.items():
    _add(f"json-{_name} root", _raw("zarr.json", _content))
    _add(f"json-{_name} array", _raw("0/0/zarr.json", _content))


def _sparse(key: str, kind: str = "collection", size: int = 2**40) -> Builder:
    def builder(folder: Path) -> Path:
        root = _copy(kind, folder)
        with open(root / key if key else root, "r+b" if (root / key).exists() else "w+b") as file:
            file.truncate(size)
        return root

    return builder


if sys.platform == "linux":  # file systems without holes would write all of it
    _add("sparse-root-document", _sparse("zarr.json"))
    _add("sparse-chunk", _sparse("0/0/c/0/0/0/0"))
    _add("sparse-shard", _sparse("0/c/0/0/0/0", "shards"))
    _add("sparse-companion", _sparse("tiff-set-companion.companion.ome", "tiff-set-companion"))
    _add("sparse-tiff", _sparse("", "tiff"))
    _add("sparse-lock", _sparse(".ome-writers.lock"))
    _add("sparse-scratch-journal", _sparse("frame_metadata.jsonl", "scratch"))


# ------------------------------------------------------------------ arrays of OME-Zarr


def _array(**members: Any) -> Builder:
    return lambda folder: _plain_zarr(folder, **members)


def _grid(shape: Any) -> dict[str, Any]:
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}}}


def _sharded(outer: Any, inner: Any, location: str = "end") -> dict[str, Any]:
    plain = [{"name": "bytes", "configuration": {"endian": "little"}}]
    sharding = {
        "chunk_shape": inner,
        "codecs": plain,
        "index_codecs": [*plain, {"name": "crc32c"}],
        "index_location": location,
    }
    return {**_grid(outer), "codecs": [{"name": "sharding_indexed", "configuration": sharding}]}


_ARRAYS: dict[str, dict[str, Any]] = {
    "chunk-0": _grid([1, 0, 8]),
    "chunk-negative": _grid([1, -8, 8]),
    "chunk-float": _grid([1, 8.5, 8]),
    "chunk-string": _grid("1,8,8"),
    "chunk-null": _grid(None),
    "chunk-immense": _grid([2**40, 8, 8]),
    "chunk-of-2-axes": _grid([8, 8]),
    "chunk-1x1 of 4 gigapixels": {"shape": [1, 65536, 65536], **_grid([1, 1, 1])},
    "grid-unknown": {"chunk_grid": {"name": "\x1b[31mred"}},
    "grid-missing": {"chunk_grid": ...},
    "shape-missing": {"shape": ...},
    "shape-null": {"shape": None},
    "shape-string": {"shape": "abc"},
    "shape-negative": {"shape": [2, -8, 8]},
    "shape-true": {"shape": [True, 8, 8]},
    "shape-float": {"shape": [2, 8.0, 8]},
    "shape-2**63": {"shape": [2**63, 8, 8]},
    "shape-10**27-pixels": {"shape": [10**9, 10**9, 10**9]},
    "shape-2**40-wide": {"shape": [2, 8, 2**40]},
    "shape-2**31-planes": {"shape": [2**31, 8, 8]},
    "shape-0": {"shape": [0, 0, 0]},
    "shape-of-1-axis": {"shape": [8]},
    "shape-of-5000-axes": {"shape": [1] * 5000, **_grid([1] * 5000)},
    "shape-nested": {"shape": [[2], [8], [8]]},
    "dtype-object": {"data_type": "O"},
    "dtype-list": {"data_type": ["a", "b"]},
    "dtype-null": {"data_type": None},
    "dtype-void": {"data_type": "V99999999"},
    "dtype-string": {"data_type": "S2147483647"},
    "dtype-escapes": {"data_type": ESCAPES},
    "codecs-missing": {"codecs": ...},
    "codecs-empty": {"codecs": []},
    "codecs-strings": {"codecs": ["bytes"]},
    "codecs-unknown": {"codecs": [{"name": "\x1b[31mred"}]},
    "codecs-many": {"codecs": [{"name": "bytes"}, *[{"name": "gzip"}] * 10_000]},
    "shard-inner-0": _sharded([1, 8, 8], [1, 0, 4]),
    "shard-inner-larger": _sharded([1, 8, 8], [1, 16, 16]),
    "shard-2**60-chunks": _sharded([2**20, 2**20, 2**20], [1, 1, 1], "start"),
    "shard-2**22-chunks": _sharded([1, 2048, 2048], [1, 1, 1], "start"),
    "fill-value-object": {"fill_value": {"a": 1}},
    "fill-value-string": {"fill_value": "x"},
    "fill-value-immense": {"fill_value": 10**400},
    "key-separator": {
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}
    },
    "key-encoding": {"chunk_key_encoding": [1]},
}
for _name, _members in _ARRAYS.items():
    _add(f"array {_name}", _array(**_members))


def _chunk(content: bytes, codec: str | None, **members: Any) -> Builder:
    def builder(folder: Path) -> Path:
        more = dict(members)
        if codec:
            more["codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}]
            more["codecs"].append({"name": codec, "configuration": {}})
        root = _plain_zarr(folder, **more)
        (root / "0" / "c" / "0" / "0" / "0").write_bytes(content)
        return root

    return builder


def _gzip_bomb() -> bytes:
    import gzip

    return gzip.compress(bytes(2**28), 9)


_BLOSC_BOMB = struct.pack("<BBBBIII", 2, 1, 1, 2, 2**31 - 17, 2**31 - 17, 4096) + bytes(4080)
_ZSTD_BOMB = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**62) + b"\0" * 64
_add("chunk gzip-bomb", lambda folder: _chunk(_gzip_bomb(), "gzip")(folder))
_add("chunk blosc-bomb", _chunk(_BLOSC_BOMB, "blosc"))
_add("chunk zstd-bomb", _chunk(_ZSTD_BOMB, "zstd"))
_add("chunk zstd-garbage", _chunk(b"\x28\xb5\x2f\xfd" + b"\xff" * 99, "zstd"))
_add("chunk cut-off", _chunk(b"\1" * 17, None))
_add("chunk empty", _chunk(b"", "blosc"))
_INDEX = struct.pack("<QQ", 2**63, 2**63) * 4
_add(
    "chunk shard-index-wild",
    _chunk(_INDEX + b"\0\0\0\0", None, **_sharded([1, 8, 8], [1, 4, 4])),
)


def _wild_index(folder: Path) -> Path:
    from google_crc32c import value

    table = struct.pack("<QQ", 16, 2**50) * 4
    content = bytes(256) + table + int(value(table)).to_bytes(4, "little")
    return _chunk(content, None, **_sharded([1, 8, 8], [1, 4, 4]))(folder)


_add("chunk shard-index-beyond-the-end", _wild_index)


# ------------------------------------------------------------------ groups of OME-Zarr


def _ome(edit: Callable[[dict[str, Any]], Any], kind: str = "plain", key: str = "") -> Builder:
    def builder(folder: Path) -> Path:
        root = _plain_zarr(folder) if kind == "plain" else _foreign_collection(folder)

        def change(document: Any) -> None:
            edit(document["attributes"]["ome"])

        return _edited(root, f"{key}zarr.json", change)

    return builder


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda ome: ome.__setitem__(key, value)


_SERIES = {
    "dicts": [{"path": "0"}, {"path": "1"}],
    "nul": ["0\0", "1"],
    "outside": ["../../../../etc", "1"],
    "absolute": ["/etc", "1"],
    "backslash": ["..\\..", "1"],
    "twice": ["0", "0"],
    "string": "01",
    "null": None,
    "200,000": [str(n) for n in range(200_000)],
    "200,000-times-the-same": ["0"] * 200_000,
    "20,000-missing": [str(n) for n in range(20_000)],
    "escapes": [ESCAPES, "1"],
    "long": ["x" * 100_000],
}
for _name, _value in _SERIES.items():
    _add(f"series {_name}", _ome(_set("series", _value), "foreign-collection", "OME/"))


def _foreign_collection(folder: Path) -> Path:
    """Return a collection without settings of this library."""
    root = _copy("collection", folder)
    return _edited(root, "zarr.json", lambda d: d["attributes"].pop("ome_writers") and None)


def _image(edit: Callable[[dict[str, Any]], Any]) -> Builder:
    return _ome(lambda ome: edit(ome["multiscales"][0]))


_add("multiscales empty", _ome(_set("multiscales", [])))
_add("multiscales object", _ome(_set("multiscales", {"0": 1})))
_add("multiscales null", _ome(_set("multiscales", None)))
_add("axes missing", _image(lambda m: m.pop("axes")))
_add("axes strings", _image(_set("axes", ["z", "y", "x"])))
_add("axes object-names", _image(lambda m: m["axes"][0].update(name={"a": 1})))
_add("axes too many", _image(lambda m: m["axes"].append({"name": "t"})))
_add("axes unit-object", _image(lambda m: m["axes"][0].update(unit=[1])))
_add("datasets empty", _image(_set("datasets", [])))
_add("datasets outside", _image(lambda m: m["datasets"][0].update(path="../../../etc")))
_add("datasets number", _image(lambda m: m["datasets"][0].update(path=0)))
_add("datasets root", _image(lambda m: m["datasets"][0].update(path="/dev")))
_add(
    "scale strings",
    _image(lambda m: m["datasets"][0]["coordinateTransformations"][0].update(scale=["a"] * 3)),
)
_add(
    "scale short",
    _image(lambda m: m["datasets"][0]["coordinateTransformations"][0].update(scale=[1])),
)
_add("omero numbers", _ome(_set("omero", {"channels": [1, 2]})))
_add("omero string", _ome(_set("omero", "x")))
_add("plate null", _ome(lambda o: (o.clear(), o.update(plate=None))))
_add("plate wells-strings", _ome(lambda o: (o.clear(), o.update(plate={"wells": ["A/1"]}))))
_add(
    "plate wells-outside",
    _ome(lambda o: (o.clear(), o.update(plate={"wells": [{"path": "../../etc"}]}))),
)
_add(
    "plate wells-200,000",
    _ome(lambda o: (o.clear(), o.update(plate={"wells": [{"path": "A/1"}] * 200_000}))),
)


def _escaped_zarr(folder: Path) -> Path:
    def change(ome: dict[str, Any]) -> None:
        ome["version"] = ESCAPES
        image = ome["multiscales"][0]
        image["name"] = ESCAPES
        for number, axis in enumerate(image["axes"]):
            axis.update(name=f"{number}{ESCAPES}", unit=ESCAPES, type="space")
        ome["omero"] = {"channels": [{"label": ESCAPES, "color": ESCAPES}]}

    root = _ome(change)(folder)

    def own(document: Any) -> None:
        document["attributes"]["ome_writers"] = {"version": ESCAPES, "status": ESCAPES}

    return _edited(root, "zarr.json", own)


_add("escapes zarr", _escaped_zarr)


def _escaped_codecs(folder: Path) -> Path:
    codecs = [{"name": "bytes"}, {"name": ESCAPES}]
    return _plain_zarr(folder, codecs=codecs, dimension_names=[ESCAPES] * 3)


_add("escapes codecs", _escaped_codecs)


def _file_name(name: str | bytes) -> Builder:
    def builder(folder: Path) -> Path:
        root = _plain_zarr(folder)
        target = folder / os.fsdecode(name)
        root.rename(target)
        (target / os.fsdecode(name)).write_bytes(b"")
        (target / "0" / "c" / "0" / "0" / os.fsdecode(name)).write_bytes(b"")
        return target

    return builder


if POSIX:
    _add("escapes file-name", _file_name("a\x1b]0;t\x07\x9b31m\u202e.ome.zarr"))
    _add("escapes file-name-line", _file_name("a\nome-writers: fine.ome.zarr"))
if sys.platform == "linux":
    _add("escapes file-name-bytes", _file_name(b"a\xff\x1b[31m.ome.zarr"))


# ------------------------------------------------------------------ settings of this library


def _settings(edit: Callable[[dict[str, Any]], Any], kind: str = "collection") -> Builder:
    def builder(folder: Path) -> Path:
        root = _copy(kind, folder)

        def change(document: Any) -> None:
            edit(document["attributes"]["ome_writers"])

        return _edited(root, "zarr.json", change)

    return builder


def _dimension(number: int, **members: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda ours: ours["settings"]["dimensions"][number].update(members)


def _positions(count: int) -> Callable[[dict[str, Any]], Any]:
    def change(ours: dict[str, Any]) -> None:
        coords = [{"name": str(n)} for n in range(count)]
        _dimension(1, coords=coords, count=count)(ours)

    return change


_OURS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "999,999-positions": _positions(999_999),
    "99,999-positions": _positions(99_999),
    "2**62-times": _dimension(0, count=2**62),
    "negative-times": _dimension(0, count=-5),
    "immense-times": _dimension(0, count=10**30),
    "immense-frame": lambda o: (_dimension(3, count=10**6)(o), _dimension(4, count=10**6)(o)),
    "2**40-wide": lambda o: _dimension(4, count=2**40, chunk_size=2**40)(o),
    "chunk-1x1 of an immense frame": lambda o: (
        _dimension(3, count=10**6, chunk_size=1)(o),
        _dimension(4, count=10**6, chunk_size=1)(o),
    ),
    "other-axis-2**31": lambda o: o["settings"]["dimensions"].insert(
        0, {"name": "q", "type": "other", "count": 2**31}
    ),
    "shards-2**60": _dimension(0, chunk_size=1, shard_size_chunks=2**60),
    "5000-dimensions": lambda o: o["settings"].update(
        dimensions=[{"name": f"d{n}", "count": 1} for n in range(5000)]
    ),
    "dimensions-object": lambda o: o["settings"].update(dimensions={"a": 1}),
    "settings-list": lambda o: o.update(settings=[1]),
    "settings-null": lambda o: o.update(settings=None),
    "status-object": lambda o: o.update(status={"a": 1}),
    "status-writing": lambda o: o.update(status="writing"),
    "frames-list": lambda o: o.update(frames=[1]),
    "frames-immense": lambda o: o.update(frames={"written": 10**400, "expected": "x"}),
    "root-outside": lambda o: o["settings"].update(root_path="/etc/passwd"),
    "dtype-object": lambda o: o["settings"].update(dtype="O"),
    "schedule-wild": lambda o: o["settings"].update(
        schedule={"axes": ["t"], "indices": [[2**62], [0]]}
    ),
}
for _name, _edit in _OURS.items():
    _add(f"settings {_name}", _settings(_edit))


def _frame_metadata(value: Any) -> Builder:
    def builder(folder: Path) -> Path:
        root = _copy("collection", folder)

        def change(document: Any) -> None:
            document["attributes"]["ome_writers"]["frame_metadata"] = value

        return _edited(root, "0/zarr.json", change)

    return builder


_add("frame-metadata numbers", _frame_metadata([1, 2, 3]))
_add("frame-metadata no-index", _frame_metadata([{"a": 1}]))
_add("frame-metadata wild-index", _frame_metadata([{"storage_index": [2**70, "x", None]}]))
_add("frame-metadata object", _frame_metadata({"count": "x"}))


def _journal(content: bytes) -> Builder:
    def builder(folder: Path) -> Path:
        root = _frame_metadata({"count": 3})(folder)
        (root / "0" / "frame_metadata.jsonl").write_bytes(content)
        return root

    return builder


_add("journal deep", _journal(b'{"storage_index":[0,0],"a":' + _DEEP + b"}\n"))
_add("journal wild", _journal(b'[]\n1\n"x"\n{}\n{"storage_index":"ab"}\n{"storage_index":[[0]]}\n'))
_add("journal without-end", _journal(b" " * (70 * 2**20)))
_add("journal nul-bytes", _journal(bytes(2**20) + b"\n"))
_add(
    "journal scratch-wild",
    _raw("frame_metadata.jsonl", b'{"_pos":99,"_idx":[0]}\n{}\n[]\n', "scratch"),
)


def _lock(content: bytes) -> Builder:
    def builder(folder: Path) -> Path:
        root = _copy("collection", folder)
        (root / ".ome-writers.lock").write_bytes(content)
        return root

    return builder


_add("lock escapes", _lock(json.dumps({"pid": 1, "host": ESCAPES}).encode()))
_add("lock immense-pid", _lock(b'{"pid": 1e400, "host": "h"}'))
_add(
    "lock long-pid",
    _lock(json.dumps({"pid": 10**30, "host": os.uname().nodename if POSIX else ""}).encode()),
)
_add("lock deep", _lock(b'{"pid":' + b"[" * 2000 + b"]" * 2000 + b"}"))
_add("lock garbage", _lock(os.urandom(999)))


# ------------------------------------------------------------------ OME-XML


def _ome_xml(pixels: str, *, image: str = 'Name="i"', inside: str = "", after: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" Creator="someone">'
        f'<Image ID="Image:0" {image}><Pixels ID="Pixels:0" {pixels}>'
        f"{inside or '<TiffData/>'}</Pixels></Image>{after}</OME>"
    ).encode()


_SIZES = {"DimensionOrder": "XYZCT", "Type": "uint16"} | {f"Size{axis}": "1" for axis in "ZCT"}


def _pixels(**attributes: str) -> str:
    found = {**_SIZES, "SizeX": "8", "SizeY": "8", **attributes}
    return " ".join(f'{name}="{value}"' for name, value in found.items())


def _tiff_bytes(
    description: bytes,
    *,
    tags: dict[int, tuple[int, int, int]] | None = None,
    following: int = 0,
    first: int = 16,
    data: bytes = bytes(128),
) -> bytes:
    """Return a BigTIFF of one page of 8 x 8 uint16; `tags` replace (type, count, value)."""
    entries: dict[int, tuple[int, int, int]] = {
        256: (3, 1, 8),
        257: (3, 1, 8),
        258: (3, 1, 16),
        259: (3, 1, 1),
        262: (3, 1, 1),
        270: (2, len(description) + 1, 0),
        273: (16, 1, 0),
        277: (3, 1, 1),
        278: (3, 1, 8),
        279: (16, 1, len(data)),
    }
    behind = 16 + 8 + 20 * len({*entries, *(tags or {})}) + 8
    entries[270] = (2, len(description) + 1, behind + len(data))
    entries[273] = (16, 1, behind)
    entries.update(tags or {})
    page = struct.pack("<Q", len(entries))
    for tag, (kind, count, value) in sorted(entries.items()):
        page += struct.pack("<HHQQ", tag, kind, count, value)
    page += struct.pack("<Q", following)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)
    return head + page + data + description + b"\0"


def _tiff(content: bytes, name: str = "x.ome.tiff") -> Builder:
    def builder(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return builder


_PIXEL_CASES = {
    "SizeT-2**31": {"SizeT": str(2**31)},
    "SizeC-2**31": {"SizeC": str(2**31)},
    "SizeZ-10**30": {"SizeZ": str(10**30)},
    "SizeX-2**40": {"SizeX": str(2**40)},
    "10**27-pixels": {f"Size{axis}": str(10**9) for axis in "XYT"},
    "SizeX-negative": {"SizeX": "-8"},
    "SizeT-negative": {"SizeT": "-1"},
    "SizeT-0": {"SizeT": "0"},
    "SizeX-text": {"SizeX": "eight"},
    "SizeX-immense": {"SizeX": "9" * 5000},
    "Type-unknown": {"Type": "uint1024"},
    "Type-escapes": {"Type": "&#x9b;31m&#x202e;"},
    "DimensionOrder-wild": {"DimensionOrder": "ZZZZZ"},
    "DimensionOrder-empty": {"DimensionOrder": ""},
    "TimeIncrement-text": {
        "TimeIncrement": "soon",
        "PhysicalSizeX": "nan",
        "PhysicalSizeXUnit": "?",
    },
}
for _name, _attributes in _PIXEL_CASES.items():
    _add(f"ome-xml {_name}", _tiff(_tiff_bytes(_ome_xml(_pixels(**_attributes)))))

_INSIDE_CASES = {
    "PlaneCount-2**62": f'<TiffData IFD="0" PlaneCount="{2**62}"/>',
    "PlaneCount-negative": '<TiffData IFD="0" PlaneCount="-1"/>',
    "IFD-2**40": f'<TiffData IFD="{2**40}"/>',
    "IFD-text": '<TiffData IFD="first"/>',
    "FirstT-2**62": f'<TiffData FirstT="{2**62}" IFD="0"/>',
    "Samples-0": '<Channel ID="Channel:0:0" SamplesPerPixel="0"/><TiffData/>',
    "Samples-2**31": f'<Channel ID="Channel:0:0" SamplesPerPixel="{2**31}"/><TiffData/>',
    "other-file-outside": '<TiffData><UUID FileName="../../../etc/passwd">urn:uuid:1</UUID></TiffData>',
    "other-file-device": '<TiffData><UUID FileName="/dev/zero">urn:uuid:1</UUID></TiffData>',
    "other-file-nul": '<TiffData><UUID FileName="&#x9;">urn:uuid:1</UUID></TiffData>',
    "planes-wild": '<TiffData/><Plane TheT="x" TheZ="-1" TheC="999999999999" DeltaT="soon"/>',
    "20,000-places": '<TiffData IFD="0"/>' * 20_000,
}
for _name, _inside in _INSIDE_CASES.items():
    _add(f"ome-xml {_name}", _tiff(_tiff_bytes(_ome_xml(_pixels(), inside=_inside))))

_E = "&#x9b;31m&#x85;&#x7f;&#x202e;&#x2066;"
_add(
    "escapes tiff",
    _tiff(
        _tiff_bytes(
            _ome_xml(
                _pixels(PhysicalSizeX="1", PhysicalSizeXUnit=_E),
                image=f'Name="{_E}"',
                inside=f'<Channel ID="{_E}" Name="{_E}"/>'
                f'<TiffData><UUID FileName="{_E}">{_E}</UUID></TiffData>',
            ).replace(b"someone", _E.encode())
        )
    ),
)
_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12))
    + b"]><OME>&m;</OME>"
)
_XML = {
    "bomb": _BOMB,
    "bomb-utf-16": _BOMB.decode().replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16"),
    "external-entity": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY e SYSTEM "file:///etc/passwd">]><OME>&e;</OME>',
    "external-dtd": b'<!DOCTYPE OME SYSTEM "http://localhost:9/x.dtd"><OME/>',
    "deep": b"<OME>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</OME>",
    "many": b"<OME>" + b"<a/>" * 100_000 + b"</OME>",
    "not-xml": b"ImageJ=1.53\nimages=3\n",
    "empty": b"",
    "no-image": b"<OME/>",
    "no-pixels": b'<OME><Image ID="Image:0"/></OME>',
    "nul": b"<OME>\0</OME>",
    "unknown-encoding": b'<?xml version="1.0" encoding="x-none"?><OME/>',
    "ebcdic": b'<?xml version="1.0" encoding="cp037"?>' + "<OME/>".encode("cp037"),
    "200,000-images": b"<OME>" + b'<Image ID="Image:0"/>' * 200_000 + b"</OME>",
    "binary-only-outside": b'<OME><BinaryOnly MetadataFile="../../../../etc/passwd" UUID="x"/></OME>',
    "binary-only-itself": b'<OME><BinaryOnly MetadataFile="x.ome.tiff" UUID="x"/></OME>',
    "binary-only-device": b'<OME><BinaryOnly MetadataFile="/dev/zero" UUID="x"/></OME>',
    "binary-only-nul": b'<OME><BinaryOnly MetadataFile="" UUID="x"/></OME>',
    "plate-2**31-rows": _ome_xml(
        _pixels(),
        image='Name="i"',
        after=f'<Plate ID="Plate:0" Rows="{2**31}" Columns="{2**31}"><Well ID="Well:0" Row="0" Column="0">'
        '<WellSample ID="s" Index="0"><ImageRef ID="Image:0"/></WellSample></Well></Plate>',
    ),
}
for _name, _text in _XML.items():
    _add(f"xml {_name}", _tiff(_tiff_bytes(_text)))


# ------------------------------------------------------------------ structure of TIFF

_SOUND = _ome_xml(_pixels())


def _cut(length: int) -> Builder:
    return _tiff(_tiff_bytes(_SOUND)[:length])


for _length in (0, 1, 4, 8, 15, 16, 20, 100, 400):
    _add(f"tiff cut-off at {_length}", _cut(_length))
_TAGS: dict[str, dict[int, tuple[int, int, int]]] = {
    "description-beyond-the-end": {270: (2, 100, 2**40)},
    "description-2**60-long": {270: (2, 2**60, 16)},
    "description-2**31-long": {270: (2, 2**31, 16)},
    "description-numbers": {270: (16, 1, 12345)},
    "strips-2**60": {273: (16, 2**60, 16), 279: (16, 2**60, 16)},
    "strips-2**31": {273: (16, 2**31, 16), 279: (16, 2**31, 16)},
    "strip-beyond-the-end": {273: (16, 1, 2**40)},
    "strip-2**62-long": {279: (16, 1, 2**62)},
    "strip-counts-of-text": {279: (2, 5, 16)},
    "strips-missing": {273: (3, 0, 0), 279: (3, 0, 0)},
    "width-2**31": {256: (4, 1, 2**31), 257: (4, 1, 2**31)},
    "width-0": {256: (4, 1, 0)},
    "bits-65535": {258: (3, 1, 65535)},
    "bits-2**40-values": {258: (3, 2**40, 16)},
    "samples-65535": {277: (3, 1, 65535)},
    "compression-unknown": {259: (3, 1, 60000)},
    "bad-lzw": {259: (3, 1, 5)},
    "bad-deflate": {259: (3, 1, 8)},
    "bad-zstd": {259: (3, 1, 50000)},
    "bad-jpeg": {259: (3, 1, 7)},
    "type-unknown": {256: (99, 2**60, 0)},
    "sub-ifds-ring": {330: (18, 1, 16)},
    "tiles-0": {322: (3, 1, 0), 323: (3, 1, 0), 324: (16, 1, 16), 325: (16, 1, 16)},
}
for _name, _replaced in _TAGS.items():
    _add(f"tiff {_name}", _tiff(_tiff_bytes(_SOUND, tags=_replaced, data=b"\xff" * 128)))
_many = _ome_xml(_pixels(SizeT="1000"))
_add("tiff ring", _tiff(_tiff_bytes(_many, following=16)))
_add("tiff plain-ring", _tiff(_tiff_bytes(b"a picture", following=16), "x.tif"))
_add("tiff plain-cut-off", _tiff(_tiff_bytes(b"a picture")[:200], "x.tif"))
_add("tiff next-beyond-the-end", _tiff(_tiff_bytes(_many, following=2**50)))
_add("tiff first-beyond-the-end", _tiff(_tiff_bytes(_SOUND, first=2**50)))
_add("tiff first-0", _tiff(_tiff_bytes(_SOUND, first=0)))
_add("tiff 2**63-entries", _tiff(_tiff_bytes(_SOUND, first=8)))
_add("tiff garbage", _tiff(b"II+\0" + os.urandom(4096)))
_add("tiff big-endian-garbage", _tiff(b"MM\0*" + b"\xff" * 4096))
_add("tiff classic-ring", _tiff(b"II*\0\x08\0\0\0\0\0\x08\0\0\0" + bytes(64)))
_add("tiff not-a-tiff", _tiff(b"\x89PNG\r\n" + bytes(99)))


def _sparse_ring(folder: Path) -> Path:
    path = _tiff(_tiff_bytes(_many, following=16))(folder)
    os.truncate(path, 2**40)
    return path


if sys.platform == "linux":
    _add("tiff sparse-ring", _sparse_ring)


def _own_tiff(kind: str, old: bytes, new: bytes, *, writing: bool = False) -> Builder:
    """Return a file of this library with bytes replaced by others of the same length."""

    def builder(folder: Path) -> Path:
        path = _copy(kind, folder)
        content = path.read_bytes()
        for before, after in ((old, new), (b'"complete"', b'"writing"') if writing else (b"", b"")):
            assert before in content, before
            content = content.replace(before, after.ljust(len(before)), 1) if before else content
        path.write_bytes(content)
        return path

    return builder


_add("own-tiff writing", _own_tiff("tiff", b"", b"", writing=True))
_add("own-tiff bad-lzw", lambda f: _garbled(_copy("tiff-lzw", f)))
_add("own-tiff bad-deflate", lambda f: _garbled(_copy("tiff-deflate", f)))
_add("own-tiff wild-planes", _own_tiff("tiff", b'PlaneCount="4"', b'PlaneCount="9"', writing=True))


def _own_levels(entry: bytes, *, writing: bool) -> Builder:
    """Return a file of this library whose pages have another SubIFDs entry."""

    def builder(folder: Path) -> Path:
        path = _own_tiff("tiff-levels", b"", b"", writing=writing)(folder)
        content = bytearray(path.read_bytes())
        at = content.find(_SUB_IFD)
        while at >= 0:
            content[at : at + 20] = entry
            at = content.find(_SUB_IFD, at + 20)
        path.write_bytes(content)
        return path

    return builder


_SUB_IFD = struct.pack("<HHQ", 330, 18, 1)
for _name, _entry in {
    "ring": (330, 18, 1, 16),
    "beyond-the-end": (330, 18, 1, 2**50),
    "2**40": (330, 18, 2**40, 16),
    "of-text": (330, 2, 17, 16),
}.items():
    for _writing in (False, True):
        _add(
            f"own-tiff levels-{_name}{' writing' if _writing else ''}",
            _own_levels(struct.pack("<HHQQ", *_entry), writing=_writing),
        )


def _garbled(path: Path) -> Path:
    """Overwrite the pixels of a compressed file."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        places = [
            pair
            for page in tiff.pages
            for pair in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    with path.open("r+b") as file:
        for offset, length in places:
            file.seek(offset)
            file.write(b"\xff" * length)
    return path
