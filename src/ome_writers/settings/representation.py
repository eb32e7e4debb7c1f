"""Short representations of models: what differs from the defaults, and HTML tables for Jupyter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ome_writers.untrusted import printable

if TYPE_CHECKING:
    from pydantic import BaseModel

_MAX_ITEMS = 6
_MAX_NAMES = 6


def changed_fields(
    model: BaseModel, fields: Iterable[tuple[str | None, Any]]
) -> Iterator[tuple[str | None, Any]]:
    """Yield the fields whose value is not their default; of long sequences, the first and last items."""
    for name, value in fields:
        field = type(model).model_fields.get(name or "")
        if field is None or value != field.get_default(call_default_factory=True):
            yield name, _abbreviated(value)


def describe_axes(dimensions: Iterable[Any]) -> str:
    """Return names and extents of dimensions: ``t 3 × c 2 × y 64 × x 64``."""
    return " × ".join(f"{dim.name} {dim.count or 'unbounded'}" for dim in dimensions)


def describe_names(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else ""
    return ", ".join(listed[:_MAX_NAMES]) + more


def html_table(title: str, rows: Mapping[str, str]) -> str:
    """Return names and values as an HTML table; empty values are left out."""
    cells = "".join(
        f'<tr><th style="text-align:left;padding:1px 10px 1px 0">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(printable(value))}</td></tr>'
        for name, value in rows.items()
        if value
    )
    return f"<div><strong>{escape(title)}</strong><table>{cells}</table></div>"


def html_settings(settings: Any) -> str:
    """Return an HTML table of `AcquisitionSettings`, whose module imports this one."""
    axes = settings.dimensions
    names = {dim.name: [getattr(c, "name", c) for c in dim.coords or ()] for dim in axes}
    channels = next((names[dim.name] for dim in axes if dim.type == "channel"), [])
    frames = settings.num_frames if axes else None
    shown = ("root_path", "dimensions", "dtype", "format")
    other = changed_fields(settings, ((k, v) for k, v in settings if k not in shown))
    rows = {
        "output": settings.output_path if settings.root_path else "in memory",
        "format": repr(settings.format),
        "axes": describe_axes(axes),
        "frames": "" if frames is None else str(frames),
        "dtype": settings.dtype,
        "channels": describe_names(map(str, channels)),
    }
    return html_table(
        type(settings).__name__,
        {**rows, **{str(k): v if isinstance(v, str) else repr(v) for k, v in other}},
    )


class _Abbreviated:
    """The items of a long sequence, for `repr`."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def __repr__(self) -> str:
        first = ", ".join(map(repr, self._items[: _MAX_ITEMS // 2]))
        return f"[{first}, ..., {self._items[-1]!r}]"


def _abbreviated(value: Any) -> Any:
    is_long = isinstance(value, (list, tuple)) and len(value) > _MAX_ITEMS
    return _Abbreviated(value) if is_long else value
