"""`RunMetadata`: stores the documents of a bluesky run with the dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from event_model import NumpyEncoder

from ome_writers import Dimension, OMEStream, Schedule
from ome_writers_ophyd.plan_axes import axes_of_plan

NAMESPACE = "bluesky"


class RunMetadata:
    """A callback of the RunEngine: ``RE.subscribe(run)``, with ``OMEOutput(..., run=run)``.

    The dataset's global metadata contains, as ``bluesky``, the start and the stop document, and the devices'
    configuration by name of the event stream. The dataset of a run that fails or is aborted gets the status "failed".

    Parameters
    ----------
    stage
        Names of the motors of the stage, by axis: ``{"x": "stage-x", "y": "stage-y", "z": "stage-z"}``, in micrometer.
        With this, `bluesky.plans.scan` and `grid_scan` define the acquisition axes: x and y become stage positions, z
        becomes the z axis, other motors axes of their own names. Each point of the plan must have one frame.
        Without it, or with another plan, frames are numbered along ``t``.
    """

    def __init__(self, stage: Mapping[str, str] | None = None) -> None:
        unknown = set(stage or ()) - {"x", "y", "z"}
        if unknown:
            raise ValueError(f"stage: axes are x, y and z, got {', '.join(sorted(unknown))}.")
        self._axis_of = {motor: axis for axis, motor in (stage or {}).items()}
        self._documents: dict[str, Any] = {}
        self._streams: list[OMEStream] = []
        self._writing = ThreadPoolExecutor(1, "ome-writers-run-metadata")  # keeps the order

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document of the run."""
        if name == "start":
            self._documents = {"start": _plain(document), "configuration": {}}
            self._streams = [stream for stream in self._streams if not stream.closed]
        elif name == "descriptor":
            devices = _plain(document.get("configuration", {}))
            values = {device: part.get("data", {}) for device, part in devices.items()}
            self._documents.setdefault("configuration", {})[document["name"]] = values
        elif name == "stop":
            self._documents["stop"] = _plain(document)
        else:
            return
        for stream in self._streams:
            self._write(stream)

    def attach(self, stream: OMEStream, *, in_run: bool) -> None:
        """Store the documents of a run with a stream's dataset.

        The run is the latest one if the dataset was created `in_run`, even if it has ended by now; otherwise the next.
        """
        self._streams.append(stream)
        if in_run:
            self._write(stream)

    def wait(self) -> None:
        """Return when all documents so far are stored; for scripts that read the dataset after the run."""
        self._writing.submit(lambda: None).result()

    @property
    def failure(self) -> Exception | None:
        """Why the last run was not successful; None while it is open and after a success."""
        stop = self._documents.get("stop", {})
        if stop.get("exit_status", "success") == "success":
            return None
        return RuntimeError(
            f"bluesky run {stop['exit_status']}: {stop.get('reason') or 'no reason given'}"
        )

    def axes(self) -> tuple[list[Dimension], Schedule] | None:
        """Return the axes of the current plan; None if they are unknown or `stage` was not given."""
        if not self._axis_of or not self.is_open:
            return None
        return axes_of_plan(self._documents["start"], self._axis_of)

    @property
    def is_open(self) -> bool:
        """Whether a run has started and not ended."""
        return "start" in self._documents and "stop" not in self._documents

    def _write(self, stream: OMEStream) -> None:
        documents = dict(self._documents)
        self._writing.submit(stream.set_global_metadata, NAMESPACE, documents)


def _plain(document: Any) -> Any:
    """Return a document as JSON can represent it."""
    return json.loads(json.dumps(document, cls=NumpyEncoder))
