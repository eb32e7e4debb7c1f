"""Continue a dataset: which events of a sequence are missing, and the stream that accepts their frames."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import useq

import ome_writers
from ome_writers import AcquisitionSettings, OMEStream, SettingsError
from ome_writers_useq import convert_sequence

if TYPE_CHECKING:
    pass

# Parts of a sequence that do not decide which frame is which.
_IGNORED = {"metadata", "uid", "time_plan", "keep_shutter_open_across"}


def remaining_events(
    sequence: useq.MDASequence, output: str | os.PathLike[str]
) -> list[useq.MDAEvent]:
    """Return the events of a sequence whose frames are not in a dataset, in order.

    Pass them to ``mmc.mda.run(events, output=MDAWriter(path, resume=True))``. Their start times are counted from the
    first of them. Move the stage, and set up autofocus, as for the beginning of the run.

    Parameters
    ----------
    sequence
        The sequence that the dataset was recorded with; it may have more time points now.
    output
        The dataset. If it does not exist, all events are returned.

    Raises
    ------
    ome_writers.SettingsError
        The dataset was recorded with another sequence.
    ome_writers.UnsupportedError, ome_writers.OutputLockedError
        The dataset cannot be resumed, or is being written.
    """
    events = list(sequence)
    if not os.path.exists(output):
        return events
    spec = ome_writers.read(output)
    refuse_other_sequence(sequence, output)
    y, x = spec.images[0].shape[-2:]
    index_of = convert_sequence(sequence, x, y)[1]
    if spec.status == "complete" and spec.frames_expected is not None:
        counts = {d.name: d.count for d in spec.dimensions}
        missing = [e for e in events if not _is_inside(index_of(e.index), counts)]
    else:
        with ome_writers.resume(output) as stream:
            missing = [e for e in events if not _has_frames(stream, index_of(e.index))]
    started = min((e.min_start_time or 0.0 for e in missing), default=0.0)
    return [_started_earlier(event, started) for event in missing]


def refuse_other_sequence(sequence: useq.MDASequence, output: str | os.PathLike[str]) -> None:
    """Raise SettingsError if a dataset was recorded with another sequence, except for more time points."""
    stored = stored_sequence(output)
    if stored is None:
        return
    before, now = (json.loads(s.model_dump_json(exclude=_IGNORED)) for s in (stored, sequence))
    differs = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    fewer = stored.sizes.get("t", 0) > sequence.sizes.get("t", 0)
    if differs or fewer:
        names = ", ".join([*differs, *(["time_plan"] if fewer else [])])
        raise SettingsError(
            f"{output} was recorded with another sequence: {names} differ. Pass the same sequence to continue it (it "
            "may have more time points), or choose another path."
        )


def stored_sequence(output: str | os.PathLike[str]) -> useq.MDASequence | None:
    """Return the sequence that a dataset was recorded with; None if it does not contain one."""
    metadata = ome_writers.read(output).metadata.get("pymmcore_plus", {})
    if (
        not metadata and (Path(output) / "zarr.json").is_file()
    ):  # pymmcore-plus writes it to each image
        first = ome_writers.read(output).images[0].key
        content = json.loads((Path(output) / first / "zarr.json").read_bytes())
        metadata = content["attributes"].get("pymmcore_plus", {})
    summary: Any = metadata.get("summary_metadata") or metadata.get("summary_metadata_json")
    if isinstance(summary, str):
        summary = json.loads(summary)
    sequence = summary.get("mda_sequence") if isinstance(summary, Mapping) else None
    return None if not sequence else useq.MDASequence.model_validate(sequence)


def resumed_stream(
    planned: AcquisitionSettings, writer: Literal["thread", "process"] | None = None
) -> tuple[OMEStream, float]:
    """Return a stream that continues the dataset of `planned`, and the seconds since the dataset was started.

    A stream of a new dataset if there is none. The first axis of `planned` may be longer than that of the dataset.

    Raises SettingsError if axes, frame size or dtype differ.
    """
    path = planned.output_path
    if not planned.root_path or not os.path.exists(path):
        return ome_writers.create_stream(planned, writer=writer), 0.0
    spec = ome_writers.read(path)
    stored = spec.settings
    if stored is None:
        return ome_writers.resume(path, writer=writer), 0.0  # raises UnsupportedError
    axes = [[(d.name, d.count) for d in s.dimensions] for s in (stored, planned)]
    longer = _is_longer(*(of[0] for of in axes))
    if axes[0][longer:] != axes[1][longer:] or stored.dtype != planned.dtype:
        described = (
            f"{', '.join(f'{n}: {c}' for n, c in of)} {s.dtype}"
            for of, s in zip(axes, (stored, planned), strict=True)
        )
        before, now = described
        raise SettingsError(
            f"{path} was recorded as ({before}), and the run would be ({now}). Use the same sequence, region of "
            "interest and camera, or choose another path."
        )
    elapsed = _elapsed(spec.started)
    if not longer:
        return ome_writers.resume(path, writer=writer), elapsed
    count = planned.dimensions[0].count
    first = stored.dimensions[0].model_copy(update={"count": count, "coords": None})
    update = {
        "root_path": planned.root_path,
        "dimensions": (first, *stored.dimensions[1:]),
        "format": stored.format.model_copy(update={"suffix": planned.format.suffix}),
    }
    longer_settings = stored.model_copy(update=update)
    return ome_writers.create_stream(longer_settings, resume=True, writer=writer), elapsed


def _is_longer(stored: tuple[str, int | None], planned: tuple[str, int | None]) -> bool:
    (a, before), (b, now) = stored, planned
    return a == b and before is not None and now is not None and now > before


def _elapsed(started: str | None) -> float:
    """Return the seconds since a time in ISO 8601."""
    try:
        began = datetime.fromisoformat(str(started).replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    if began.tzinfo is None:
        began = began.replace(tzinfo=timezone.utc)
    return max(0.0, (datetime.now(timezone.utc) - began).total_seconds())


def _has_frames(stream: OMEStream, index: Mapping[str, int]) -> bool:
    """Return whether all frames of an event are there: one per camera."""
    router = stream.plan.router
    counts = zip(router.axes, router.counts, strict=True)
    ranges = [[index[name]] if name in index else range(count or 1) for name, count in counts]
    return all(stream.has_frame(each) for each in product(*ranges))


def _is_inside(index: Mapping[str, int], counts: Mapping[str, int | None]) -> bool:
    return all(i < (counts.get(name) or i + 1) for name, i in index.items())


def _started_earlier(event: useq.MDAEvent, seconds: float) -> useq.MDAEvent:
    if not seconds or event.min_start_time is None:
        return event
    return event.model_copy(update={"min_start_time": event.min_start_time - seconds})
