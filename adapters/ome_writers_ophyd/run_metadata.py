"""`RunMetadata`: documents of a bluesky run as metadata and acquisition axes of its datasets."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from bluesky import plan_patterns
from bluesky.utils import snake_cyclers
from cycler import cycler
from event_model import NumpyEncoder
from scanspec.specs import Spec

from ome_writers import Dimension, OMEStream, Position, Schedule

_log = logging.getLogger(__name__)


class RunMetadata:
    """A callback of the RunEngine: ``RE.subscribe(run)``, with ``OMEOutput(..., run=run)``.

    The dataset's global metadata contains, as ``bluesky``, the start and the stop document, and the devices'
    configuration by name of the event stream. The dataset of a run that fails or is aborted gets the status "failed".

    Parameters
    ----------
    stage
        Names of the motors of the stage, by axis: ``{"x": "stage-x", "y": "stage-y", "z": "stage-z"}``, in micrometer.
        With this, `bluesky.plans.scan`, `list_scan` and `grid_scan` define the acquisition axes, and so does any plan
        with the metadata ``{"scanspec": spec.serialize()}``: x and y become stage positions, z becomes the z axis,
        other motors axes of their own names. Each point of the plan must have one frame. Without it, or with another
        plan, frames are numbered along ``t``.
    """

    def __init__(self, stage: Mapping[str, str] | None = None) -> None:
        if unknown := set(stage or ()) - {"x", "y", "z"}:
            raise ValueError(f"stage: axes are x, y and z, got {', '.join(sorted(unknown))}.")
        self._axis_of = {motor: axis for axis, motor in (stage or {}).items()}
        self._documents: dict[str, Any] = {"configuration": {}}
        self._streams: list[OMEStream] = []
        self._writing = ThreadPoolExecutor(1, "ome-writers-run-metadata")  # keeps the order

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document of the run."""
        if name not in ("start", "descriptor", "stop"):
            return
        content = json.loads(json.dumps(document, cls=NumpyEncoder))
        if name == "start":
            self._documents = {"configuration": {}}
            self._streams = [stream for stream in self._streams if not stream.closed]
        if name == "descriptor":
            values = {device: c["data"] for device, c in content.get("configuration", {}).items()}
            configuration = {**self._documents["configuration"], content["name"]: values}
            self._documents["configuration"] = configuration
        else:
            self._documents[name] = content
        for stream in self._streams:
            self._write(stream)

    def attach(self, stream: OMEStream, *, in_run: bool) -> None:
        """Store the documents of a run with a stream's dataset.

        The run is the latest one if the dataset was created `in_run`, even if it has ended by now; otherwise the next.
        """
        # before the next run, the documents of the last one are complete
        self._streams = [s for s in self._streams if in_run or not s.closed] + [stream]
        if in_run:
            self._write(stream)

    def wait(self) -> None:
        """Return when all documents so far are stored; for scripts that read the dataset after the run."""
        self._writing.submit(lambda: None).result()

    @property
    def failed(self) -> bool:
        """Whether the last run has ended without success; False while it is open."""
        return self._documents.get("stop", {}).get("exit_status") not in (None, "success")

    @property
    def is_open(self) -> bool:
        """Whether a run has started and not ended."""
        return "start" in self._documents and "stop" not in self._documents

    def axes(self) -> tuple[list[Dimension], Schedule | None]:
        """Return the axes of the current plan and the index of each point; no axes if they are unknown."""
        points = _plan_points(self._documents["start"]) if self._axis_of and self.is_open else []
        return _axes_of_points(points, self._axis_of) if points else ([], None)

    def _write(self, stream: OMEStream) -> None:
        documents = dict(self._documents)
        writing = self._writing.submit(stream.set_global_metadata, "bluesky", documents)
        writing.add_done_callback(log_error)


def log_error(done: asyncio.Task[None] | Future[None]) -> None:
    """Log the error that has ended work in the background; bluesky does not see it before the detector is unstaged."""
    if not done.cancelled() and (error := done.exception()):
        _log.error("%s", error)


def _plan_points(start: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the motor positions at each point in order of acquisition; none if the plan is unknown."""
    pattern, motors = start.get("plan_pattern"), start.get("motors", ())
    points: Any = ()
    if "scanspec" in start:
        points = Spec.deserialize(start["scanspec"]).midpoints()
    elif start.get("plan_name", "").startswith("rel_"):
        pass  # the points are relative to where the motors were
    elif pattern in ("inner_product", "inner_list_product"):
        # the arguments contain the repr of each motor, in the order of `motors`
        product = getattr(plan_patterns, pattern)(**start["plan_pattern_args"])
        points = [dict(zip(motors, point.values(), strict=True)) for point in product]
    elif pattern == "outer_product":
        ranges = zip(motors, start["extents"], start["shape"], strict=True)
        tracks = [cycler(motor, np.linspace(a, b, num)) for motor, (a, b), num in ranges]
        points = snake_cyclers(tracks, start["snaking"])
    return [{motor: np.asarray(v).item() for motor, v in point.items()} for point in points]


def _axes_of_points(
    points: Sequence[Mapping[str, Any]], axis_of: Mapping[str, str]
) -> tuple[list[Dimension], Schedule]:
    """Return an axis per independent motor, with x and y as one; a single axis if the points are not a full grid."""
    motors = tuple(points[0])
    lateral = tuple(motor for motor in motors if axis_of.get(motor) in ("x", "y"))
    dimensions, columns = [], []
    for group in dict.fromkeys(lateral if motor in lateral else (motor,) for motor in motors):
        values = [tuple(point[motor] for motor in group) for point in points]
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        dimensions.append(_dimension(group, list(numbers), axis_of))
        columns.append([numbers[value] for value in values])
    indices = set(zip(*columns, strict=True))
    if not len(indices) == len(points) == math.prod(d.count or 0 for d in dimensions):
        dimensions = [_dimension(motors, [tuple(point.values()) for point in points], axis_of)]
        columns = [list(range(len(points)))]
    axes = ("t", *(dimension.name for dimension in dimensions))
    return dimensions, Schedule(axes, [(0, *index) for index in zip(*columns, strict=True)])


def _dimension(
    motors: Sequence[str], values: Sequence[tuple[Any, ...]], axis_of: Mapping[str, str]
) -> Dimension:
    """Return the axis along which `motors` take these positions."""
    axes = [axis_of.get(motor) for motor in motors]
    if "x" in axes or "y" in axes:
        coords = []
        for number, value in enumerate(values):
            known = {f"{axis}_coord": v for axis, v in zip(axes, value, strict=True) if axis}
            coords.append(Position.model_validate({"name": str(number), **known}))
        return Dimension(name="p", type="position", coords=coords)
    first = [value[0] for value in values]
    if axes[0] != "z":
        return Dimension(name=motors[0], type="other", coords=first)
    steps = np.diff(first)
    step = abs(float(steps[0])) if steps.size and np.allclose(steps, steps[0]) else None
    return Dimension(name="z", unit="micrometer", coords=first, scale=step, translation=first[0])
