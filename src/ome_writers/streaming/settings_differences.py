"""What differs between the settings of a dataset and those that a stream is to continue it with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ome_writers.settings import AcquisitionSettings

# Settings of the stream instead of the dataset: they may differ from those of the stream before.
OF_STREAM = (
    "buffer_bytes",
    "direct_io",
    "durability",
    "flush_interval",
    "mirror",
    "on_incomplete",
    "root_path",
)
# Beside those: settings that define how a dataset is created, or that clients complete while they write.
_NOT_COMPARED = {*OF_STREAM, "acquisition_date", "instrument", "overwrite"}


def settings_differences(
    stored: AcquisitionSettings, given: AcquisitionSettings, *, extends: bool
) -> list[str]:
    """Return the settings of a dataset that differ from those given, with both values."""
    old, new = (s.model_dump(mode="json", exclude=_NOT_COMPARED) for s in (stored, given))
    found = []
    longer = False
    a: Any
    b: Any
    for name in old.keys() | new.keys():
        a, b = old.get(name), new.get(name)
        if name == "dimensions":
            part, longer = _dimension_differences(a, b, extends=extends)
            found += part
        elif name == "format":
            for key in sorted(a.keys() | b.keys()):
                if key not in ("backend", "suffix") and a.get(key) != b.get(key):
                    found.append(_difference(f"format.{key}", a.get(key), b.get(key)))
        elif a != b and not (name == "rgb" and b is None) and name != "schedule":
            found.append(_difference(name, a, b))
    a, b = old.get("schedule"), new.get("schedule")
    if a != b and not (longer and _is_prefix(a, b)):
        found.append("schedule: another order of frames")
    return sorted(found)


def _is_prefix(old: Any, new: Any) -> bool:
    """Return whether a schedule begins with another one."""
    if not isinstance(old, dict) or not isinstance(new, dict) or old.get("axes") != new.get("axes"):
        return False
    rows = old.get("indices") or []
    return bool(rows == (new.get("indices") or [])[: len(rows)])


def _dimension_differences(
    old: Sequence[Any], new: Sequence[Any], *, extends: bool
) -> tuple[list[str], bool]:
    """Return what differs in the dimensions, and whether only the first axis got longer."""
    names = [[d["name"] for d in dims] for dims in (old, new)]
    if names[0] != names[1]:
        return [_difference("dimensions", *(", ".join(n) for n in names))], False
    found: list[str] = []
    longer = False
    for number, (a, b) in enumerate(zip(old, new, strict=True)):
        ignored = set()
        if number == 0 and _is_longer(a, b) and a.get("type") != "position":
            if extends:
                longer, ignored = True, {"count", "coords"}
            else:
                found.append(
                    f"{a['name']}.count: {a['count']} on disk, {b['count']} now, and files of this format cannot get "
                    f"more planes than planned (with count=None they can)"
                )
                continue
        found += [
            _difference(f"{a['name']}.{key}", a.get(key), b.get(key))
            for key in a.keys() | b.keys()
            if key not in ignored and a.get(key) != b.get(key)
        ]
    return found, longer


def _is_longer(old: Any, new: Any) -> bool:
    a, b = old.get("count"), new.get("count")
    coords = old.get("coords") or []
    same = (new.get("coords") or [])[: len(coords)] == coords
    return isinstance(a, int) and isinstance(b, int) and b > a and same


def _difference(name: str, stored: Any, given: Any) -> str:
    return f"{name}: {stored!r:.60} on disk, {given!r:.60} now"
