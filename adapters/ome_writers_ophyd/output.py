"""`OMEOutput`: a dataset that one or several detectors write to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ophyd_async.core import PathProvider, SignalR, StreamResourceDataProvider, StreamResourceInfo

from ome_writers import AcquisitionSettings, Camera, Dimension, OMEStream, create_stream
from ome_writers_ophyd.run_metadata import RunMetadata

CAMERA_AXIS = "camera"


class OMEOutput:
    """Creates a dataset when its first detector is prepared, and closes it when its last detector is unstaged.

    If several detectors share an output, each has an image of its own: they may differ in frame size, dtype and number
    of frames. All methods are called on the event loop, which they never block.

    Parameters
    ----------
    path_provider
        Directory and file name of each dataset, called with the data key of the detector that is prepared first.
    dimensions
        The acquisition axes without y and x, slowest first; each collection is stored at the next index. None: those of
        the plan if `run` knows them, otherwise one unbounded axis ``t``.
    run
        Metadata of the current run.
    settings
        Further fields of `AcquisitionSettings`, such as ``format="ome-tiff"`` or ``compression="blosc-zstd"``.

    Attributes
    ----------
    stream
        The `OMEStream` of the current dataset (``stream.view()`` shows it live), None between runs.
    """

    def __init__(
        self,
        path_provider: PathProvider,
        *,
        dimensions: Sequence[Dimension] = (),
        run: RunMetadata | None = None,
        **settings: Any,
    ) -> None:
        if reserved := {"root_path", "dtype"} & settings.keys():
            raise TypeError(
                f"OMEOutput: {' and '.join(sorted(reserved))} cannot be set; path provider and detectors define it."
            )
        self.stream: OMEStream | None = None
        self._path_provider = path_provider
        self._dimensions = dimensions
        self._settings = settings
        self._run = RunMetadata() if run is None else run
        self._detectors: dict[str, Callable[[], Awaitable[Camera]]] = {}
        self._prepared: set[str] = set()
        self._directory_uri = ""
        self._lock = asyncio.Lock()

    def add_detector(self, name: str, describe: Callable[[], Awaitable[Camera]]) -> None:
        """Add a detector; `describe` returns name and frame format, and is called when a dataset is created."""
        if name in self._detectors:
            raise ValueError(
                f"OMEOutput: two detectors are named {name!r}. Pass OMEDataLogic(name=...)."
            )
        self._detectors[name] = describe

    async def prepare(self, detector: str, datakey_name: str) -> OMEStream:
        """Return the stream for a detector's frames; the detector that is prepared first creates it."""
        async with self._lock:
            if self.stream is None:
                in_run = self._run.is_open  # it may end meanwhile
                settings = await self._acquisition_settings(datakey_name)
                self.stream = await asyncio.to_thread(create_stream, settings)
                self._run.attach(self.stream, in_run=in_run)
            self._prepared.add(detector)
            return self.stream

    async def release(self, detector: str) -> None:
        """Close the dataset if no other prepared detector is left; does nothing if `detector` is not prepared."""
        async with self._lock:
            self._prepared.discard(detector)
            if self._prepared or self.stream is None:
                return
            error = RuntimeError("the bluesky run has failed") if self._run.failed else None
            try:  # with an error, the dataset gets the status "failed"
                await asyncio.to_thread(self.stream.__exit__, None, error, None)
            finally:
                self.stream = None

    def index(self, detector: str, collection: int) -> dict[str, int] | None:
        """Return the acquisition index of a detector's n-th collection; None: the next one in order."""
        cameras = list(self._detectors)
        if len(cameras) == 1 or self.stream is None:
            return None
        return self.stream.plan.router.camera_indices(collection, cameras.index(detector))

    def resource_provider(
        self, detector: str, datakey_name: str, written: SignalR[int]
    ) -> StreamResourceDataProvider:
        """Describe a detector's frames to bluesky; `written` is the number of frames that others can read.

        Parameters of the resource: ``dataset`` is the path of the array in the OME-Zarr, or the number of the image in
        the OME-TIFF; a list if there are several stage positions. ``camera`` is the index along the camera axis if
        detectors share the dataset. ``index`` is that of each point of the plan along the axes of the acquisition, of
        which the first one continues when the points repeat. ``is_directory``: whether the URI is that of a directory.
        """
        assert self.stream is not None
        settings, images = self.stream.settings, self.stream.plan.images
        root, schedule = Path(settings.output_path), settings.schedule
        cameras = list(self._detectors)
        levels = [a for a in self.stream.datasets() if images[a.image].camera in ("", detector)]
        arrays = [a for a in levels if a.level == 0]
        first = arrays[0]
        datasets = [
            a.path.relative_to(root).as_posix() if a.path.is_dir() else a.image for a in arrays
        ]
        resource = StreamResourceInfo(
            data_key=datakey_name,
            shape=first.shape[-2:],
            chunk_shape=(first.chunks[0] if len(first.dims) == 3 else 1, *first.chunks[-2:]),
            dtype_numpy=np.dtype(first.dtype).str,
            parameters={
                "dataset": datasets[0] if len(datasets) == 1 else datasets,
                "camera": cameras.index(detector) if len(cameras) > 1 else None,
                "index": None if schedule is None else schedule.indices.tolist(),
                "is_directory": root.is_dir(),
                "join_method": "concat",
            },
        )
        uri = self._directory_uri + root.name
        mimetype = f"application/x-{settings.format.name}"
        return StreamResourceDataProvider(uri, [resource], mimetype, written)

    async def _acquisition_settings(self, datakey_name: str) -> AcquisitionSettings:
        cameras = await asyncio.gather(*(describe() for describe in self._detectors.values()))
        axes, schedule = ([], None) if self._dimensions else self._run.axes()
        dimensions = [*(self._dimensions or [Dimension(name="t", count=None)]), *axes]
        if len(cameras) > 1:
            dimensions.append(Dimension(name=CAMERA_AXIS, type="other", coords=cameras))
        for name, count in (("y", cameras[0].height), ("x", cameras[0].width)):
            dimensions.append(Dimension(name=name, count=count))
        fields: dict[str, Any] = {"format": "ome-zarr", "schedule": schedule, **self._settings}
        fields["dtype"] = cameras[0].dtype
        path = self._path_provider(datakey_name)
        self._directory_uri = path.directory_uri
        root = Path(path.directory_path) / path.filename
        return AcquisitionSettings(root_path=root, dimensions=dimensions, **fields)
