"""The table of engines: one row each, capabilities as data. The core has three; others are entry points.

No engine and no library of an engine is imported here.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any

from ome_writers import codecs
from ome_writers.settings.dtypes import PIXEL_TYPES

_log = logging.getLogger("ome_writers")

if TYPE_CHECKING:
    ENGINES: dict[str, EngineRow]


@dataclass(frozen=True)
class EngineRow:
    """One engine: its name, its requirements and its capabilities.

    Attributes
    ----------
    name, format
        The name that users type, and the format that it writes.
    module, opener
        The module, imported on first use, and its function ``(root, targets, options) -> storage.Engine``. Empty for
        the engines of the core, which `storage` knows by name.
    requires
        Packages that must be importable.
    oldest
        Distribution and oldest supported version, if the engine needs a recent one.
    extra
        The extra of this distribution that installs the requirements; None for engines of other packages.
    compressions, checksums
        Names of the compressions that it supports (engines that encode with the table of compressions: all of their
        format; others: those of their library), and whether it stores the checksum of each chunk.
    dtypes
        Names of the dtypes that it supports; None: all.
    max_planes
        Maximum number of planes of an acquisition; None: unlimited.
    python
        Oldest Python supported by its library.
    any_path
        Whether its library supports paths that are not valid UTF-8.
    ansi_paths
        Whether its library opens files with the ANSI functions of Windows: it supports paths in its code page only.
    random_access
        Whether planes may be written in any order, and twice.
    growth
        Whether arrays may have an unbounded axis.
    needs_files
        Whether it needs local files. If not, `opener` accepts a `storage.Store` instead of the path of the root.
    sharding
        Whether it writes chunks and shards. If not, `chunk_size` and `shard_size_chunks` have no effect.
    ragged
        Whether arrays may have missing planes.
    omits_zeros
        Whether chunks of zeros are omitted, so that a missing chunk is not a lost frame.
    live
        Whether another process can read correct pixels while it writes.
    survives_kill, survives_power_loss
        Whether flushed data survives ``kill -9``, and power loss with ``durability="disk"``.
    priority
        The order of ``"auto"``, highest first. The engines of the core precede all others.
    reopens, evicts
        Whether it can continue arrays on disk (`storage.Options.existing`), and is a `storage.EvictingEngine`.
    temporary_names
        Regular expressions for the names of its temporary files and directories, which `repair` removes; the group
        ``target`` is the final name.
    """

    name: str
    format: str
    requires: tuple[str, ...]
    extra: str | None
    compressions: AbstractSet[str]
    module: str = ""
    opener: str = "open_engine"
    checksums: bool = False
    dtypes: frozenset[str] | None = None
    oldest: tuple[str, tuple[int, int]] | None = None
    max_planes: int | None = None
    python: tuple[int, int] = (3, 10)
    any_path: bool = True
    ansi_paths: bool = False
    random_access: bool = True
    growth: bool = True
    needs_files: bool = True
    sharding: bool = True
    ragged: bool = True
    omits_zeros: bool = False
    live: bool = True
    survives_kill: bool = True
    survives_power_loss: bool = True
    reopens: bool = False
    priority: int = 0
    evicts: bool = False
    temporary_names: tuple[str, ...] = ()

    def missing_requirement(self) -> str | None:
        """Return what to install before this engine can be used; None if nothing is missing."""
        if sys.version_info[:2] < self.python:
            wanted = ".".join(map(str, self.python))
            return f"{self.name} needs Python {wanted} or later"
        packages = f'"ome-writers[{self.extra}]"' if self.extra else " ".join(self.requires)
        command = f"pip install {packages}"
        missing = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if missing:
            is_partial = len(missing) < len(self.requires)
            subject = f"{self.name} needs {', '.join(missing)}, which" if is_partial else self.name
            return f"{subject} is not installed: {command}"
        if self.oldest is not None:
            library, oldest = self.oldest
            wanted, found = ".".join(map(str, oldest)), version(library)
            if tuple(map(int, re.findall(r"\d+", found)[:2])) < oldest:
                return f"{self.name} needs {library} {wanted} or later, {found} is installed: {command}"
        return None


OWN_ENGINES: dict[str, EngineRow] = {
    row.name: row
    for row in (
        EngineRow(
            name="direct",
            format="ome-zarr",
            requires=(),
            extra=None,
            compressions=codecs.ZARR_COMPRESSIONS,
            checksums=True,
            needs_files=False,
            reopens=True,
            evicts=True,
            temporary_names=(r"\.(?P<target>[0-9]+)\.tmp",),  # chunks and shards
        ),
        EngineRow(
            name="tifffile",
            format="ome-tiff",
            requires=("tifffile", "ome_types"),
            extra="tifffile",
            compressions=codecs.TIFF_COMPRESSIONS,
            checksums=True,
            sharding=False,
            reopens=True,
            dtypes=frozenset(PIXEL_TYPES),
            max_planes=10**8,  # each IFD takes about 280 bytes, before the first frame
        ),
        EngineRow(
            name="scratch",
            format="scratch",
            requires=(),
            extra=None,
            compressions=frozenset({"none"}),
            sharding=False,
            live=False,
            survives_kill=False,
            survives_power_loss=False,
            temporary_names=(r"\.(?P<target>pos_[0-9]+(\.level_[0-9]+)?\.dat)\.tmp",),
        ),
    )
}


@cache
def _installed_rows(group: str) -> dict[str, Any]:
    """Return the rows that entry points of other packages name; each has the name of its entry point.

    An entry point that cannot be loaded is logged and skipped: a defective package must not prevent an acquisition.
    """
    rows = {}
    for point in entry_points(group=group):
        try:
            row = point.load()
            if row.name != point.name:
                raise ValueError(f"its row is called {row.name!r}")
            rows[point.name] = row
        except Exception as error:
            _log.exception(
                "The entry point %r of %r cannot be used (%s: %s). Update or remove the package %s.",
                point.name,
                group,
                type(error).__name__,
                error,
                point.dist.name if point.dist else point.value,
            )
    return rows


installed_formats: Callable[[], dict[str, Any]] = partial(_installed_rows, "ome_writers.formats")
"""Returns the `ome_writers.formats.FormatRow` of each format of another package, by name."""


def engine_rows() -> dict[str, EngineRow]:
    """Return all engines by name: by format, and in the order of ``"auto"``, those of the core first."""
    of_formats = {e.name: e for row in installed_formats().values() for e in row.engines}
    others = {**of_formats, **_installed_rows("ome_writers.engines")}
    by_priority = sorted(others.items(), key=lambda item: -item[1].priority)
    rows = {**OWN_ENGINES, **dict(by_priority), **OWN_ENGINES}
    formats = [row.format for row in rows.values()]
    return dict(sorted(rows.items(), key=lambda item: formats.index(item[1].format)))


def __getattr__(name: str) -> Any:
    """`ENGINES`: the rows of all engines by name, from entry points that are read on first use."""
    if name == "ENGINES":
        return globals().setdefault(name, engine_rows())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def temporary_targets(name: str) -> list[str]:
    """Return the final names of files for which an engine uses this temporary name; empty for other names."""
    matches = (pattern.fullmatch(name) for pattern in _temporary_patterns())
    return [match["target"] for match in matches if match]


@cache
def _temporary_patterns() -> list[re.Pattern[str]]:
    names = {name for row in engine_rows().values() for name in row.temporary_names}
    return [re.compile(name, re.DOTALL) for name in sorted(names)]


def find_engine(name: str) -> EngineRow | None:
    """Return the engine with this name, of the core or of another package; None if there is none."""
    return OWN_ENGINES.get(name) or engine_rows().get(name)


def engines_of(format_name: str) -> list[EngineRow]:
    """Return the engines that write a format, in the order of ``"auto"``."""
    return [row for row in engine_rows().values() if row.format == format_name]
