"""Frame metadata and settings of a scratch store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.omezarr.group_metadata import read_json_object
from ome_writers.formats.scratch import MANIFEST
from ome_writers.untrusted import MAX_IMAGES, check_count, parse_json, read_lines


def read_frames(root: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    """Return number and frame metadata of each image."""
    images = read_json_object(root / MANIFEST).get("position_shapes")
    count = len(images) if isinstance(images, list) else 1
    check_count(count, f"{root}: the number of images", MAX_IMAGES)
    found: dict[int, dict[tuple[int, ...], dict[str, Any]]] = {n: {} for n in range(count)}
    for line in read_lines(root / JOURNAL_NAME, root=root):
        entry = parse_json(line, root / JOURNAL_NAME)
        image, index = entry.pop("_pos"), entry.pop("_idx")
        found[image][tuple(index)] = {"storage_index": index, **entry}
    return [(n, [frames[key] for key in sorted(frames)]) for n, frames in found.items()]


def read_settings(root: Path) -> Any:
    """Return the settings in a scratch store, as JSON."""
    manifest = read_json_object(root / MANIFEST)
    return manifest.get("settings", manifest)  # version 0.3: at the top
