"""The RO-Crate of a dataset that a stream writes: serves the setting `experiment`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ome_writers.toolkit import crate_path, refuse_foreign_crate, render_crate

if TYPE_CHECKING:
    from ome_writers import AcquisitionSettings, DatasetSpec
    from ome_writers.toolkit import Engine, Layout


class CrateCompanion:
    """Writes an RO-Crate when the stream is closed; a `Companion`."""

    def __init__(self) -> None:
        self._layout: Layout | None = None  # None if the output is temporary

    def check(self, settings: AcquisitionSettings) -> None:
        pass

    def opened(self, layout: Layout, settings: AcquisitionSettings, engine: Engine) -> None:
        del engine
        self._experiment = settings.experiment
        self._layout = layout if settings.format.needs_path else None

    restarted = opened

    def closing(self, spec: DatasetSpec) -> Iterator[tuple[str, bytes]]:
        layout, experiment = self._layout, self._experiment
        if layout is not None and experiment is not None:
            refuse_foreign_crate(file := crate_path(layout.output))
            yield file.name, render_crate(layout.output, spec, experiment)

    def closed(self) -> None:
        pass

    interrupted = discarded = closed

    def stats(self) -> Mapping[str, int]:
        return {}
