"""Group metadata of an OME-Zarr: NGFF attributes, settings, status and frame metadata; OME-XML of a collection."""

# Longer than 300 lines: one class, with all metadata of a dataset.
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from ome_writers.dataset import ImageSpec
from ome_writers.formats.dataset_metadata import (
    RESERVED_NAMESPACES,
    Layout,
    Outcome,
    check_global_metadata,
    library_version,
    new_dataset_id,
    settings_to_store,
)
from ome_writers.formats.frame_metadata import EMBED_BYTES, JOURNAL_NAME, Journal, latest_entries
from ome_writers.formats.ome_xml import (
    assemble_document,
    axis_letters,
    render_body,
    render_planes,
    significant_bits,
)
from ome_writers.formats.omezarr import ngff
from ome_writers.formats.omezarr.display_windows import DisplayWindows
from ome_writers.formats.omezarr.layout import XML_KEY, join_key
from ome_writers.formats.plates import is_plate, plate_layout
from ome_writers.formats.strict_json import to_plain_json
from ome_writers.routing import Plan
from ome_writers.settings import split_suffix

Attributes = dict[str, Any]

MAX_WINDOW_UPDATES = 16
"""Maximum number of images that get new display windows per flush; each rewrites a file."""
_MAX_XML_FRAMES_BYTES = 2**22
"""Frame metadata of all images, as JSON, up to which the OME-XML contains them too: about 15,000 frames.

They double in size there, and ome-types takes about half a millisecond for each frame.
"""


class ZarrMetadata:
    """Implements `DatasetMetadata` and `SupportsCarryOver`.

    `label` is the ``image-label`` of an image whose pixels are labels.
    """

    def __init__(self, plan: Plan, layout: Layout, *, label: Attributes | None = None) -> None:
        self._plan = plan
        self._label = label
        self._layout = layout
        self._name = split_suffix(layout.output.name)[0]
        self._version = getattr(plan.settings.format, "version", ngff.VERSION)
        self._groups: dict[str, Attributes] = {}
        self._generated: dict[str, Attributes] = {}  # by path: ``ome`` without client edits
        self._xml: bytes | None = None
        self._dirty: set[str] = set()
        self._frames: dict[int, list[dict[str, Any]]] = {}  # by image: embedded frame metadata
        self._frames_in_xml = True
        self._globals: dict[str, Attributes] = {}
        self._began = datetime.now(timezone.utc)
        self._outcome = Outcome("writing", 0, tuple(i.shape for i in plan.images))
        self._windows = DisplayWindows(plan.images, shared=is_plate(plan))
        if plan.settings.storage_order != "ome":
            from ome_writers.formats.omezarr.axis_order import warn_of_axis_order

            warn_of_axis_order(plan)
        self._intervals: dict[int, float] = {}  # by image: measured time interval, in seconds
        self._build()

    @property
    def paths(self) -> tuple[str, ...]:  # parents first
        return tuple(self._groups)

    def render(self) -> Iterator[tuple[str, bytes]]:
        for path, attributes in self._groups.items():
            if path in self._dirty:
                group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
                yield join_key(path, "zarr.json"), _dump(group)
        if self._xml is not None and XML_KEY in self._dirty:
            yield XML_KEY, self._xml
        self._dirty.clear()

    def _image_keys(self) -> list[str]:
        return [image.key for image in self._plan.images]

    def attributes_of(self, path: str) -> Attributes:
        return self._groups[path]

    def get_metadata(self) -> dict[str, Attributes]:
        """Return a copy of the attributes of each image group by path; ``"."`` is the root."""
        return {image.key or ".": _copied(self._groups[image.key]) for image in self._plan.images}

    def update_metadata(self, metadata: Any) -> None:
        """Replace attributes of groups, by path. Reserved keys of ``ome_writers`` stay.

        Raises KeyError if a path is not a group of this dataset; TypeError if `metadata` is not a dict of paths to
        dicts; MetadataError if a value cannot be represented in JSON.
        """
        from ome_writers.formats.omezarr.client_edits import keep_reserved_keys, plain_groups

        for key, attributes in plain_groups(metadata, self._groups).items():
            keep_reserved_keys(attributes, self._groups[key])
            self._groups[key] = attributes
            self._dirty.add(key)
        self._globals = {n: v for n, v in self._globals.items() if n in self._groups[""]}

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        check_global_metadata(namespace, metadata)
        self._globals[namespace] = self._groups[""][namespace] = to_plain_json(dict(metadata))
        self._dirty.add("")
        self._render_ome_xml()

    def find_metadata(self, namespace: str) -> Mapping[str, Any] | None:
        """Return the metadata of a namespace in the first group that has it; pymmcore-plus 0.18 writes each image's."""
        found = (self._groups[path].get(namespace) for path in ("", *self._image_keys()))
        return next((each for each in found if isinstance(each, dict)), None)

    def use_plan(self, plan: Plan) -> None:
        self._plan = plan
        for image in plan.images:
            self._refresh(image)
            self._describe_channels(image)
        self._groups[""]["ome_writers"]["settings"] = settings_to_store(plan.settings)
        self._dirty.add("")
        self._render_ome_xml()

    def update_progress(self, outcome: Outcome) -> tuple[()]:
        """Record progress in the root group, and widen display windows of at most `MAX_WINDOW_UPDATES` images."""
        before, self._outcome = self._outcome, outcome
        if (outcome.frames_written, outcome.extents) != (before.frames_written, before.extents):
            self._groups[""]["ome_writers"].update(self._status())
            self._dirty.add("")
        for number in self._windows.update(outcome.windows)[:MAX_WINDOW_UPDATES]:
            self._refresh(self._plan.images[number])
        return ()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        self._outcome = outcome
        sizes = (journal.size(image.number) for image in self._plan.images)
        self._frames_in_xml = sum(sizes) <= _MAX_XML_FRAMES_BYTES
        self._windows.update(outcome.windows)
        for image in self._plan.images:
            if journal.count(image.number):
                attributes = self._groups[image.key]
                own = attributes.setdefault("ome_writers", {"version": library_version()})
                own["frame_metadata"] = self._frame_metadata(image.number, journal)
                interval = ngff.measured_interval(image, self._frames.get(image.number, ()))
                if interval is not None:
                    self._intervals[image.number] = interval
                    own["measured"] = {"time_interval": interval, "unit": "second"}
            self._refresh(image)
        own = self._groups[""]["ome_writers"]
        own.pop("extents", None)  # the shapes of the arrays are final
        own.update(self._status())
        self._dirty.add("")
        self._render_ome_xml()

    @property
    def plan(self) -> Plan:
        return self._plan

    def set_derived(self, derived: Attributes) -> None:
        """Record that the image is derived from others, and how."""
        self._groups[""]["ome_writers"]["derived"] = derived
        self._dirty.add("")

    def embedded_journals(self) -> tuple[int, ...]:
        return tuple(self._frames)

    def adopt(self, groups: Mapping[str, Attributes]) -> None:
        """Continue from the attributes on disk of an interrupted writer of the same plan, by group path.

        Afterwards only the groups that it did not write are rendered.
        """
        for path in self._groups.keys() & groups.keys():
            own = self._groups[path].get("ome_writers")
            self._groups[path] = groups[path]
            if own is not None:
                groups[path].setdefault("ome_writers", own)
            self._dirty.discard(path)
        for number, path in enumerate(self._image_keys()):
            frames = self._groups[path].get("ome_writers", {}).get("frame_metadata")
            if isinstance(frames, list):
                self._frames[number] = frames
        self._globals = {n: v for n, v in self._groups[""].items() if n not in RESERVED_NAMESPACES}

    def carry_over(self, earlier: ZarrMetadata) -> None:
        for path in self._groups.keys() & set(earlier.paths):
            attributes = earlier.attributes_of(path).items()
            self._groups[path] |= {k: v for k, v in attributes if k not in RESERVED_NAMESPACES}
            self._dirty.add(path)

    def _build(self) -> None:
        plan, layout, keys = self._plan, self._layout, self._image_keys()
        root: Attributes = {}
        self._groups[""] = root
        if is_plate(plan):
            model = plan.settings.plate
            assert model is not None
            plate = plate_layout(plan)
            root["ome"] = self._versioned(ngff.plate(model, plate, name=layout.output.name))
            for well in plate.wells:
                self._groups.setdefault(well.path.partition("/")[0], {})
                self._groups[well.path] = {"ome": self._versioned(ngff.well(well.fields))}
        elif keys != [""]:
            root["ome"] = {"version": self._version, "bioformats2raw.layout": 3}
            self._groups["OME"] = {"ome": {"version": self._version, "series": keys}}
        for image in plan.images:
            attributes = self._groups.setdefault(image.key, {})
            attributes["ome"] = self._image(image)
            self._generated[image.key] = _copied(attributes["ome"])
            self._describe_channels(image)
        if self._version != ngff.VERSION and "OME" in self._groups:
            from ome_writers.formats.omezarr.versions import scene

            positions = [image.position for image in plan.images]
            root["ome"].update(scene(positions, keys, self._groups))
        root["ome_writers"] = {
            "id": new_dataset_id(),
            "started": self._began.strftime("%Y-%m-%dT%H:%M:%SZ"),
            **self._status(),
            **root.get("ome_writers", {}),
            "settings": settings_to_store(plan.settings),
        }
        self._dirty = set(self._groups)
        self._render_ome_xml()

    def _image(self, image: ImageSpec) -> Attributes:
        shape = self._outcome.shapes[image.number]
        windows = self._windows.refresh(image.number)
        interval = self._intervals.get(image.number)
        bits = significant_bits(image, self._plan.settings.instrument)
        ome = ngff.image(image, shape, windows, name=self._name, interval=interval, bits=bits)
        if self._label is not None:
            del ome["omero"]
            ome["image-label"] = self._label
        return self._versioned(ome)

    def _describe_channels(self, image: ImageSpec) -> None:
        channels = ngff.channel_metadata(image, image.shape)
        if channels:
            attributes = self._groups[image.key]
            own = attributes.setdefault("ome_writers", {"version": library_version()})
            own["channels"] = channels

    def _versioned(self, ome: Attributes) -> Attributes:
        if self._version == ngff.VERSION:
            return ome
        from ome_writers.formats.omezarr.versions import at_version

        return at_version(ome, self._version)

    def _refresh(self, image: ImageSpec) -> None:
        """Regenerate the attributes of an image group, keeping client edits."""
        path = image.key
        fresh = self._image(image)
        attributes = self._groups[path]
        current, before = attributes.get("ome"), self._generated[path]
        attributes["ome"] = self._generated[path] = fresh
        if current != before:
            from ome_writers.formats.omezarr.client_edits import merge_client_edits

            attributes["ome"] = merge_client_edits(current, before, fresh)
        self._dirty.add(path)

    def _status(self) -> Attributes:
        outcome = self._outcome
        status: Attributes = {"version": library_version(), "status": outcome.status}
        status["frames"] = {
            "expected": self._plan.distinct_frames,
            "written": outcome.frames_written,
        }
        if outcome.time is not None:
            status["updated"] = outcome.timestamp
        if outcome.extents:
            status["extents"] = dict(outcome.extents)
        resumable = outcome.status != "complete" or self._plan.frames is None
        if outcome.extents or (outcome.frames_in_order and resumable):
            status["frames"]["in_order"] = outcome.frames_in_order
        return status

    def _frame_metadata(self, image: int, journal: Journal) -> Any:
        """Return ``ome_writers.frame_metadata`` of an image: its frames, or a reference to the journal."""
        if journal.size(image) <= EMBED_BYTES:
            try:
                self._frames[image] = latest_entries(journal.lines(image), strict=True)
            except (OSError, ValueError, KeyError, TypeError):
                pass  # refer to the journal instead
            else:
                return self._frames[image]
        return {"journal": JOURNAL_NAME, "count": journal.count(image)}

    def _render_ome_xml(self) -> None:
        """Render the OME-XML of a collection, which the reader of napari requires; without large frame metadata."""
        if "OME" not in self._groups:
            return
        planes = {}
        for number in self._frames if self._frames_in_xml else ():
            lines = partial(map, _dump, self._frames[number])
            planes[number] = render_planes(number, lines, axis_letters(self._plan.images[number]))
        shapes = self._outcome.shapes
        body = render_body(
            self._plan, shapes, began=self._began, planes=planes, metadata=self._globals
        )
        self._xml = assemble_document(body, None)
        self._dirty.add(XML_KEY)


def _copied(attributes: Attributes) -> Attributes:
    copied: Attributes = json.loads(json.dumps(attributes))  # a third of the time of deepcopy
    return copied


def _dump(value: Attributes) -> bytes:
    # errors="replace": lone surrogates, as in paths of other encodings, cannot be encoded in UTF-8
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode(errors="replace")
