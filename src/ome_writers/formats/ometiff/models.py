"""Documents as models of ome-types, and back: for users who look into the metadata or edit them.

The models are for people; nothing on the way of a frame uses them.
"""

from __future__ import annotations

import copy
import re
import uuid
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ome_writers.formats.ome_xml import NAMESPACE, assemble_document, map_annotation, namespace_uri
from ome_writers.formats.ome_xml.annotations import FRAME_NAMESPACE, OWN_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from xml.etree.ElementTree import Element

    from ome_types.model import OME

    from ome_writers.formats.ome_xml import Body, RenderedPlanes

__all__ = ["EditedDocument", "check_models", "edit", "models"]

_SIZES = ("DimensionOrder", "Type", "SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")


def models(
    uuids: Mapping[int, str],
    common: bytes | None,
    planes: Mapping[int, RenderedPlanes],
    edited: Mapping[int, EditedDocument],
    pointers: Mapping[int, bytes],
) -> dict[int, OME]:
    """Return the model of each document; those of one content share its elements.

    Parameters
    ----------
    uuids
        The documents' numbers, and the UUID of each.
    common
        The document, without planes, of all that are neither `edited` nor `pointers`.
    planes
        Number of an image to the planes that belong into the common document.
    """
    read: dict[EditedDocument | None, OME] = {}
    found = {}
    for number, urn in uuids.items():
        source = edited.get(number)
        if number in pointers:
            found[number] = _model(pointers[number])
        elif source is not None:
            read[source] = read.get(source) or _model(source.document(urn))
            found[number] = _twin(read[source], urn)
        elif common is not None:
            read[None] = read.get(None) or _model(common, planes)
            found[number] = _twin(read[None], urn if len(uuids) > 1 else None)
    return found


def check_models(metadata: Any, known: Collection[int]) -> None:
    """Refuse what is not a dict of position number to model.

    Raises
    ------
    TypeError
        If it is not.
    KeyError
        If a number is not `known`.
    """
    from ome_types.model import OME

    if not isinstance(metadata, dict):
        raise TypeError(
            f"Expected dict[int, ome_types.model.OME], got {type(metadata).__name__}: pass what "
            "get_metadata() returned, edited."
        )
    for number, model in metadata.items():
        if not isinstance(number, int):
            raise TypeError(
                f"Expected dict[int, ome_types.model.OME], got the key {number!r}: positions are numbers."
            )
        if not isinstance(model, OME):
            raise TypeError(
                f"Expected ome_types.model.OME for position {number}, got {type(model).__name__}."
            )
        if number not in known:
            raise KeyError(f"Unknown position: {number}. Positions are {sorted(known)}.")


def edit(
    models: Mapping[int, OME], facts: Body, planes: Mapping[int, RenderedPlanes]
) -> dict[int, EditedDocument]:
    """Return the edited document of each model; models that say the same share theirs.

    Parameters
    ----------
    facts
        What the document says without edits, but for the planes: what only the files know comes from there.
    planes
        Number of an image to what is known of its planes.
    """
    found: list[tuple[OME, EditedDocument]] = []
    edited = {}
    for number, model in models.items():
        twin = next((e for other, e in found if _alike(other, model)), None)
        if twin is None:
            twin = EditedDocument(model, facts, planes)
            found.append((model, twin))
        edited[number] = twin
    return edited


class EditedDocument:
    """A document that a user edited.

    It holds the elements of planes only of images with planes that were edited; there may be thousands of them.
    """

    def __init__(self, model: OME, facts: Body, planes: Mapping[int, RenderedPlanes]) -> None:
        from ome_types import to_xml

        from ome_writers.formats.ometiff.bulk_elements import strip_unchanged

        fresh = _parse(assemble_document(facts, None))
        self._mark = f"planes-{uuid.uuid4().hex}-"  # with a number: the planes of an image
        self._text = b""  # the document with the mark in the place of its UUID, once asked for
        self._root = _parse(to_xml(strip_unchanged(model, fresh, planes)).encode())
        for element in self._root.iter():
            for name, value in element.items():
                if not value.isprintable():
                    element.set(name, " ".join(value.split()))
        self._bring_in(fresh, planes)

    def document(self, uuid: str) -> bytes:
        """Return the document for the file that has this UUID."""
        if not self._text:  # of a set, hundreds of files have the same but for the UUID
            root = copy.copy(self._root)
            root.set("xmlns", NAMESPACE)
            root.set("UUID", self._mark)
            # UTF-8, no breaks in attributes: Bio-Formats takes no numeric character reference (see `text.attribute`)
            self._text = ElementTree.tostring(root, "utf-8", xml_declaration=False)
        places = re.compile(f"<{self._mark}(\\d+) />".encode())
        text = self._text.replace(self._mark.encode(), uuid.encode(), 1)
        text = places.sub(lambda place: self._planes[int(place[1])].elements, text)
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text

    def annotate(self, namespace: str, pairs: Mapping[str, Any]) -> None:
        """Attach pairs to the acquisition; the same namespace replaces."""
        self._text = b""
        annotations = self._annotations()
        for old in [a for a in annotations if a.get("Namespace") == namespace_uri(namespace)]:
            annotations.remove(old)
        taken = {a.get("ID") for a in annotations}
        free = next(i for i in range(len(taken) + 1) if f"Annotation:{i}" not in taken)
        xml = map_annotation(f"Annotation:{free}", namespace, pairs)
        annotations.append(ElementTree.fromstring(xml.encode()))
        _sort_annotations(annotations)

    def refresh(self, facts: Body, planes: Mapping[int, RenderedPlanes]) -> None:
        """Bring in what only the files know: sizes, where the planes are, and the frames' metadata."""
        self._bring_in(_parse(assemble_document(facts, None)), planes)

    def _bring_in(self, fresh: Element, planes: Mapping[int, RenderedPlanes]) -> None:
        self._planes, self._text = planes, b""
        by_id = {image.get("ID"): image for image in self._root.iter("Image")}
        numbers = {f"Image:{number}": number for number in planes}
        for image in fresh.iter("Image"):
            mine, theirs = by_id.get(image.get("ID")), image.find("Pixels")
            pixels = mine.find("Pixels") if mine is not None else None
            if pixels is not None and theirs is not None:
                number = numbers.get(image.get("ID", ""))
                _refresh_pixels(pixels, theirs, self._planes_of(pixels, number))
        self._refresh_annotations(fresh)

    def _planes_of(self, pixels: Element, number: int | None) -> list[Element]:
        """Return what stands for the planes of an image: those that the user changed, and those of the file."""
        mine = [child for child in pixels if child.tag == "Plane"]
        if number is None:
            return mine
        if not mine:
            return [ElementTree.Element(f"{self._mark}{number}")]
        known = {_place(plane): plane for plane in mine}
        theirs = ElementTree.fromstring(b"<_>%s</_>" % self._planes[number].elements)
        return [known.get(_place(plane), plane) for plane in theirs]

    def _refresh_annotations(self, fresh: Element) -> None:
        annotations = self._annotations()
        known = {a.get("ID") for a in annotations}
        for annotation in fresh.iterfind("StructuredAnnotations/*"):
            if annotation.get("Namespace") == FRAME_NAMESPACE and annotation.get("ID") not in known:
                annotations.append(annotation)
            elif annotation.get("Namespace") == OWN_NAMESPACE:
                for mine in (a for a in annotations if a.get("Namespace") == OWN_NAMESPACE):
                    mine.tag, mine[:] = annotation.tag, list(annotation)
        _sort_annotations(annotations)
        if not len(annotations):
            self._root.remove(annotations)

    def _annotations(self) -> Element:
        found = self._root.find("StructuredAnnotations")
        if found is None:
            found = ElementTree.Element("StructuredAnnotations")
            roi = next((i for i, c in enumerate(self._root) if c.tag == "ROI"), len(self._root))
            self._root.insert(roi, found)
        return found


def _refresh_pixels(pixels: Element, fresh: Element, planes: Sequence[Element]) -> None:
    for name in _SIZES:
        pixels.set(name, fresh.get(name, "1"))
    channels = [c for c in pixels if c.tag == "Channel"]
    wanted = [c for c in fresh if c.tag == "Channel"]
    channels = channels[: len(wanted)] + wanted[len(channels) :]
    pixels[:] = [*channels, *(t for t in fresh if t.tag == "TiffData"), *planes]


def _place(plane: Element) -> tuple[str | None, ...]:
    return plane.get("TheZ"), plane.get("TheC"), plane.get("TheT")


def _sort_annotations(annotations: Element) -> None:
    """Keep annotations of a kind together, as ome-types writes them."""
    kinds = list(dict.fromkeys(a.tag for a in annotations))
    annotations[:] = sorted(annotations, key=lambda a: kinds.index(a.tag))


def _parse(document: bytes) -> Element:
    """Return the root of a document, its tags without the namespace."""
    root = ElementTree.fromstring(document)
    mark = "{" + NAMESPACE + "}"
    for element in root.iter():
        if element.tag.startswith(mark):
            element.tag = element.tag[len(mark) :]
    return root


def _model(document: bytes, planes: Mapping[int, RenderedPlanes] = {}) -> OME:
    from ome_types import from_xml

    from ome_writers.formats.ometiff.bulk_elements import extract_bulk_elements, plane_models

    root = _parse(document)
    bulk = extract_bulk_elements(root)
    for number, known in planes.items():
        bulk.planes[f"Image:{number}"] = plane_models(known)
    root.set("xmlns", NAMESPACE)
    return bulk.put_into(from_xml(ElementTree.tostring(root, "utf-8")))


def _fields(model: Any) -> list[tuple[str, Any]]:
    """Return the fields of a model: some classes of ome-types iterate over something else."""
    return [(name, getattr(model, name)) for name in type(model).model_fields]


def _twin(model: OME, uuid: str | None) -> OME:
    """Return a model with the same elements in lists of its own."""
    update: dict[str, Any] = {"uuid": uuid}
    for name, value in _fields(model):
        if isinstance(value, list):
            update[name] = list(value)
    annotations = model.structured_annotations
    if annotations:
        lists = {n: list(v) for n, v in _fields(annotations) if isinstance(v, list)}
        update["structured_annotations"] = annotations.model_copy(update=lists)
    return model.model_copy(update=update)


def _alike(one: OME, other: OME) -> bool:
    """Whether two models say the same, their UUIDs and the IDs of annotations apart."""
    for (name, mine), (_, theirs) in zip(_fields(one), _fields(other), strict=True):
        if name == "uuid":
            continue
        if name == "structured_annotations":
            if not _alike_annotations(mine, theirs):
                return False
        elif isinstance(mine, list) and isinstance(theirs, list):
            if len(mine) != len(theirs) or any(
                a is not b for a, b in zip(mine, theirs, strict=True)
            ):
                return False
        elif mine != theirs:
            return False
    return True


def _alike_annotations(one: Any, other: Any) -> bool:
    if not one or not other:
        return bool(one) == bool(other)
    for (_, mine), (_, theirs) in zip(_fields(one), _fields(other), strict=True):
        if mine is theirs or not isinstance(mine, list):
            continue
        if len(mine) != len(theirs):
            return False
        for a, b in zip(mine, theirs, strict=True):
            if a is not b and a.model_dump(exclude={"id"}) != b.model_dump(exclude={"id"}):
                return False
    return True
