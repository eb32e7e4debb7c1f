"""Fast conversion of the elements that a document may contain thousands of: Plane, TiffData and frame annotations.

ome-types takes some tenths of a millisecond per element. These elements are therefore removed from a document before
ome-types parses it, and converted to models here. Elements that a user did not edit are not converted back.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ome_types import model

from ome_writers.formats.ome_xml import FRAME_NAMESPACE, PLANE_ATTRIBUTES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    Attributes = dict[str, tuple[str, Callable[[str], Any]]]

_LENGTHS = {unit.value: unit for unit in model.UnitsLength}
_TIMES = {unit.value: unit for unit in model.UnitsTime}

_PLANE: Attributes = {f"The{letter}": (f"the_{letter.lower()}", int) for letter in "ZTC"}
for _key, (_name, _unit) in PLANE_ATTRIBUTES.items():
    _units = _TIMES if _unit == "s" else _LENGTHS
    _PLANE |= {_name: (_key, float), f"{_name}Unit": (f"{_key}_unit", _units.__getitem__)}
_TIFF_DATA: Attributes = {
    "IFD": ("ifd", int),
    "FirstZ": ("first_z", int),
    "FirstT": ("first_t", int),
    "FirstC": ("first_c", int),
    "PlaneCount": ("plane_count", int),
}

# Copying a model takes a third of the time of creating one.
_PLANE_TEMPLATE = model.Plane(the_z=0, the_t=0, the_c=0)
_TIFF_DATA_TEMPLATE = model.TiffData()
_INDICES = frozenset(("the_z", "the_t", "the_c"))


class BulkElements(NamedTuple):
    """Models of the elements removed from a document: Plane and TiffData by image ID, and frame annotations."""

    planes: dict[str, list[model.Plane]]
    tiff_data: dict[str, list[model.TiffData]]
    annotations: list[model.MapAnnotation]

    def restore_into(self, ome: model.OME) -> model.OME:
        """Add the elements to the model of the document that they were removed from, and return it."""
        for image in ome.images:
            image.pixels.planes = self.planes.get(image.id) or image.pixels.planes
            image.pixels.tiff_data_blocks = (
                self.tiff_data.get(image.id) or image.pixels.tiff_data_blocks
            )
        if not self.annotations:
            return ome
        others = ome.structured_annotations or model.StructuredAnnotations()
        others.map_annotations.extend(self.annotations)
        ome.structured_annotations = others
        if self._resolve_references(others):
            return ome
        return model.OME(**dict(ome))  # resolves all references, in ten times the time

    def _resolve_references(self, annotations: model.StructuredAnnotations) -> bool:
        """Resolve the references of planes, as ome-types does; False if that is not possible."""
        by_id = {each.id: each for each in annotations.map_annotations}
        planes = (plane for of_image in self.planes.values() for plane in of_image)
        references = [reference for plane in planes for reference in plane.annotation_refs]
        if any(reference.id not in by_id for reference in references):
            return False
        for reference in references:
            # as `OME` does in its constructor
            reference._ref = weakref.ref(by_id[reference.id])  # noqa: SLF001
        return all(one.ref is by_id[one.id] for one in references[:1])


def extract_bulk_elements(root: Element) -> BulkElements:
    """Remove Plane, TiffData and frame annotation elements from a document (without namespace); return their models.

    If one element of a type has content that this library does not write, all elements of that type stay.
    """
    planes, tiff_data = {}, {}
    for image in root.iter("Image"):
        number, pixels = image.get("ID", ""), image.find("Pixels")
        if pixels is not None:
            planes[number] = _remove(pixels, pixels.findall("Plane"), _plane)
            tiff_data[number] = _remove(pixels, pixels.findall("TiffData"), _tiff_data)
    annotations = []
    structured = root.find("StructuredAnnotations")
    if structured is not None:
        of_frames = [a for a in structured if a.get("Namespace") == FRAME_NAMESPACE]
        annotations = _remove(structured, of_frames, _annotation)
        if not len(structured):
            root.remove(structured)
    return BulkElements(planes, tiff_data, annotations)


def strip_unchanged(ome: model.OME, generated: BulkElements) -> model.OME:
    """Return a model without TiffData, and without planes and annotations that the user did not change."""
    images = []
    for image in ome.images:
        unchanged = {_index(p): _values_of(p) for p in generated.planes.get(image.id, ())}
        changed = [p for p in image.pixels.planes if _values_of(p) != unchanged.get(_index(p))]
        pixels = image.pixels.model_copy(update={"planes": changed, "tiff_data_blocks": []})
        images.append(image.model_copy(update={"pixels": pixels}))
    update: dict[str, Any] = {"images": images}
    annotations = {a.id: a for a in generated.annotations}
    if ome.structured_annotations and annotations:
        edited = [
            a for a in ome.structured_annotations.map_annotations if annotations.get(a.id) != a
        ]
        update["structured_annotations"] = ome.structured_annotations.model_copy(
            update={"map_annotations": edited}
        )
    return ome.model_copy(update=update)


def _values_of(plane: model.Plane) -> dict[str, Any]:
    """Return the values of a plane, with annotation IDs as references: resolved references compare unequal."""
    return {**plane.__dict__, "annotation_refs": [each.id for each in plane.annotation_refs]}


def _index(plane: model.Plane) -> tuple[int, int, int]:
    return plane.the_z, plane.the_c, plane.the_t


def _remove(
    parent: Element, children: Sequence[Element], make: Callable[[Element], Any]
) -> list[Any]:
    """Remove children of an element and return their models; if any cannot be converted, remove none."""
    models = [make(child) for child in children]
    if any(one is None for one in models):
        return []
    removed = set(map(id, children))
    parent[:] = [child for child in parent if id(child) not in removed]
    return models


def _values(element: Element, attributes: Attributes) -> dict[str, Any] | None:
    try:
        values = {}
        for name, text in element.items():
            field, read = attributes[name]
            values[field] = read(text)
        return values
    except (KeyError, ValueError):
        return None


def _plane(element: Element) -> model.Plane | None:
    values = _values(element, _PLANE)
    if values is None or not values.keys() >= _INDICES:
        return None
    if any(child.tag != "AnnotationRef" for child in element):
        return None
    # a new list, not that of the template
    values["annotation_refs"] = [model.AnnotationRef(id=c.get("ID", "")) for c in element]
    return _PLANE_TEMPLATE.model_copy(update=values)


def _tiff_data(element: Element) -> model.TiffData | None:
    values = _values(element, _TIFF_DATA)
    if values is None or any(child.tag != "UUID" for child in element):
        return None
    for child in element:
        values["uuid"] = model.TiffData.UUID(
            value=child.text or "", file_name=child.get("FileName")
        )
    return _TIFF_DATA_TEMPLATE.model_copy(update=values)


def _annotation(element: Element) -> model.MapAnnotation | None:
    pairs = element.find("Value")
    if element.tag != "MapAnnotation" or pairs is None or len(element) > 1:
        return None
    each = [model.Map.M.model_construct(k=m.get("K"), value=m.text or "") for m in pairs]
    return model.MapAnnotation.model_construct(
        id=element.get("ID", ""),
        namespace=FRAME_NAMESPACE,
        value=model.Map.model_construct(ms=each),
        annotation_refs=[],
    )
