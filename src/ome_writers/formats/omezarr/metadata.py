"""All that an OME-Zarr says: group documents, the settings behind it, and the metadata of its frames."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from ome_writers.formats.dataset_metadata import (
    RESERVED_NAMESPACES,
    Outcome,
    check_global_metadata,
    library_version,
    new_dataset_id,
)
from ome_writers.formats.frame_metadata import EMBED_BYTES, JOURNAL_NAME, latest_entries
from ome_writers.formats.omezarr import ngff
from ome_writers.formats.omezarr.client_edits import keep_own, merged
from ome_writers.formats.omezarr.display_windows import DisplayWindows
from ome_writers.formats.omezarr.layout import join_key
from ome_writers.formats.plates import is_plate, plate_layout
from ome_writers.formats.strict_json import to_plain_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ome_writers.formats.dataset_metadata import Layout
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.routing import ImagePlan, Plan

    Attributes = dict[str, Any]

__all__ = ["ZarrMetadata"]

WINDOW_IMAGES = 16
"""How many images get new display windows in one flush, at most: each costs the rewriting of its document."""
XML_KEY = "OME/METADATA.ome.xml"


class ZarrMetadata:
    """The documents of one OME-Zarr; see `DatasetMetadata`."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._layout = layout
        self._groups: dict[str, Attributes] = {}
        # what ``ome`` of each image was before anybody changed it
        self._generated: dict[str, Attributes] = {}
        self._xml: bytes | None = None
        self._dirty: set[str] = set()
        self._frames: dict[int, list[dict[str, Any]]] = {}  # by image: what is embedded
        self._journal: Journal | None = None
        self._globals: dict[str, Attributes] = {}
        self._outcome = Outcome("writing", 0, tuple(i.array.shape for i in plan.images))
        self._windows = DisplayWindows(plan.images)
        self._intervals: dict[int, float] = {}  # by image: measured, in seconds
        self._build()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all groups, parents first; ``""`` is the root."""
        return tuple(self._groups)

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield the documents that changed; see `DatasetMetadata.render`."""
        for path, attributes in self._groups.items():
            if path in self._dirty:
                document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
                yield join_key(path, "zarr.json"), _dump(document)
        if self._xml is not None and XML_KEY in self._dirty:
            yield XML_KEY, self._xml
        self._dirty.clear()

    def get_metadata(self) -> dict[str, Attributes]:
        """Return a copy of each image group's attributes by path, ``"."`` being the root."""
        return {path or ".": copy.deepcopy(self._groups[path]) for path in self._layout.images}

    def update_metadata(self, metadata: Any) -> None:
        """Replace attributes of groups, by path.

        What ``ome_writers`` says of the dataset and its frames stays; other keys may be added to it.

        Raises
        ------
        KeyError
            If a path is no group of this dataset ("Unknown path: ...").
        TypeError
            If `metadata` is no mapping of paths to mappings.
        MetadataError
            If a value has no JSON form.
        """
        if not isinstance(metadata, dict) or not all(
            isinstance(v, dict) for v in metadata.values()
        ):
            raise TypeError(
                "Expected dict[str, dict]: group path to attributes, as get_metadata() returns it."
            )
        groups = {}
        for path, attributes in metadata.items():
            key = "" if path == "." else path
            if key not in self._groups:
                known = ", ".join(repr(p or ".") for p in list(self._groups)[:20])
                raise KeyError(f"Unknown path: {path!r}. This dataset has {known}.")
            groups[key] = to_plain_json(attributes)
        for key, attributes in groups.items():
            keep_own(attributes, self._groups[key])
            self._groups[key] = attributes
            self._dirty.add(key)
        self._globals = {n: v for n, v in self._globals.items() if n in self._groups[""]}

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach `metadata` to the root group; see `DatasetMetadata`."""
        check_global_metadata(namespace, metadata)
        self._globals[namespace] = self._groups[""][namespace] = to_plain_json(dict(metadata))
        self._dirty.add("")
        self._describe()

    def update_progress(self, outcome: Outcome) -> tuple[()]:
        """Record how far the acquisition is; see `DatasetMetadata.progress`.

        Display windows follow the data: `WINDOW_IMAGES` images at most change at once.
        """
        before, self._outcome = self._outcome, outcome
        if (outcome.frames_written, outcome.extents) != (before.frames_written, before.extents):
            self._groups[""]["ome_writers"].update(self._status())
            self._dirty.add("")
        for number in self._windows.outdated(outcome.windows)[:WINDOW_IMAGES]:
            self._refresh(self._plan.images[number])
        return ()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        """Take in how the acquisition ended; see `DatasetMetadata.finish`."""
        self._outcome = outcome
        self._journal = journal
        self._windows.outdated(outcome.windows)
        for image, path in zip(self._plan.images, self._layout.images, strict=True):
            if journal.count(image.number):
                attributes = self._groups[path]
                ours = attributes.setdefault("ome_writers", {"version": library_version()})
                ours["frame_metadata"] = self._frame_metadata(image.number, journal)
                interval = ngff.measured_interval(image, self._frames.get(image.number, ()))
                if interval is not None:
                    self._intervals[image.number] = interval
                    ours["measured"] = {"time_interval": interval, "unit": "second"}
            self._refresh(image)
        ours = self._groups[""]["ome_writers"]
        ours.pop("extents", None)  # from now on those of the arrays
        ours.update(self._status())
        self._dirty.add("")
        self._describe()

    def embedded_journals(self) -> tuple[int, ...]:
        """Return the images whose journal is embedded."""
        return tuple(self._frames)

    def adopt(self, groups: Mapping[str, Attributes]) -> None:
        """Go on from the attributes that an earlier writer of this same plan has left, by group path.

        Only groups that it did not come to are rendered after that.
        """
        for path in self._groups.keys() & groups.keys():
            ours = self._groups[path].get("ome_writers")
            self._groups[path] = groups[path]
            if ours is not None:
                groups[path].setdefault("ome_writers", ours)
            self._dirty.discard(path)
        self._globals = {n: v for n, v in self._groups[""].items() if n not in RESERVED_NAMESPACES}

    def carry_over(self, earlier: ZarrMetadata) -> None:
        """Take over what others have added to the groups of a dataset that this one replaces."""
        for path in self._groups.keys() & earlier._groups.keys():
            theirs = earlier._groups[path].items()
            self._groups[path].update(
                {key: v for key, v in theirs if key not in RESERVED_NAMESPACES}
            )
            self._dirty.add(path)

    def lines(self, image: int) -> Iterable[bytes]:
        """Iterate over the metadata of an image's frames, wherever it is now; see `FrameMetadataSource`."""
        if image in self._frames:
            return (_dump(entry) for entry in self._frames[image])
        return self._journal.lines(image) if self._journal is not None else ()

    def count(self, image: int) -> int:
        """Return how many frames of an image came with metadata."""
        return self._journal.count(image) if self._journal is not None else 0

    def _build(self) -> None:
        plan, layout = self._plan, self._layout
        root: Attributes = {}
        self._groups[""] = root
        if is_plate(plan):
            model = plan.settings.plate
            assert model is not None
            plate = plate_layout(plan)
            root["ome"] = ngff.plate(model, plate, name=layout.output.name)
            for (row, column), fields in plate.fields.items():
                path = plate.rows[row]
                self._groups.setdefault(path, {})
                path = f"{path}/{plate.columns[column]}"
                self._groups[path] = {"ome": ngff.well(fields)}
        elif layout.images != ("",):
            root["ome"] = {"version": ngff.VERSION, "bioformats2raw.layout": 3}
            self._groups["OME"] = {"ome": {"version": ngff.VERSION, "series": list(layout.images)}}
        for image, path in zip(plan.images, layout.images, strict=True):
            attributes = self._groups.setdefault(path, {})
            attributes["ome"] = self._image(image)
            self._generated[path] = copy.deepcopy(attributes["ome"])
            facts = ngff.channel_facts(image, image.array.shape)
            if facts:
                attributes["ome_writers"] = {"version": library_version(), "channels": facts}
        settings = plan.settings.model_dump(mode="json")
        root["ome_writers"] = {
            "id": new_dataset_id(),
            **self._status(),
            **root.get("ome_writers", {}),
            "settings": settings,
        }
        self._dirty = set(self._groups)
        self._describe()

    def _image(self, image: ImagePlan) -> Attributes:
        shape = self._outcome.shapes[image.number]
        windows = self._windows.of(image.number)
        name, interval = _stem(self._layout.output.name), self._intervals.get(image.number)
        return ngff.image(image, shape, windows, name=name, interval=interval)

    def _refresh(self, image: ImagePlan) -> None:
        """Bring the document of an image up to date; what a client has changed in it stays."""
        path = self._layout.images[image.number]
        fresh = self._image(image)
        attributes = self._groups[path]
        attributes["ome"] = merged(attributes.get("ome"), self._generated[path], fresh)
        self._generated[path] = fresh
        self._dirty.add(path)

    def _status(self) -> Attributes:
        outcome = self._outcome
        status: Attributes = {"version": library_version(), "status": outcome.status}
        status["frames"] = {"expected": self._plan.frames, "written": outcome.frames_written}
        if outcome.time is not None:
            status["updated"] = outcome.timestamp
        if outcome.extents:
            status["extents"] = dict(outcome.extents)
        return status

    def _frame_metadata(self, image: int, journal: Journal) -> Any:
        """Return what an image's document says of its frames: all of it, or where it lies."""
        if journal.size(image) <= EMBED_BYTES:
            try:
                self._frames[image] = latest_entries(journal.lines(image), strict=True)
            except (OSError, ValueError, KeyError, TypeError):
                pass  # then it stays where it is, and the document is written all the same
            else:
                return self._frames[image]
        return {"journal": JOURNAL_NAME, "count": journal.count(image)}

    def _describe(self) -> None:
        """Render the OME-XML of a collection: napari's reader opens none without it."""
        if "OME" not in self._groups:
            return
        from ome_writers.formats.ome_xml import render

        frames = self if self._journal is not None else None
        self._xml = render(self._plan, self._outcome, frames, metadata=self._globals)
        self._dirty.add(XML_KEY)


def _stem(name: str) -> str:
    for suffix in (".ome.zarr", ".zarr"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name


def _dump(document: Attributes) -> bytes:
    # what is no text, as in paths of other encodings, has no place in UTF-8
    return json.dumps(document, allow_nan=False, ensure_ascii=False).encode(errors="replace")
