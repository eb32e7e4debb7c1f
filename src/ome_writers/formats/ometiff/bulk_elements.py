"""The elements that a document may have thousands of, as models of ome-types without its reader and writer.

These turn an element into a model, and back, in some tenths of a millisecond. So planes, their places in files and the
annotations of frames are taken out of a document before it is read, or never put into it, and made into models here;
and those that a user has left as they were are not written, since the document has them already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ome_types import model

from ome_writers.formats.ome_xml import FRAME_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element

    from ome_writers.formats.ome_xml import RenderedPlanes

    Attributes = Mapping[str, tuple[str, Callable[[str], Any]]]

__all__ = ["BulkElements", "extract_bulk_elements", "plane_models", "strip_unchanged"]

_LENGTHS = {unit.value: unit for unit in model.UnitsLength}
_TIMES = {unit.value: unit for unit in model.UnitsTime}

_PLANE: Attributes = {
    "TheZ": ("the_z", int),
    "TheT": ("the_t", int),
    "TheC": ("the_c", int),
    "DeltaT": ("delta_t", float),
    "DeltaTUnit": ("delta_t_unit", _TIMES.__getitem__),
    "ExposureTime": ("exposure_time", float),
    "ExposureTimeUnit": ("exposure_time_unit", _TIMES.__getitem__),
    "PositionX": ("position_x", float),
    "PositionXUnit": ("position_x_unit", _LENGTHS.__getitem__),
    "PositionY": ("position_y", float),
    "PositionYUnit": ("position_y_unit", _LENGTHS.__getitem__),
    "PositionZ": ("position_z", float),
    "PositionZUnit": ("position_z_unit", _LENGTHS.__getitem__),
}
_PLACE: Attributes = {
    "IFD": ("ifd", int),
    "FirstZ": ("first_z", int),
    "FirstT": ("first_t", int),
    "FirstC": ("first_c", int),
    "PlaneCount": ("plane_count", int),
}

# Copies of a model, with other values, take a third of the time that making one takes.
_SOME_PLANE = model.Plane(the_z=0, the_t=0, the_c=0)
_SOME_PLACE = model.TiffData()
# The facts that this library writes of a plane, in the order of `Planes.values`: name, and name and value of the unit.
_FACTS = (
    ("delta_t", "delta_t_unit", model.UnitsTime.SECOND),
    ("exposure_time", "exposure_time_unit", model.UnitsTime.SECOND),
    ("position_x", "position_x_unit", model.UnitsLength.MICROMETER),
    ("position_y", "position_y_unit", model.UnitsLength.MICROMETER),
    ("position_z", "position_z_unit", model.UnitsLength.MICROMETER),
)
_WHERE = frozenset(("the_z", "the_t", "the_c"))


class BulkElements(NamedTuple):
    """What was taken out of a document: planes and places by the image's ID, and the annotations of frames."""

    planes: dict[str, list[model.Plane]]
    places: dict[str, list[model.TiffData]]
    annotations: list[model.MapAnnotation]

    def put_into(self, ome: model.OME) -> model.OME:
        """Return the model of a document with all that was taken out of it."""
        for image in ome.images:
            image.pixels.planes = self.planes.get(image.id) or image.pixels.planes
            image.pixels.tiff_data_blocks = (
                self.places.get(image.id) or image.pixels.tiff_data_blocks
            )
        if not self.annotations:
            return ome
        others = ome.structured_annotations or model.StructuredAnnotations()
        others.map_annotations.extend(self.annotations)
        # made anew, it finds what planes refer to
        return model.OME(**{**dict(ome), "structured_annotations": others})


def extract_bulk_elements(root: Element) -> BulkElements:
    """Remove planes, places and annotations of frames from a document (without namespace), and return their models.

    Where one of a kind is not as this library writes it, all of that kind stay.
    """
    planes, places = {}, {}
    for image in root.iter("Image"):
        number, pixels = image.get("ID", ""), image.find("Pixels")
        if pixels is not None:
            planes[number] = _take(pixels, pixels.findall("Plane"), _plane)
            places[number] = _take(pixels, pixels.findall("TiffData"), _place)
    annotations = []
    found = root.find("StructuredAnnotations")
    if found is not None:
        notes = [a for a in found if a.get("Namespace") == FRAME_NAMESPACE]
        annotations = _take(found, notes, _annotation)
        if not len(found):
            root.remove(found)
    return BulkElements(planes, places, annotations)


def plane_models(planes: RenderedPlanes) -> list[model.Plane]:
    """Return the models of the planes of an image."""
    made = []
    for values in _known_values(planes):
        # a list of its own, not the one of the plane that is copied
        values["annotation_refs"] = [
            model.AnnotationRef(id=each) for each in values["annotation_refs"]
        ]
        made.append(_SOME_PLANE.model_copy(update=values))
    return made


def strip_unchanged(
    ome: model.OME, facts: Element, planes: Mapping[int, RenderedPlanes]
) -> model.OME:
    """Return a model without places in files, and without planes and annotations that are as in the file.

    Parameters
    ----------
    facts
        The document (without namespace and without planes).
    planes
        Number of an image to what is known of its planes.
    """
    known = {f"Image:{number}": _known_planes(those) for number, those in planes.items()}
    images = []
    for image in ome.images:
        theirs = known.get(image.id, {})
        changed = [p for p in image.pixels.planes if _said(p) != theirs.get(_index(p))]
        pixels = image.pixels.model_copy(update={"planes": changed, "tiff_data_blocks": []})
        images.append(image.model_copy(update={"pixels": pixels}))
    update: dict[str, Any] = {"images": images}
    same = _known_annotations(facts)
    if ome.structured_annotations and same:
        kept = [a for a in ome.structured_annotations.map_annotations if same.get(a.id) != a]
        update["structured_annotations"] = ome.structured_annotations.model_copy(
            update={"map_annotations": kept}
        )
    return ome.model_copy(update=update)


def _known_planes(planes: RenderedPlanes) -> dict[tuple[int, int, int], dict[str, Any]]:
    """Return the values of the planes of an image by their indices, in the form of `_said`."""
    some = _SOME_PLANE.__dict__
    return {(v["the_z"], v["the_c"], v["the_t"]): {**some, **v} for v in _known_values(planes)}


def _known_values(planes: RenderedPlanes) -> Iterator[dict[str, Any]]:
    """Yield the values of each plane that differ from those of others, references as the IDs of annotations."""
    for z, t, c, *facts, reference in planes.values():
        values: dict[str, Any] = {"the_z": int(z), "the_t": int(t), "the_c": int(c)}
        for text, (name, unit_name, unit) in zip(facts, _FACTS, strict=True):
            if text:
                values[name] = float(text)
                values[unit_name] = unit
        values["annotation_refs"] = [reference.decode()] if reference else []
        yield values


def _said(plane: model.Plane) -> dict[str, Any]:
    """Return the values of a plane; a reference that was followed is unlike one that was not, so their IDs count."""
    return {**plane.__dict__, "annotation_refs": [each.id for each in plane.annotation_refs]}


def _known_annotations(facts: Element) -> dict[str, model.MapAnnotation]:
    """Return the annotations of frames by their IDs; nothing where `take_out` takes no annotations."""
    notes = facts.iterfind("StructuredAnnotations/MapAnnotation")
    every = [_annotation(note) for note in notes if note.get("Namespace") == FRAME_NAMESPACE]
    found = [annotation for annotation in every if annotation is not None]
    return {a.id: a for a in found} if len(found) == len(every) else {}


def _index(plane: model.Plane) -> tuple[int, int, int]:
    return plane.the_z, plane.the_c, plane.the_t


def _take(
    parent: Element, children: Sequence[Element], make: Callable[[Element], Any]
) -> list[Any]:
    """Return the models of some children, which are removed; none, and they stay, where one cannot be made."""
    made = [make(child) for child in children]
    if any(one is None for one in made):
        return []
    taken = set(map(id, children))
    parent[:] = [child for child in parent if id(child) not in taken]
    return made


def _values(element: Element, attributes: Attributes) -> dict[str, Any] | None:
    try:
        values = {}
        for name, text in element.items():
            field, read = attributes[name]
            values[field] = read(text)
        return values
    except (KeyError, ValueError):
        return None


def _plane_values(element: Element) -> dict[str, Any] | None:
    values = _values(element, _PLANE)
    if values is None or not values.keys() >= _WHERE:
        return None
    if any(child.tag != "AnnotationRef" for child in element):
        return None
    # a list of its own, not the one of the plane that is copied
    values["annotation_refs"] = [model.AnnotationRef(id=c.get("ID", "")) for c in element]
    return values


def _plane(element: Element) -> model.Plane | None:
    values = _plane_values(element)
    return None if values is None else _SOME_PLANE.model_copy(update=values)


def _place(element: Element) -> model.TiffData | None:
    values = _values(element, _PLACE)
    if values is None or any(child.tag != "UUID" for child in element):
        return None
    for child in element:
        values["uuid"] = model.TiffData.UUID(
            value=child.text or "", file_name=child.get("FileName")
        )
    return _SOME_PLACE.model_copy(update=values)


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
