"""The summary metadata of pymmcore-plus in a dataset, and the settings that follow from them.

`MDAWriter` and `record` know the summary before they create a stream. pymmcore-plus' own sink, for
``mda.run(output=path)``, creates the stream first and then attaches the summary. `complete_settings` is the interpreter
for it that this package registers (entry point group ``ome_writers.metadata``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError

from ome_writers import AcquisitionSettings, Camera, Channel, Dimension, OMEStream
from ome_writers_pymmcore.cameras import (
    CAMERA_AXIS,
    add_camera_axis,
    select_cameras,
    set_channel_cameras,
)
from ome_writers_pymmcore.frame_metadata import to_json
from ome_writers_pymmcore.microscope import Microscope

_NAMESPACE = "pymmcore_plus"  # as the sink of pymmcore-plus writes it


def write_summary(stream: OMEStream, summary: Mapping[str, Any]) -> None:
    """Write the complete summary metadata (``SummaryMetaV1``) to a stream."""
    fields = dict(summary)
    sequence = fields.pop("mda_sequence", None)
    converted: dict[str, Any] = to_json(fields)
    if sequence is not None:
        try:
            dumped = sequence.model_dump(mode="json", exclude_unset=True)
        except PydanticSerializationError:  # its metadata may contain any object
            dumped = to_json(sequence.model_dump(exclude_unset=True))
        converted["mda_sequence"] = dumped
    stream.set_global_metadata(_NAMESPACE, {"summary_metadata": converted})


def complete_settings(
    settings: AcquisitionSettings, metadata: Mapping[str, Any]
) -> AcquisitionSettings:
    """Return settings of pymmcore-plus' sink with instrument, date and cameras of the summary that it attached.

    Settings with an instrument are returned unchanged. `metadata` is that of the namespace ``pymmcore_plus``;
    version 0.18 stores the summary of an OME-TIFF as JSON text.
    """
    summary = metadata.get("summary_metadata") or metadata.get("summary_metadata_json")
    if isinstance(summary, str):
        summary = json.loads(summary)
    if settings.instrument is not None or not isinstance(summary, Mapping):
        return settings
    channels = [c for d in settings.dimensions for c in d.coords or () if isinstance(c, Channel)]
    microscope, camera_per_channel = select_cameras(
        Microscope.of(summary), [(c.group or "", c.name) for c in channels], None
    )
    first = microscope.cameras[0]
    update: dict[str, Any] = {"instrument": microscope.instrument}
    if settings.acquisition_date is None:
        update["acquisition_date"] = microscope.began
    if settings.rgb is None:
        update["rgb"] = len(first.shape or ()) == 3
    present = next((d for d in settings.dimensions if d.name == CAMERA_AXIS), None)
    if present is None:
        *outer, y, x = settings.dimensions
        if camera_per_channel and first.shape is not None:
            # The sink assumes the frames of the camera that was selected before the run.
            y, x = y.with_count(first.shape[0]), x.with_count(first.shape[1])
            update["dtype"] = first.dtype
        fields = {"dimensions": [*outer, y, x], "schedule": settings.schedule}
        update |= add_camera_axis(fields, microscope, camera_per_channel=camera_per_channel)
    else:
        labels = [camera.label for camera in microscope.cameras]
        update["dimensions"] = [
            _with_labels(dim, labels)
            if dim is present
            else set_channel_cameras(dim, microscope.cameras, microscope.camera_of_channel)
            for dim in settings.dimensions
        ]
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return AcquisitionSettings(**{**given, **update})


def _with_labels(axis: Dimension, labels: list[str]) -> Dimension:
    """Return the camera axis with the labels of the cameras; frame formats that were inferred stay."""
    if len(labels) != axis.count:
        return axis
    coords = [
        coord.model_copy(update={"name": label}) if isinstance(coord, Camera) else label
        for coord, label in zip(axis.coords or labels, labels, strict=True)
    ]
    return axis.model_copy(update={"coords": coords})
