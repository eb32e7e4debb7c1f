"""Labels and other images that are derived from those of an OME-Zarr: each is a dataset in the group of its image.

Labels are in ``labels/NAME``, as NGFF requires; other images are in ``derived/NAME``. Each has settings and status of
its own, so that `repair` and `validate` treat it like any other dataset.

Source: https://ngff.openmicroscopy.org/0.5/#labels-metadata
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import copy_with
from ome_writers.errors import OutputExistsError
from ome_writers.formats.dataset_metadata import Layout, Outcome
from ome_writers.formats.derivation import Derivation
from ome_writers.formats.frame_metadata import JOURNAL_NAME, Journal
from ome_writers.formats.omezarr.labels import FOLDERS, names_in
from ome_writers.formats.omezarr.layout import join_key, level_path
from ome_writers.formats.omezarr.metadata import ZarrMetadata
from ome_writers.formats.omezarr.node_metadata import group_attributes, ome_writers_attributes
from ome_writers.routing import Plan, resolve
from ome_writers.storage import files

if TYPE_CHECKING:
    from ome_writers.formats.resumption import ReopenDerived

Json = dict[str, Any]


def derived_images(
    plan: Plan,
    images: Sequence[str],
    layout: Layout,
    derivation: Derivation,
    reopen: ReopenDerived | None = None,
) -> tuple[Plan, Layout, DerivedMetadata]:
    """Return plan, layout and metadata of one derived image per image; `images` are the keys of their groups.

    Raises OutputExistsError if there is one of this name, unless `reopen` continues it.
    """
    folder = FOLDERS[derivation.kind]
    groups = [join_key(image, f"{folder}/{derivation.name}") for image in images]
    existing = [group for group in groups if (layout.root / group).exists()]
    if existing and reopen is None:
        raise OutputExistsError(
            f"{layout.root} already has {existing[0]}. Choose another name, or remove that folder."
        )
    arrays = [
        [f"{group}/{level_path(k)}" for k in range(len(image.levels))]
        for group, image in zip(groups, plan.images, strict=True)
    ]
    plan = plan.with_keys(groups, arrays)
    journals = tuple(f"{group}/{JOURNAL_NAME}" for group in groups)
    own = Layout(layout.root, layout.output, journals)
    metadata = DerivedMetadata(plan, layout, derivation, images)
    if existing and reopen is not None:
        metadata.resume(layout.root, derivation, reopen)
    return plan, own, metadata


def own_derived(root: Path, images: Sequence[str]) -> list[str]:
    """Return the groups of the derived images of this library, of the images with these keys."""
    groups = (join_key(image, folder) for image in images for folder in FOLDERS.values())
    return [f"{group}/{name}" for group in groups for name in own_names(root, group)]


def own_names(root: Path, group: str) -> list[str]:
    """Return the names of the datasets of this library in a group on this disk, whether it lists them or not."""
    try:
        names = sorted(
            entry.name for entry in os.scandir(root / group) if entry.is_dir(follow_symlinks=False)
        )
    except OSError:
        return []
    return [n for n in names if "settings" in ome_writers_attributes(root / group / n, root)]


def stored_label(root: Path) -> Json | None:
    """Return the ``image-label`` of an image on disk; None if its pixels are not labels."""
    ome = group_attributes(root, root).get("ome")
    label = ome.get("image-label") if isinstance(ome, dict) else None
    return label if isinstance(label, dict) else None


def listed_names(root: Path, group: str, kind: str) -> list[str]:
    """Return the names that a group lists."""
    if not (root / group).is_dir():
        return []
    return names_in(group_attributes(root / group, root), kind)


class DerivedMetadata:
    """Metadata of derived images; the part of `DatasetMetadata` that `DatasetWriter` needs of added images.

    Attributes
    ----------
    frames
        Number of frames of each image, updated by the caller.
    """

    def __init__(
        self, plan: Plan, layout: Layout, derivation: Derivation, images: Sequence[str]
    ) -> None:
        self._keys = [image.key for image in plan.images]
        self.frames = [0] * len(self._keys)
        self._recorded = [-1] * len(self._keys)
        settings = plan.settings
        position = settings.position_dimension_index
        self._position = None if position is None else settings.dimensions[position].name
        axes = tuple(d for n, d in enumerate(settings.dimensions) if n != position)
        label = _image_label(derivation) if derivation.kind == "labels" else None
        single: Plan | None = None
        self._images: list[ZarrMetadata] = []
        for image in plan.images:
            own = Layout(layout.root / image.key, layout.root / image.key, (JOURNAL_NAME,))
            of_image = settings.model_copy(
                update={
                    "root_path": str(own.root),
                    "format": settings.format.model_copy(update={"suffix": ""}),
                    "dimensions": axes,
                    "plate": None,
                }
            )
            if single is None:
                single = resolve(of_image)
            alone = copy_with(
                image,
                key="",
                addressing=replace(image.addressing, number=0, first_array=0),
            )
            metadata = ZarrMetadata(
                replace(single, settings=of_image, images=(alone,)), own, label=label
            )
            metadata.set_derived(derivation.attributes)
            self._images.append(metadata)
        version = getattr(settings.format, "version", "0.5")
        self._lists = dict(_lists(layout.root, images, derivation, version))

    def resume(self, root: Path, derivation: Derivation, reopen: ReopenDerived) -> None:
        """Continue the datasets on disk, which a writer that was killed may have created in part."""
        folders = [root / key for key in self._keys]
        for folder in folders:
            if (folder / "zarr.json").exists():
                stored = ome_writers_attributes(folder, root).get("derived")
                derivation.check_continues(stored, folder)
        for number, folder in enumerate(folders):
            metadata = self._images[number]
            if not (folder / "zarr.json").exists():
                for name, content in metadata.render():
                    files.atomic_write(folder / name, content, durable=True)
            reopened = reopen(folder, metadata.plan.settings)
            assert isinstance(reopened, ZarrMetadata)
            self._images[number] = reopened

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and content of each changed file; a list of names after what it lists."""
        for key, metadata in zip(self._keys, self._images, strict=True):
            for name, content in metadata.render():
                yield join_key(key, name), content
        yield from self._lists.items()
        self._lists.clear()

    def update_progress(self, outcome: Outcome) -> tuple[()]:
        """Record the progress of the images that have new frames."""
        for number, of_image in enumerate(self._outcomes(outcome)):
            if self.frames[number] != self._recorded[number]:
                self._images[number].update_progress(of_image)
                self._recorded[number] = self.frames[number]
        return ()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        for metadata, of_image in zip(self._images, self._outcomes(outcome), strict=True):
            if outcome.status == "cancelled":
                expected = metadata.plan.distinct_frames
                if expected is not None and of_image.frames_written >= expected:
                    of_image = replace(of_image, status="complete")
            metadata.finish(of_image, journal)

    def embedded_journals(self) -> tuple[int, ...]:
        return ()

    def _outcomes(self, outcome: Outcome) -> Iterator[Outcome]:
        """Yield the outcome of each image."""
        windows: dict[int, dict[tuple[int, int], tuple[float, float]]] = {}
        for (number, channel), window in outcome.windows.items():
            windows.setdefault(number, {})[0, channel] = window
        extents = {name: n for name, n in outcome.extents.items() if name != self._position}
        for number, shape in enumerate(outcome.shapes):
            yield replace(
                outcome,
                frames_written=self.frames[number],
                shapes=(shape,),
                windows=windows.get(number, {}),
                extents=extents,
                frames_in_order=outcome.frames_in_order if len(self._keys) == 1 else 0,
                empty_planes={},
            )


def _image_label(derivation: Derivation) -> Json:
    label: Json = {"source": {"image": "../../"}}
    if derivation.colors:
        label["colors"] = [
            {"label-value": value, "rgba": list(color)}
            for value, color in sorted(derivation.colors.items())
        ]
    return label


def list_names(root: Path, group: str, kind: str, names: Sequence[str], version: str = "") -> bytes:
    """Return the metadata of a group that lists derived images, with more names."""
    attributes = group_attributes(root / group, root) if (root / group).is_dir() else {}
    names = list(dict.fromkeys([*listed_names(root, group, kind), *names]))
    if kind == "labels":
        own = attributes.get("ome")
        version = version or "0.5"
        attributes["ome"] = {
            "version": version,
            **(own if isinstance(own, dict) else {}),
            "labels": names,
        }
    else:
        attributes["ome_writers"] = {"derived": names}
    content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(content, ensure_ascii=False).encode(errors="replace")


def _lists(
    root: Path, images: Sequence[str], derivation: Derivation, version: str
) -> Iterator[tuple[str, bytes]]:
    """Yield the groups that list derived images, with this one."""
    for image in images:
        group = join_key(image, FOLDERS[derivation.kind])
        yield (
            f"{group}/zarr.json",
            list_names(root, group, derivation.kind, [derivation.name], version),
        )
