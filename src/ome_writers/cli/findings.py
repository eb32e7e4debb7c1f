"""How findings in a dataset are shown: a table, or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ome_writers.repair import Finding

ROWS = 50
"""How many findings a table shows; ``--json`` has all."""


def short(path: Path, root: Path) -> str:
    """Return a path as it is called inside the dataset."""
    if path == root:
        return "."
    return path.relative_to(root).as_posix() if root in path.parents else path.name


def as_json(findings: Iterable[Finding], root: Path) -> list[dict[str, Any]]:
    """Return what `json.dumps` takes."""
    return [{"path": short(f.path, root), "what": f.what, "solved": f.solved} for f in findings]
