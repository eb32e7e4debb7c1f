"""All that an OME-Zarr says: group documents, the settings behind it, and the metadata of its frames."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from ome_writers.errors import MetadataError
from ome_writers.formats import ngff
from ome_writers.formats.documents import Outcome
from ome_writers.formats.frame_metadata import EMBED_BYTES, JOURNAL_NAME, latest
from ome_writers.formats.zarr_layout import below, is_plate, plate_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ome_writers.formats.documents import Layout
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.routing import Plan

__all__ = ["ZarrDocuments"]

RESERVED = frozenset({"ome", "ome_writers"})
XML_KEY = "OME/METADATA.ome.xml"


class ZarrDocuments:
    """The documents of one OME-Zarr; see `formats.documents.Documents`."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._layout = layout
        self._groups: dict[str, dict[str, Any]] = {}
        self._extra: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        self._obsolete: list[int] = []
        self._globals: dict[str, dict[str, Any]] = {}
        self._outcome = Outcome("writing", 0, tuple(i.array.shape for i in plan.images))
        self._build()

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield the documents that changed; see `formats.documents.Documents.render`."""
        for path in [p for p in self._groups if p in self._dirty]:
            document = {
                "zarr_format": 3,
                "node_type": "group",
                "attributes": self._groups[path],
            }
            yield below(path, "zarr.json"), _dump(document)
        for key, content in self._extra.items():
            if key in self._dirty:
                yield key, content
        self._dirty.clear()

    def get_metadata(self) -> dict[str, dict[str, Any]]:
        """Return a copy of each image group's attributes by path, ``"."`` being the root."""
        return {
            path or ".": copy.deepcopy(self._groups[path])
            for path in dict.fromkeys(self._layout.images)
        }

    def update_metadata(self, metadata: Any) -> None:
        """Replace attributes of groups, by path.

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
                raise KeyError(
                    f"Unknown path: {path!r}. Paths are {sorted(self._groups) or ['.']}."
                )
            groups[key] = _plain(attributes)
        for key, attributes in groups.items():
            self._groups[key] = attributes
            self._dirty.add(key)

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach `metadata` to the root group; see `formats.documents.Documents`."""
        if not namespace or namespace in RESERVED:
            raise ValueError(
                f"A namespace must be a non-empty name other than {sorted(RESERVED)}, got {namespace!r}."
            )
        self._globals[namespace] = self._groups[""][namespace] = _plain(dict(metadata))
        self._dirty.add("")
        self._describe()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        """Take in how the acquisition ended; see `formats.documents.Documents.finish`."""
        self._outcome = outcome
        for image, path in zip(self._plan.images, self._layout.images, strict=True):
            fresh = ngff.image(image, outcome.shapes[image.number], outcome.windows)
            attributes = self._groups[path]
            # what a client wrote into the image's document stays; what closing found out is brought in
            attributes["ome"] = {**fresh, **attributes.get("ome", {}), "omero": fresh["omero"]}
            if journal.count(image.number):
                ours = attributes.setdefault("ome_writers", {"version": _version()})
                ours["frame_metadata"] = self._frames(image.number, journal)
            self._dirty.add(path)
        self._groups[""].setdefault("ome_writers", {}).update(self._status())
        self._dirty.add("")
        self._describe(journal)

    def journal_obsolete(self) -> tuple[int, ...]:
        """Return the images whose journal is embedded."""
        return tuple(self._obsolete)

    def _build(self) -> None:
        plan, layout = self._plan, self._layout
        root: dict[str, Any] = {}
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
            attributes["ome"] = ngff.image(image, image.array.shape, {})
        root["ome_writers"] = {**self._status(), "settings": plan.settings.model_dump(mode="json")}
        self._dirty = set(self._groups)
        self._describe()

    def _status(self) -> dict[str, Any]:
        return {
            "version": _version(),
            "status": self._outcome.status,
            "frames": {"expected": self._plan.frames, "written": self._outcome.frames_written},
        }

    def _frames(self, image: int, journal: Journal) -> Any:
        if journal.size(image) > EMBED_BYTES:
            return {"journal": JOURNAL_NAME, "count": journal.count(image)}
        self._obsolete.append(image)
        return latest(journal.lines(image))

    def _describe(self, journal: Journal | None = None) -> None:
        """Render the OME-XML of a collection: napari's reader opens none without it."""
        if "OME" not in self._groups:
            return
        from ome_writers.formats.ome_xml import render

        self._extra[XML_KEY] = render(self._plan, self._outcome, journal, metadata=self._globals)
        self._dirty.add(XML_KEY)


def _version() -> str:
    from importlib.metadata import version

    return version("ome-writers")


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy that is strict JSON."""
    from ome_writers.formats.frame_metadata import to_strict_json

    try:
        plain = json.loads(to_strict_json(metadata))
    except (ValueError, TypeError, RecursionError) as error:
        raise MetadataError(f"The metadata cannot be written as JSON: {error}.") from error
    assert isinstance(plain, dict)
    return plain
