"""OME-XML documents as ome-types models, and back, for `get_metadata` and `update_metadata`."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ome_writers.formats.ome_xml import (
    NAMESPACE,
    assemble_document,
    map_annotation,
    namespace_uri,
    parse_value,
)
from ome_writers.formats.ome_xml.annotations import FRAME_NAMESPACE, OWN_NAMESPACE
from ome_writers.formats.ometiff.merge_elements import merge_elements
from ome_writers.formats.ometiff.model_copies import copy_with_uuid, equal_models

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ome_types.model import OME

    from ome_writers.formats.ome_xml import Body, RenderedPlanes

_SIZES = ("DimensionOrder", "Type", "SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")


def document_models(
    uuids: Mapping[int, str],
    common: bytes | None,
    planes: Mapping[int, RenderedPlanes],
    edited: Mapping[int, EditedDocument],
    binary_only: Mapping[int, bytes],
) -> dict[int, OME]:
    """Return the model of each document; models with the same content share its elements.

    `common` is the document, without planes, of all numbers that are neither in `edited` nor in `binary_only`; `planes`
    are its planes by image number.
    """
    parsed: dict[EditedDocument | None, OME] = {}
    models = {}
    for number, urn in uuids.items():
        source = edited.get(number)
        if number in binary_only:
            models[number] = _model(binary_only[number])
        elif source is not None:
            parsed[source] = parsed.get(source) or _model(source.document(urn))
            models[number] = copy_with_uuid(parsed[source], urn)
        elif common is not None:
            parsed[None] = parsed.get(None) or _model(common, planes)
            models[number] = copy_with_uuid(parsed[None], urn if len(uuids) > 1 else None)
    return models


def check_models(metadata: Any, known: Collection[int]) -> None:
    """Raise TypeError unless `metadata` is a dict of position number to model, KeyError for an unknown number."""
    from ome_types.model import OME

    if not isinstance(metadata, dict):
        raise TypeError(
            f"Expected dict[int, ome_types.model.OME], got {type(metadata).__name__}: pass what "
            "get_metadata() returned, edited."
        )
    for number, model in metadata.items():
        if not isinstance(number, int):
            raise TypeError(
                f"Expected dict[int, ome_types.model.OME], got the key {number!r}: the keys are position numbers."
            )
        if not isinstance(model, OME):
            raise TypeError(
                f"Expected ome_types.model.OME for position {number}, got {type(model).__name__}."
            )
        if number not in known:
            raise KeyError(f"Unknown position: {number}. Positions are {sorted(known)}.")


def edit(
    models: Mapping[int, OME], body: Body, planes: Mapping[int, RenderedPlanes]
) -> dict[int, EditedDocument]:
    """Return the edited document of each model; equal models share one.

    `body` is the generated content, without the `planes` of each image; sizes and TiffData are taken from it.
    """
    documents: list[tuple[OME, EditedDocument]] = []
    edited = {}
    for number, model in models.items():
        document = next((d for other, d in documents if equal_models(other, model)), None)
        if document is None:
            document = EditedDocument.of_model(model, body, planes)
            documents.append((model, document))
        edited[number] = document
    return edited


class EditedDocument:
    """An OME-XML document that a user edited.

    Plane elements are inserted at rendering, except for images with edited planes; there may be thousands of them.
    """

    def __init__(self, root: Element, body: Body, planes: Mapping[int, RenderedPlanes]) -> None:
        self._mark = f"planes-{uuid.uuid4().hex}-"  # followed by an image number
        self._text = b""  # rendered with the mark instead of a UUID; empty until needed
        self._root = root
        for element in self._root.iter():
            for name, value in element.items():
                if not value.isprintable():
                    element.set(name, " ".join(value.split()))
        self.refresh(body, planes)

    @classmethod
    def of_model(
        cls, model: OME, body: Body, planes: Mapping[int, RenderedPlanes]
    ) -> EditedDocument:
        from ome_types import to_xml

        from ome_writers.formats.ometiff.bulk_elements import strip_unchanged

        fresh = _parse(assemble_document(body, None))
        text = to_xml(strip_unchanged(model, fresh, planes)).encode()
        return cls(_parse(text), body, planes)

    @classmethod
    def of_text(cls, text: bytes, body: Body) -> EditedDocument:
        """Return a document that an earlier writer left on disk."""
        return cls(_parse(text), body, {})

    def document(self, uuid: str) -> bytes:
        """Return the document of the file with this UUID (empty: without one)."""
        if not self._text:  # the files of a set differ in the UUID only
            root = copy.copy(self._root)
            root.set("xmlns", NAMESPACE)
            root.set("UUID", self._mark)
            # Without numeric character references, see `text.quote_attribute`.
            self._text = ElementTree.tostring(root, "utf-8", xml_declaration=False)
        marks = re.compile(f"<{self._mark}(\\d+) />".encode())
        identity = f' UUID="{self._mark}"'.encode()
        text = self._text.replace(identity, f' UUID="{uuid}"'.encode() if uuid else b"", 1)
        text = marks.sub(lambda match: self._planes[int(match[1])].elements, text)
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text

    def annotate(self, namespace: str, pairs: Mapping[str, Any]) -> None:
        """Attach a MapAnnotation, replacing those of the same namespace."""
        self._text = b""
        annotations = self._annotations()
        for old in [a for a in annotations if a.get("Namespace") == namespace_uri(namespace)]:
            annotations.remove(old)
        taken = {a.get("ID") for a in annotations}
        free = next(i for i in range(len(taken) + 1) if f"Annotation:{i}" not in taken)
        xml = map_annotation(f"Annotation:{free}", namespace, pairs)
        annotations.append(ElementTree.fromstring(xml.encode()))
        _sort_annotations(annotations)

    def find_metadata(self, namespace: str) -> dict[str, Any] | None:
        """Return the entries of the first MapAnnotation of a namespace; None if there is none."""
        for annotation in self._root.iterfind("StructuredAnnotations/MapAnnotation"):
            if annotation.get("Namespace") == namespace_uri(namespace):
                entries = annotation.iterfind("Value/M")
                return {entry.get("K", ""): parse_value(entry.text or "") for entry in entries}
        return None

    def merge(self, before: Body, after: Body) -> None:
        """Apply the differences of two generated documents."""
        before_root, after_root = (_parse(assemble_document(b, None)) for b in (before, after))
        merge_elements(self._root, before_root, after_root)
        self._text = b""

    def refresh(self, body: Body, planes: Mapping[int, RenderedPlanes]) -> None:
        """Update sizes, TiffData and frame metadata from generated content."""
        fresh = _parse(assemble_document(body, None))
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
        """Return the Plane elements of an image: edited and generated ones, or one mark for all."""
        mine = [child for child in pixels if child.tag == "Plane"]
        if number is None:
            return mine
        if not mine:
            return [ElementTree.Element(f"{self._mark}{number}")]
        edited = {_index(plane): plane for plane in mine}
        generated = ElementTree.fromstring(b"<_>%s</_>" % self._planes[number].elements)
        return [edited.get(_index(plane), plane) for plane in generated]

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
        annotations = self._root.find("StructuredAnnotations")
        if annotations is None:
            annotations = ElementTree.Element("StructuredAnnotations")
            roi = next((i for i, c in enumerate(self._root) if c.tag == "ROI"), len(self._root))
            self._root.insert(roi, annotations)
        return annotations


def _refresh_pixels(pixels: Element, fresh: Element, planes: Sequence[Element]) -> None:
    for name in _SIZES:
        pixels.set(name, fresh.get(name, "1"))
    channels = [c for c in pixels if c.tag == "Channel"]
    wanted = [c for c in fresh if c.tag == "Channel"]
    channels = channels[: len(wanted)] + wanted[len(channels) :]
    pixels[:] = [*channels, *(t for t in fresh if t.tag == "TiffData"), *planes]


def _index(plane: Element) -> tuple[str | None, ...]:
    return plane.get("TheZ"), plane.get("TheC"), plane.get("TheT")


def _sort_annotations(annotations: Element) -> None:
    """Group annotations by type, as ome-types writes them."""
    kinds = list(dict.fromkeys(a.tag for a in annotations))
    annotations[:] = sorted(annotations, key=lambda a: kinds.index(a.tag))


def _parse(document: bytes) -> Element:
    """Return the root of a document, with tags without namespace."""
    root = ElementTree.fromstring(document)
    prefix = "{" + NAMESPACE + "}"
    for element in root.iter():
        if element.tag.startswith(prefix):
            element.tag = element.tag[len(prefix) :]
    return root


def _model(document: bytes, planes: Mapping[int, RenderedPlanes] = {}) -> OME:
    from ome_types import from_xml

    from ome_writers.formats.ometiff.bulk_elements import extract_bulk_elements, plane_models

    root = _parse(document)
    bulk = extract_bulk_elements(root)
    for number, rendered in planes.items():
        bulk.planes[f"Image:{number}"] = plane_models(rendered)
    root.set("xmlns", NAMESPACE)
    return bulk.restore_into(from_xml(ElementTree.tostring(root, "utf-8")))
