"""Settings from metadata that other programs attach to a dataset: the entry points of the group `ENTRY_POINT_GROUP`.

An acquisition program may know more about the microscope than its settings for this library contain. The package that
knows the program's metadata names an `Interpreter` for its namespace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from ome_writers.settings import AcquisitionSettings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    Interpreter = Callable[[AcquisitionSettings, Mapping[str, Any]], AcquisitionSettings]
    """Returns settings completed by metadata of its namespace; the same object if there is nothing to add."""

ENTRY_POINT_GROUP = "ome_writers.metadata"
"""Each entry point of this group names an `Interpreter`, and has the name of its namespace."""

_log = logging.getLogger("ome_writers")


@cache  # a lookup takes milliseconds
def _interpreters() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def interpret(
    settings: AcquisitionSettings,
    find_metadata: Callable[[str], Mapping[str, Any] | None],
) -> AcquisitionSettings:
    """Return the settings with what the interpreters add; the same object if they add nothing.

    Metadata must not cost frames: errors of an interpreter are logged.

    `find_metadata` returns the metadata of a namespace, None if there is none.
    """
    for namespace, entry in _interpreters().items():
        try:
            metadata = find_metadata(namespace)
            if metadata is not None:
                settings = entry.load()(settings, metadata)
        except Exception as error:
            _log.warning(
                "The metadata of %r could not be interpreted (%s: %s): it is stored unchanged, and the instrument is "
                "not described.",
                namespace,
                type(error).__name__,
                error,
            )
    return settings
