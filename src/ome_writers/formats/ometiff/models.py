"""OME-XML documents as ome-types models, and back, for `get_metadata` and `update_metadata`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ome_types import from_xml, to_xml
from ome_types.model import OME

from ome_writers.formats.ome_xml import NAMESPACE
from ome_writers.formats.ometiff.bulk_elements import extract_bulk_elements, strip_unchanged
from ome_writers.formats.ometiff.edited_document import EditedDocument, parse_without_namespace

if TYPE_CHECKING:
    from ome_writers.formats.ome_xml import Body, RenderedPlanes


def document_models(
    uuids: Mapping[int, str],
    common: bytes | None,
    edited: Mapping[int, EditedDocument],
    binary_only: Mapping[int, bytes],
) -> dict[int, OME]:
    """Return the model of each document; models with the same content share its elements.

    `common` is the document of all numbers that are neither in `edited` nor in `binary_only`.
    """
    parsed: dict[EditedDocument | None, OME] = {}
    models = {}
    for number, urn in uuids.items():
        source = edited.get(number)
        if number in binary_only:
            models[number] = _model(binary_only[number])
        elif source is not None:
            parsed[source] = parsed.get(source) or _model(source.document(urn))
            models[number] = _with_uuid(parsed[source], urn)
        elif common is not None:
            parsed[None] = parsed.get(None) or _model(common)
            models[number] = _with_uuid(parsed[None], urn if len(uuids) > 1 else None)
    return models


def check_models(metadata: Any, known: Collection[int]) -> None:
    """Raise TypeError unless `metadata` is a dict of position number to model, KeyError for an unknown number."""
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
    models: Mapping[int, OME], generated: bytes, body: Body, planes: Mapping[int, RenderedPlanes]
) -> dict[int, EditedDocument]:
    """Return the edited document of each model; equal models share one.

    `generated` is the document without edits. Sizes and TiffData are taken from its `body` without planes.
    """
    unedited = extract_bulk_elements(parse_without_namespace(generated))
    documents: list[tuple[OME, EditedDocument]] = []
    edited = {}
    for number, model in models.items():
        document = next((d for other, d in documents if _are_equal(other, model)), None)
        if document is None:
            text = to_xml(strip_unchanged(model, unedited)).encode()
            document = EditedDocument(text, body, planes)
            documents.append((model, document))
        edited[number] = document
    return edited


def _model(document: bytes) -> OME:
    root = parse_without_namespace(document)
    bulk = extract_bulk_elements(root)
    root.set("xmlns", NAMESPACE)
    return bulk.restore_into(from_xml(ElementTree.tostring(root, "utf-8")))


def _fields(model: Any) -> list[tuple[str, Any]]:
    """Return the fields of a model; some classes of ome-types redefine iteration."""
    return [(name, getattr(model, name)) for name in type(model).model_fields]


def _with_uuid(model: OME, uuid: str | None) -> OME:
    """Return a copy of a model with copied lists of the same elements."""
    update: dict[str, Any] = {"uuid": uuid}
    for name, value in _fields(model):
        if isinstance(value, list):
            update[name] = list(value)
    annotations = model.structured_annotations
    if annotations:
        lists = {n: list(v) for n, v in _fields(annotations) if isinstance(v, list)}
        update["structured_annotations"] = annotations.model_copy(update=lists)
    return model.model_copy(update=update)


def _are_equal(one: OME, other: OME) -> bool:
    """Whether two models are equal, except for their UUIDs and the IDs of annotations."""
    for (name, a), (_, b) in zip(_fields(one), _fields(other), strict=True):
        if name == "uuid":
            continue
        if name == "structured_annotations":
            if not _are_equal_annotations(a, b):
                return False
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b) or any(x is not y for x, y in zip(a, b, strict=True)):
                return False
        elif a != b:
            return False
    return True


def _are_equal_annotations(one: Any, other: Any) -> bool:
    if not one or not other:
        return bool(one) == bool(other)
    for (_, a), (_, b) in zip(_fields(one), _fields(other), strict=True):
        if a is b or not isinstance(a, list):
            continue
        if len(a) != len(b):
            return False
        for x, y in zip(a, b, strict=True):
            if x is not y and x.model_dump(exclude={"id"}) != y.model_dump(exclude={"id"}):
                return False
    return True
