"""`OMEOutput`: a dataset that one or several detectors write to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import AcquisitionSettings, ArraySpec, Camera, Dimension, OMEStream, create_stream

if TYPE_CHECKING:
    from ophyd_async.core import PathProvider

    from ome_writers_ophyd.plan_axes import PlanAxes
    from ome_writers_ophyd.run_metadata import RunMetadata

#: Media types in StreamResource documents, by name of the format.
MIMETYPES = {"ome-zarr": "application/x-ome-zarr", "ome-tiff": "application/x-ome-tiff"}

CAMERA_AXIS = "camera"


@dataclass(frozen=True)
class FrameFormat:
    """Height and width in pixels, and numpy's name of the dtype, of a detector's frames."""

    height: int
    width: int
    dtype: str


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
        self._run = run
        self._detectors: dict[str, Callable[[], Awaitable[FrameFormat]]] = {}
        self._prepared: set[str] = set()
        self._axes: tuple[Dimension, ...] = ()
        self._plan: PlanAxes | None = None
        self._directory_uri = ""
        self._lock = asyncio.Lock()

    def add_detector(self, name: str, frame_format: Callable[[], Awaitable[FrameFormat]]) -> None:
        """Add a detector, whose frame format is read when a dataset is created."""
        if name in self._detectors:
            raise ValueError(
                f"OMEOutput: two detectors are named {name!r}. Pass OMEDataLogic(name=...)."
            )
        self._detectors[name] = frame_format

    async def prepare(self, detector: str, datakey_name: str) -> OMEStream:
        """Return the stream for a detector's frames; the detector that is prepared first creates it."""
        async with self._lock:
            if self.stream is None:
                settings = await self._acquisition_settings(datakey_name)
                self.stream = await asyncio.to_thread(create_stream, settings)
                if self._run is not None:
                    self._run.attach(self.stream)
            self._prepared.add(detector)
            return self.stream

    async def release(self, detector: str) -> None:
        """Close the dataset if no other prepared detector is left; does nothing if `detector` is not prepared."""
        async with self._lock:
            was_prepared = detector in self._prepared
            self._prepared.discard(detector)
            if self._prepared or self.stream is None or not was_prepared:
                return
            failure = None if self._run is None else self._run.failure
            try:
                if failure is None:
                    await asyncio.to_thread(self.stream.close)
                else:  # gives the dataset the status "failed"
                    await asyncio.to_thread(self.stream.__exit__, type(failure), failure, None)
            finally:
                self.stream = None

    def index(self, detector: str, collection: int) -> dict[str, int] | None:
        """Return the acquisition index of a detector's n-th collection; None: the next one in order."""
        index: dict[str, int] = {}
        if self._plan is not None:  # the points of the plan, again at each t
            t, point = divmod(collection, len(self._plan.indices))
            index = {"t": t, **self._plan.indices[point]}
        elif len(self._detectors) > 1:
            counts = [axis.count or collection + 1 for axis in self._axes]
            if collection >= math.prod(counts):
                axes = ", ".join(f"{axis.name}: {axis.count}" for axis in self._axes)
                raise IndexError(
                    f"{detector}: more frames than the dimensions ({axes}) define. Use an unbounded first dimension."
                )
            numbers = np.unravel_index(collection, counts)
            index = {axis.name: int(n) for axis, n in zip(self._axes, numbers, strict=True)}
        if len(self._detectors) > 1:
            index[CAMERA_AXIS] = list(self._detectors).index(detector)
        return index or None

    def arrays(self, detector: str) -> list[ArraySpec]:
        """Return the full-resolution arrays of a detector's frames: one, or one per stage position."""
        assert self.stream is not None
        images = self.stream.plan.images
        return [
            array
            for array in self.stream.datasets()
            if array.level == 0 and images[array.image].camera in ("", detector)
        ]

    @property
    def uri(self) -> str:
        """URI of the current dataset, below the directory URI of the path provider."""
        assert self.stream is not None
        return self._directory_uri + Path(self.stream.settings.output_path).name

    def resource_parameters(self, detector: str) -> dict[str, Any]:
        """Return parameters of a StreamResource.

        ``dataset``: path of the array in the OME-Zarr, or number of the image in the OME-TIFF; a list if there are
        several stage positions. ``camera``: index along the camera axis if detectors share the dataset.
        ``index``: the index of each point of the plan, if frames are not stored in order along ``t``.
        """
        assert self.stream is not None
        root = Path(self.stream.settings.output_path)
        datasets = [
            a.path.relative_to(root).as_posix() if a.path.is_dir() else a.image
            for a in self.arrays(detector)
        ]
        names = list(self._detectors)
        return {
            "dataset": datasets[0] if len(datasets) == 1 else datasets,
            "camera": names.index(detector) if len(names) > 1 else None,
            "index": list(self._plan.indices) if self._plan is not None else None,
            "join_method": "concat",
        }

    @property
    def mimetype(self) -> str:
        """Media type of the current dataset."""
        assert self.stream is not None
        return MIMETYPES[self.stream.settings.format.name]

    async def _acquisition_settings(self, datakey_name: str) -> AcquisitionSettings:
        formats = await asyncio.gather(*(read() for read in self._detectors.values()))
        self._plan = self._run.axes() if self._run is not None and not self._dimensions else None
        axes = self._dimensions or [Dimension(name="t", count=None)]
        self._axes = (*axes, *(self._plan.dimensions if self._plan is not None else ()))
        dimensions = [*self._axes]
        if len(formats) > 1:
            cameras = [
                Camera(
                    name=name, height=f.height, width=f.width, dtype=f.dtype, separate_image=True
                )
                for name, f in zip(self._detectors, formats, strict=True)
            ]
            dimensions.append(Dimension(name=CAMERA_AXIS, type="other", coords=cameras))
        for name, count in (("y", formats[0].height), ("x", formats[0].width)):
            dimensions.append(Dimension(name=name, count=count))
        path = self._path_provider(datakey_name)
        self._directory_uri = path.directory_uri
        fields = {"format": "ome-zarr", **self._settings}
        suffix = AcquisitionSettings(root_path=".ome.zarr", format=fields["format"]).format.suffix
        root = Path(path.directory_path) / f"{path.filename}{suffix}"
        return AcquisitionSettings(
            root_path=root, dimensions=dimensions, dtype=formats[0].dtype, **fields
        )
