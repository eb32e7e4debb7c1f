"""Convert useq-schema sequences to acquisition settings.

The adapter opens no files and no devices, and imports only public names of `ome_writers`.
"""

from __future__ import annotations

try:
    from ome_writers_useq.convert import (
        AcquisitionSettingsDict,
        build_positions,
        convert_sequence,
        dims_from_useq,
        useq_to_acquisition_settings,
    )
    from ome_writers_useq.event_index import EventIndexMap
    from ome_writers_useq.plates import plate_from_useq
except ModuleNotFoundError as error:
    if error.name != "useq":
        raise
    raise ModuleNotFoundError(
        'ome_writers_useq needs useq-schema: pip install "ome-writers[useq]"', name=error.name
    ) from error

__all__ = [
    "AcquisitionSettingsDict",
    "EventIndexMap",
    "build_positions",
    "convert_sequence",
    "dims_from_useq",
    "plate_from_useq",
    "useq_to_acquisition_settings",
]
