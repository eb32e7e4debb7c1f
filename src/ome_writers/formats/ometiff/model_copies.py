"""Copies and comparisons of ome-types models that may have thousands of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ome_types.model import OME


def _fields(model: Any) -> list[tuple[str, Any]]:
    """Return the fields of a model; some classes of ome-types redefine iteration."""
    return [(name, getattr(model, name)) for name in type(model).model_fields]


def copy_with_uuid(model: OME, uuid: str | None) -> OME:
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


def equal_models(one: OME, other: OME) -> bool:
    """Whether two models are equal, except for their UUIDs and the IDs of annotations."""
    for (name, mine), (_, theirs) in zip(_fields(one), _fields(other), strict=True):
        if name == "uuid":
            continue
        if name == "structured_annotations":
            if not _equal_annotations(mine, theirs):
                return False
        elif isinstance(mine, list) and isinstance(theirs, list):
            if len(mine) != len(theirs) or any(
                a is not b for a, b in zip(mine, theirs, strict=True)
            ):
                return False
        elif mine != theirs:
            return False
    return True


def _equal_annotations(one: Any, other: Any) -> bool:
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
