"""Companions: what runs beside an acquisition, such as a mirror, or describes it when it ends, such as an RO-Crate.

A companion is named by an entry point of the group `ENTRY_POINT_GROUP`, whose name is the field of
`AcquisitionSettings` that it serves. This module is imported only if one of these fields is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from ome_writers.errors import UnsupportedError
from ome_writers.formats import spec_of_plan as spec_of_plan  # before `close` calls it

if TYPE_CHECKING:
    from ome_writers.dataset import DatasetSpec
    from ome_writers.formats import Layout
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import Engine

ENTRY_POINT_GROUP = "ome_writers.companions"
"""Each entry point of this group has the name of a settings field, and names a `Companion` class without arguments."""


class Companion(Protocol):
    """What a stream calls for a settings field; one object per stream. Errors of `close` are those of its companions.

    The calls are `check`, `opened`, then any number of `check` and `restarted`, then `closing` and `closed`. Nothing
    may be imported after `check`: the interpreter may be exiting.
    """

    def check(self, settings: AcquisitionSettings) -> None:
        """Raise an error if the field cannot be served; nothing was created yet."""
        ...

    def opened(self, layout: Layout, settings: AcquisitionSettings, engine: Engine) -> None:
        """Begin the work: the output exists, and `engine` writes it."""
        ...

    def restarted(self, layout: Layout, settings: AcquisitionSettings, engine: Engine) -> None:
        """Continue with another output, which has replaced the one before."""
        ...

    def closing(self, spec: DatasetSpec) -> Iterable[tuple[str, bytes]]:
        """Yield key and content of further files of the dataset, whose pixels are complete on disk."""
        ...

    def closed(self) -> None:
        """Return when the work is done; the dataset is complete on disk. Raises an error if it has failed."""
        ...

    def interrupted(self) -> None:
        """Let `closed`, which a thread may be waiting in, raise an error soon."""
        ...

    def discarded(self) -> None:
        """End the work at once: the output was removed, or the settings no longer have the field."""
        ...

    def stats(self) -> Mapping[str, int]:
        """Return values of `StreamStats`."""
        ...


class Companions:
    """The companions of one stream."""

    def __init__(self) -> None:
        self._loaded: dict[str, Companion] = {}
        self._opened: dict[str, Companion] = {}

    def check(self, settings: AcquisitionSettings) -> None:
        """Load the companions of the fields that are set, and check the settings."""
        fields = settings.companion_fields
        for field in fields:
            if field not in self._loaded:
                self._loaded[field] = _load(field)
            self._loaded[field].check(settings)
        for field in self._loaded.keys() - fields - self._opened.keys():
            del self._loaded[field]

    def opened(self, layout: Layout, settings: AcquisitionSettings, engine: Engine) -> None:
        """Call `Companion.opened` or `Companion.restarted`, or `discarded` where a field is no longer set."""
        earlier = self._opened
        self._opened = {field: self._loaded[field] for field in settings.companion_fields}
        for field, companion in self._opened.items():
            call = companion.restarted if field in earlier else companion.opened
            call(layout, settings, engine)
        for field in earlier.keys() - self._opened.keys():
            self._loaded.pop(field).discarded()

    def closing(self, spec: Callable[[], DatasetSpec]) -> Iterator[tuple[str, bytes]]:
        for companion in self._opened.values():
            yield from companion.closing(spec())

    def closed(self) -> None:
        for companion in self._opened.values():
            companion.closed()

    def interrupted(self) -> None:
        for companion in self._opened.values():
            companion.interrupted()

    def discarded(self, *, resumed: bool) -> None:
        """Call `Companion.discarded`; `interrupted` for a dataset that was `resumed`, which stays."""
        for companion in self._opened.values():
            if resumed:
                companion.interrupted()
            else:
                companion.discarded()

    def stats(self) -> dict[str, int]:
        return {
            name: n for companion in self._opened.values() for name, n in companion.stats().items()
        }


def checked_companions(
    settings: AcquisitionSettings, earlier: Companions | None = None
) -> Companions:
    """Return the companions that the settings need, after their checks; `earlier` are those before a restart.

    Raises UnsupportedError if no companion is installed for a field.
    """
    companions = earlier or Companions()
    companions.check(settings)
    return companions


def _load(field: str) -> Companion:
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=field):
        try:
            companion: Companion = entry.load()()
        except ModuleNotFoundError as error:
            raise _missing(field, f"{entry.value} cannot be imported ({error})") from error
        return companion
    raise _missing(field, f"no entry point of the group {ENTRY_POINT_GROUP!r} has this name")


def _missing(field: str, problem: str) -> UnsupportedError:
    return UnsupportedError(
        f"settings.{field} is set, and nothing is installed that serves it: {problem}. Install the package "
        f"ome-writers again, with its tools, or leave out {field}."
    )
