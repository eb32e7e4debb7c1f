"""Copies of the derived images (labels, ...) and resolution levels of one image to another OME-Zarr."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers.dataset import DatasetSpec, ImageSpec, LevelSpec
from ome_writers.errors import SettingsError, UnsupportedError, WriteError
from ome_writers.formats.omezarr.derived import list_names
from ome_writers.formats.omezarr.labels import FOLDERS
from ome_writers.formats.omezarr.layout import compose, join_key, level_path
from ome_writers.formats.omezarr.ngff import as_transformations
from ome_writers.formats.omezarr.parse import parse_image
from ome_writers.formats.omezarr.pixels import open_array
from ome_writers.formats.omezarr.pyramid import plane_runs
from ome_writers.formats.omezarr.stored_groups import open_metadata
from ome_writers.formats.omezarr.stored_plan import array_plan
from ome_writers.formats.omezarr.versions import at_version
from ome_writers.routing import with_shape
from ome_writers.storage import Options
from ome_writers.storage.direct import open_engine
from ome_writers.untrusted import guard_reader, member

Json = dict[str, Any]
Arrays = Sequence[tuple[LevelSpec, LevelSpec]]
"""Arrays of the source, and how they are written, with their keys in a group."""

_CACHE_BYTES = 128 * 2**20  # of decoded chunks that contain several planes


@dataclass(frozen=True)
class ImageCopy:
    """Copies what belongs to `image` of the dataset `source` to `new` of the dataset `copy`.

    `convert` writes a derived image of this library, of a kind, at one path to another.
    """

    source: DatasetSpec
    image: ImageSpec
    copy: DatasetSpec
    new: ImageSpec
    verify: bool
    convert: Callable[[str, Path, Path], object]

    def copy_levels(self) -> ImageSpec:
        """Copy the levels, with chunks and compression of the copy's full resolution, and return `new` with them."""
        group, full = self.copy.path / self.new.key, array_plan(self.new.array)
        arrays = [
            (level, replace(with_shape(full, level.shape), key=level_path(k)))
            for k, level in enumerate(self.image.levels[1:], start=1)
        ]
        try:
            self._write(group, arrays)
        except BaseException:
            for _, new in arrays:
                shutil.rmtree(group / new.key, ignore_errors=True)
            raise
        with open_metadata(self.copy.path) as groups:
            attributes = groups.attributes(self.new.key)
            attributes["ome"] = self._with_levels(attributes["ome"])
        return replace(self.new, levels=(self.new.array, *(target for _, target in arrays)))

    def _with_levels(self, ome: Json) -> Json:
        """Return the ``ome`` attributes of the copy with the levels of `image`, computed in an unknown way."""
        ome = at_version(ome, "0.5")
        multiscale = ome["multiscales"][0]
        own = multiscale["datasets"][0]["coordinateTransformations"]
        scale, translation = compose(own, len(self.image.dims), level_path(0))
        first = _steps(self.image.levels[0])
        for k, level in enumerate(self.image.levels[1:], start=1):
            relative = zip(scale, translation, _steps(level), first, strict=True)
            steps = [(s * d / d0, t + s * (at - at0) / d0) for s, t, (d, at), (d0, at0) in relative]
            entry = as_transformations([s for s, _ in steps], [t for _, t in steps])
            multiscale["datasets"].append(
                {"path": level_path(k), "coordinateTransformations": entry}
            )
        for key in ("type", "metadata"):  # of the copy without levels
            multiscale.pop(key, None)
        return at_version(ome, self.copy.version)

    def copy_derived(self, kind: str, images: Mapping[str, Json]) -> list[str]:
        """Copy derived images of a kind; return those that cannot be read."""
        group = join_key(self.new.key, FOLDERS[kind])
        folder = self.copy.path / group
        copied, omitted = [], []
        try:
            for name, attributes in images.items():
                target = member(folder, name)
                key = join_key(self.image.key, f"{FOLDERS[kind]}/{name}")
                try:
                    if "settings" in (attributes.get("ome_writers") or {}):
                        self._convert(kind, key, attributes, target)
                    else:
                        self._copy(key, attributes, target, labels=kind == "labels")
                    copied.append(name)
                except (SettingsError, UnsupportedError) as error:
                    shutil.rmtree(target, ignore_errors=True)
                    omitted.append(f"{name}: {error}")
            if copied:
                (folder / "zarr.json").write_bytes(
                    list_names(self.copy.path, group, kind, copied, self.copy.version)
                )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return omitted

    def _convert(self, kind: str, key: str, attributes: Json, group: Path) -> None:
        """Convert a derived image of this library, which is a dataset with settings and number of frames."""
        self.convert(kind, self.source.path / key, group)
        old = attributes["ome"]
        with open_metadata(group) as groups:
            new = groups.attributes()
            new["ome"] = _at_origin_of(new["ome"], old)
            new["ome"]["multiscales"][0]["name"] = old["multiscales"][0].get("name", "")
            if "image-label" in old:
                new["ome"]["image-label"] = at_version(old, self.copy.version)["image-label"]
                del new["ome"]["omero"]
            new["ome_writers"]["derived"] = attributes["ome_writers"].get("derived", {})

    def _copy(self, key: str, attributes: Json, group: Path, *, labels: bool) -> None:
        """Copy a derived image of another program with its own chunks.

        Labels whose levels are not as many as those of the new image are copied without levels.
        """
        with guard_reader(self.source.path):
            image = parse_image(self.source.path, key)
        sharded = self.new.levels[0].shards is not None
        levels = image.levels
        if labels and len(levels) != len(self.new.levels):
            levels = levels[:1]
        arrays = []
        for level in levels:
            plan = array_plan(level, sharded=sharded)
            arrays.append((level, replace(plan, key=level.key.removeprefix(f"{key}/"))))
        self._write(group, arrays)
        ome = at_version(attributes["ome"], self.copy.version)
        multiscale = ome["multiscales"][0]
        multiscale["datasets"] = multiscale["datasets"][: len(levels)]
        _write_group(group, ome, {k: v for k, v in attributes.items() if k != "ome"})

    def _write(self, group: Path, arrays: Arrays) -> None:
        """Write copies of arrays below a group."""
        targets = [target for _, target in arrays]
        sources = [open_array(self.source.path, each.key, _CACHE_BYTES) for each, _ in arrays]
        engine = open_engine(group, targets, Options(durable=True))
        try:
            for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
                for index in _indices(target):
                    plane = np.ascontiguousarray(source[index], target.numpy_dtype)
                    if plane.any():  # planes of zeros do not have a chunk
                        engine.write(0, number, index, plane, owned=True)
        finally:
            engine.close([target.shape for target in targets])
        if engine.failures:
            error = engine.failures[0].error
            raise WriteError(
                f"{group}: labels or levels could not be copied: {type(error).__name__}: {error}. Free space or repair "
                f"the disk, then convert again.",
                [],
            ) from error
        for source, target in zip(sources, targets, strict=True) if self.verify else ():
            written = open_array(group, target.key, _CACHE_BYTES)
            for index in _indices(target):
                if not np.array_equal(source[index], written[index]):
                    raise WriteError(
                        f"{group / target.key} differs from {self.source.path}: plane {index} is different when read "
                        f"back.",
                        [],
                    )


def _steps(level: LevelSpec) -> list[tuple[float, float]]:
    """Return the distance of samples and the coordinate of the first one, by axis."""
    return [(scale or 1.0, at) for scale, at in zip(level.scale, level.translation, strict=True)]


def _at_origin_of(ome: Json, old: Json) -> Json:
    """Return ``ome`` attributes whose first sample is where that of `old` is: at the stage position of the image."""
    moved, before = at_version(ome, "0.5"), at_version(old, "0.5")
    levels, first = moved["multiscales"][0]["datasets"], before["multiscales"][0]["datasets"][0]
    axes = len(moved["multiscales"][0]["axes"])
    origin = compose(first["coordinateTransformations"], axes, first["path"])[1]
    own = compose(levels[0]["coordinateTransformations"], axes, level_path(0))[1]
    for level in levels:
        scale, translation = compose(level["coordinateTransformations"], axes, level["path"])
        shifted = [t + o - s for t, o, s in zip(translation, origin, own, strict=True)]
        level["coordinateTransformations"] = as_transformations(scale, shifted)
    return at_version(moved, ome["version"])


def _indices(array: LevelSpec) -> Iterator[tuple[int, ...]]:
    for run in plane_runs(array):
        yield from run


def _write_group(folder: Path, ome: Json, others: Mapping[str, Any] | None = None) -> None:
    with open_metadata(folder) as groups:
        groups.add("", {"ome": ome, **(others or {})})
