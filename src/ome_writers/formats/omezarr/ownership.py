"""Proof that this library wrote an OME-Zarr, and the files that belong to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ome_writers.formats.dataset_metadata import STATUSES
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.interrupted_edit import EDIT_NAME
from ome_writers.formats.omezarr.derived import own_derived
from ome_writers.formats.omezarr.layout import XML_KEY, join_key
from ome_writers.formats.omezarr.node_metadata import (
    group_attributes,
    image_groups,
    ome_writers_attributes,
)
from ome_writers.formats.ownership import is_proof, is_version_0
from ome_writers.formats.ro_crate import CRATE_NAME, is_own_crate
from ome_writers.untrusted import MovedFiles

_CHUNK = re.compile(r"(?P<array>.*)/c(?:[/.][0-9]+)*", re.DOTALL)


def is_startup_file(root: Path, key: str) -> bool:
    """Whether a stream that was killed during its creation may have left a file; see `FormatRow`."""
    name = key.rpartition("/")[2]
    return name in ("zarr.json", JOURNAL_NAME) or key == XML_KEY or bool(_CHUNK.fullmatch(key))


def dataset_id(root: Path) -> object:
    """Return the id of an OME-Zarr of this library; None if it does not have one."""
    return ome_writers_attributes(root).get("id")


def owned_files(root: Path) -> Callable[[str], bool] | None:
    """Return a predicate for the files of an OME-Zarr of this library; None if it is not one."""
    if not root.is_dir():
        return None
    info = ome_writers_attributes(root)
    settings = info.get("settings")
    is_prerelease = (
        isinstance(settings, dict)
        and {"root_path", "dimensions", "format"} <= settings.keys()
        and info.get("status") in STATUSES
    )
    if not is_proof(info, without_id=is_prerelease) and not _is_version_0_zarr(root):
        return None
    files = {"zarr.json", "OME/zarr.json", XML_KEY, EDIT_NAME, MovedFiles.RECORD}
    arrays = set()
    for group in image_groups(root):
        folders = group.split("/")
        files |= {join_key("/".join(folders[:n]), "zarr.json") for n in range(len(folders) + 1)}
        files.add(join_key(group, JOURNAL_NAME))
        for multiscale in group_attributes(root / group)["ome"]["multiscales"]:
            arrays |= {join_key(group, level["path"]) for level in multiscale["datasets"]}
    files |= {f"{array}/zarr.json" for array in arrays}
    if is_own_crate(root / CRATE_NAME):
        files.add(CRATE_NAME)

    derived = [
        (group, owned_files(root / group)) for group in own_derived(root, image_groups(root))
    ]
    files |= {f"{group.rpartition('/')[0]}/zarr.json" for group, _ in derived}

    def belongs(file: str) -> bool:
        for group, owns in derived:
            if file.startswith(f"{group}/"):
                return owns is not None and owns(file[len(group) + 1 :])
        chunk = _CHUNK.fullmatch(file)
        return file in files or (chunk is not None and chunk["array"] in arrays)

    return belongs


def _is_version_0_zarr(root: Path) -> bool:
    """Whether each image has the attributes of version 0.3 of this library: version and frame metadata."""
    if not group_attributes(root):
        return False
    infos = [ome_writers_attributes(root / group) for group in image_groups(root)]
    return bool(infos) and all(
        isinstance(each.get("version"), str)
        and is_version_0(each["version"])
        and isinstance(each.get("frame_metadata"), list)
        for each in infos
    )
