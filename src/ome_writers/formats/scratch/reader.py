"""Recognition, ownership, frame metadata and settings of a scratch store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ome_writers.formats.dataset_metadata import STATUSES
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.ownership import is_proof, is_version_0
from ome_writers.formats.scratch.metadata import MANIFEST
from ome_writers.untrusted import MAX_IMAGES, check_count, parse_json, read_json_object, read_lines

_ARRAY = re.compile(r"pos_[0-9]+\.dat")


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


def is_scratch(path: Path) -> bool:
    return "position_shapes" in read_json_object(path / MANIFEST)


def is_startup_file(root: Path, key: str) -> bool:
    """Whether a stream that was killed during its creation may have left a file; see `FormatRow`."""
    return key in (MANIFEST, JOURNAL_NAME) or _ARRAY.fullmatch(key) is not None


def owned_files(root: Path) -> Callable[[str], bool] | None:
    """Return a predicate for the files of a scratch store of this library; None if it is not one."""
    manifest = read_json_object(root / MANIFEST)
    info = manifest.get("ome_writers", {"version": manifest.get("version", "1.0.0")})
    settings = manifest.get("settings", manifest)  # version 0.3: at the top
    shapes = manifest.get("position_shapes")
    is_earlier_version = (
        isinstance(settings, dict)
        and {"root_path", "dimensions", "dtype", "format"} <= settings.keys()
        and (manifest.get("status") in STATUSES or is_version_0(info["version"]))
        and isinstance(manifest.get("global_metadata"), dict)
    )
    if not is_proof(info, without_id=is_earlier_version) or not isinstance(shapes, list):
        return None
    files = {MANIFEST, JOURNAL_NAME, *(f"pos_{n}.dat" for n in range(len(shapes)))}
    return files.__contains__
