"""Changes of several metadata files as one: after an interruption, the next edit or `repair` completes them.

The new content of all files is written to a file of the dataset first. It is removed when all of them are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ome_writers.errors import InvalidFileError
from ome_writers.file_sharing import retry_while_open
from ome_writers.storage import atomic_write
from ome_writers.untrusted import Limit, member, read_json_object

EDIT_NAME = ".ome-writers.edit.json"
_SUFFIXES = (".json", ".xml")


def replace_files(root: Path, contents: Mapping[str, bytes]) -> None:
    """Replace metadata files below `root`, by key, in this order; each is replaced atomically.

    If they are larger than readers accept, 64 MiB in total, an interruption leaves some of them unchanged.
    """
    text = json.dumps({key: content.decode() for key, content in contents.items()}).encode()
    planned = root / EDIT_NAME
    is_planned = len(contents) > 1 and len(text) <= Limit.JSON
    if is_planned:
        atomic_write(planned, text, durable=True)
    for key, content in contents.items():
        atomic_write(member(root, key), content, durable=True)
    if is_planned:
        retry_while_open(planned.unlink)


def finish_edit(root: Path, *, dry_run: bool = False) -> Path | None:
    """Complete an edit that was interrupted; return the file that contained it, None if there was none.

    The caller keeps other processes from writing the dataset.
    """
    planned = root / EDIT_NAME
    if not planned.is_file():
        return None
    contents = read_json_object(planned, root=root)
    for key, text in contents.items():
        if not isinstance(text, str) or not key.endswith(_SUFFIXES):
            raise InvalidFileError(
                f"{planned} is not an edit of ome-writers: it would change {key}. Remove it, and check the metadata."
            )
    if not dry_run:
        for key, text in contents.items():
            atomic_write(member(root, key), text.encode(), durable=True)
        retry_while_open(planned.unlink)
    return planned
