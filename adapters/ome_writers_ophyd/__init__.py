"""Write the frames of ophyd-async detectors: `OMEDataLogic` is the data logic of a `StandardDetector`.

The adapter turns frames, signals and bluesky documents into settings and metadata, with public names of `ome_writers`.
"""

from __future__ import annotations

try:
    from ome_writers_ophyd.data_logic import OMEDataLogic
    from ome_writers_ophyd.output import OMEOutput
    from ome_writers_ophyd.run_metadata import RunMetadata
except ModuleNotFoundError as error:
    if error.name != "ophyd_async":
        raise
    raise ModuleNotFoundError(
        'ome_writers_ophyd needs ophyd-async 0.21 (Python 3.11 or later): pip install "ome-writers[ophyd]"',
        name=error.name,
    ) from error

__all__ = ["OMEDataLogic", "OMEOutput", "RunMetadata"]
