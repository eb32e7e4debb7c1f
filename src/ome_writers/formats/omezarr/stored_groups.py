"""Changes of the metadata of an OME-Zarr on disk: groups are changed in memory, then each is replaced atomically."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ome_writers.formats.interrupted_edit import replace_files
from ome_writers.formats.omezarr.layout import join_key
from ome_writers.untrusted import member, read_json

Json = dict[str, Any]


@contextmanager
def open_metadata(root: Path) -> Iterator[StoredGroups]:
    """Yield the groups of an OME-Zarr, and save what the block changes; nothing if it raises.

    The caller keeps other processes from writing the dataset; see `formats.edit_in_place`.
    """
    groups = StoredGroups(root)
    yield groups
    groups.save()


class StoredGroups:
    """The groups of an OME-Zarr on disk; each is read when its attributes are asked for, by its key.

    Everything that is not changed is kept, as are the keys of other programs. `texts` are further files to replace, by
    key. `changed_files` are those that `save` has replaced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._content: dict[str, Json] = {}
        self._stored: dict[str, Json | None] = {}
        self.texts: dict[str, bytes] = {}
        self.changed_files: list[Path] = []

    def key(self, folder: Path) -> str:
        """Return the key of the group in a folder; ``""`` is the root."""
        key = folder.relative_to(self._root).as_posix()
        return "" if key == "." else key

    def file(self, key: str) -> Path:
        return (member(self._root, key) if key else self._root) / "zarr.json"

    def attributes(self, key: str = "") -> Json:
        """Return the attributes of a group, to be changed; see `untrusted.read_json` for errors."""
        if key not in self._content:
            self._content[key] = content = read_json(self.file(key), root=self._root)
            self._stored[key] = copy.deepcopy(content)
            if not isinstance(content.get("attributes"), dict):
                content["attributes"] = {}
                self._stored[key] = {**content, "attributes": {}}
        attributes: Json = self._content[key]["attributes"]
        return attributes

    def own(self, *, create: bool = False) -> Json | None:
        """Return what this library has written about the dataset, to be changed; None if it has not written it."""
        attributes = self.attributes()
        if create:
            attributes.setdefault("ome_writers", {})
        own = attributes.get("ome_writers")
        return own if isinstance(own, dict) else None

    def settings(self) -> Json:
        """Return the stored settings, to be changed; an empty dict without settings."""
        settings = (self.own() or {}).get("settings")
        return settings if isinstance(settings, dict) else {}

    def add(self, key: str, attributes: Json) -> None:
        """Add a group, or replace it."""
        self._content[key] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        self._stored[key] = None

    def save(self) -> None:
        """Replace the groups that have changed, and `texts`: children before their parents, the root last."""
        changed = dict(self.texts)
        for key in sorted(self._content, key=lambda key: (-key.count("/") - bool(key), key)):
            content = self._content[key]
            if content == self._stored[key]:
                continue
            text = json.dumps(content, allow_nan=False, ensure_ascii=False)
            # errors="replace": lone surrogates, as in paths of other encodings, cannot be encoded in UTF-8
            changed[join_key(key, "zarr.json")] = text.encode(errors="replace")
            self._stored[key] = copy.deepcopy(content)
        replace_files(self._root, changed)
        self.changed_files += [self._root / key for key in changed]
