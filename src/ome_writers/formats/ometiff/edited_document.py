"""OME-XML documents that a user edited: XML elements, in which sizes, IFDs and frame metadata are kept up to date."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ome_writers.formats.ome_xml import (
    FRAME_NAMESPACE,
    NAMESPACE,
    OWN_NAMESPACE,
    annotation_pairs,
    assemble_document,
    map_annotation,
    namespace_uri,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ome_writers.formats.ome_xml import Body, RenderedPlanes

    Key = tuple[str, str | None, int]

_SIZES = ("DimensionOrder", "Type", "SizeX", "SizeY", "SizeZ", "SizeC", "SizeT")
# Elements that `EditedDocument.refresh` keeps up to date.
_NOT_MERGED = frozenset({"Plane", "TiffData", "StructuredAnnotations"})


class EditedDocument:
    """An OME-XML document that a user edited.

    Plane elements are inserted at rendering, except for images with edited planes; there may be thousands of them.
    """

    def __init__(self, text: bytes, body: Body, planes: Mapping[int, RenderedPlanes]) -> None:
        self._mark = f"planes-{uuid.uuid4().hex}-"  # followed by an image number
        self._text = b""  # rendered with the mark instead of a UUID; empty until needed
        self._root = parse_without_namespace(text)
        for element in self._root.iter():
            for name, value in element.items():
                if not value.isprintable():
                    element.set(name, " ".join(value.split()))
        self.refresh(body, planes)

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
                return annotation_pairs(annotation)
        return None

    def merge(self, before: Body, after: Body) -> None:
        """Apply the differences between two generated documents, except where the user edited them."""
        _merge(self._root, _parse(before), _parse(after))
        self._text = b""

    def refresh(self, body: Body, planes: Mapping[int, RenderedPlanes]) -> None:
        """Update sizes, TiffData and frame metadata from generated content."""
        fresh = _parse(body)
        self._planes, self._text = planes, b""
        numbers = {f"Image:{number}": number for number in planes}
        fresh_pixels = {image.get("ID"): image.find("Pixels") for image in fresh.iter("Image")}
        for image in self._root.iter("Image"):
            pixels, generated = image.find("Pixels"), fresh_pixels.get(image.get("ID"))
            if pixels is not None and generated is not None:
                number = numbers.get(image.get("ID", ""))
                _refresh_pixels(pixels, generated, self._planes_of(pixels, number))
        self._refresh_annotations(fresh)

    def _planes_of(self, pixels: Element, number: int | None) -> list[Element]:
        """Return the Plane elements of an image: edited and generated ones, or one mark for all."""
        present = [child for child in pixels if child.tag == "Plane"]
        if number is None:
            return present
        if not present:
            return [ElementTree.Element(f"{self._mark}{number}")]
        edited = {_index(plane): plane for plane in present}
        generated = ElementTree.fromstring(b"<_>%s</_>" % self._planes[number].elements)
        return [edited.get(_index(plane), plane) for plane in generated]

    def _refresh_annotations(self, fresh: Element) -> None:
        annotations = self._annotations()
        known = {a.get("ID") for a in annotations}
        for annotation in fresh.iterfind("StructuredAnnotations/*"):
            if annotation.get("Namespace") == FRAME_NAMESPACE and annotation.get("ID") not in known:
                annotations.append(annotation)
            elif annotation.get("Namespace") == OWN_NAMESPACE:
                for old in (a for a in annotations if a.get("Namespace") == OWN_NAMESPACE):
                    old.tag, old[:] = annotation.tag, list(annotation)
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


def _merge(edited: Element, before: Element, after: Element) -> None:
    """Apply the differences between `before` and `after` to `edited`, except where it differs from `before`."""
    for name in {*before.keys(), *after.keys()}:
        if name != "UUID" and edited.get(name) == before.get(name):
            value = after.get(name)
            if value is not None:
                edited.set(name, value)
            else:
                del edited.attrib[name]
    if (edited.text or "").strip() == (before.text or "").strip():
        edited.text = after.text
    present, old, new = map(_children_by_key, (edited, before, after))
    for key in old.keys() - new.keys():
        if key in present:
            edited.remove(present[key])
    position = 0
    for key, element in new.items():
        if key in present and key in old:
            _merge(present[key], old[key], element)
        elif key not in present and key not in old:
            edited.insert(position, copy.deepcopy(element))
        if key in present:
            position = list(edited).index(present[key]) + 1
        elif key not in old:
            position += 1


def _children_by_key(parent: Element) -> dict[Key, Element]:
    """Return the children by tag, ID, and number among the children of the same tag without an ID."""
    counts: dict[str, int] = {}
    found: dict[Key, Element] = {}
    for child in parent:
        if child.tag in _NOT_MERGED:
            continue
        identifier = child.get("ID")
        number = 0
        if identifier is None:
            number = counts[child.tag] = counts.get(child.tag, -1) + 1
        found[child.tag, identifier, number] = child
    return found


def _parse(body: Body) -> Element:
    return parse_without_namespace(assemble_document(body, None))


def parse_without_namespace(document: bytes) -> Element:
    """Return the root of a document, with tags without namespace."""
    root = ElementTree.fromstring(document)
    prefix = "{" + NAMESPACE + "}"
    for element in root.iter():
        if element.tag.startswith(prefix):
            element.tag = element.tag[len(prefix) :]
    return root
