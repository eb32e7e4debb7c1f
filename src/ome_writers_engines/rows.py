"""The rows of the engines, each an entry point of the group ``ome_writers.engines``. No library is imported here."""

from __future__ import annotations

from ome_writers.storage import EngineRow  # the documented place, which a write has loaded

_BLOSC = frozenset({"blosc-zstd", "blosc-lz4", "blosc-zstd-bitshuffle", "blosc-lz4-bitshuffle"})
_LIBRARY_CODECS = _BLOSC | {"zstd", "gzip", "none"}
_ACQUIRE_DTYPES = frozenset(
    {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
    | {"float32", "float64"}
)
_ZARR_PYTHON_NAMES = (
    r"(?P<target>[0-9]+|zarr\.json)\.[0-9a-f]{32}\.partial",
    r"\.(?P<target>stage)\.tmp",  # where it assembles what is moved into the dataset
)

TENSORSTORE = EngineRow(
    name="tensorstore",
    format="ome-zarr",
    module="ome_writers_engines.tensorstore",
    opener="open_engine",
    priority=40,
    requires=("tensorstore",),
    extra="tensorstore",
    any_path=False,
    compressions=_LIBRARY_CODECS,
    checksums=True,
    omits_zeros=True,
    temporary_names=(r"(?P<target>[0-9]+|zarr\.json)\.__lock",),
)
ACQUIRE_ZARR = EngineRow(
    name="acquire-zarr",
    format="ome-zarr",
    module="ome_writers_engines.acquire_zarr",
    opener="AcquireEngine",
    priority=30,
    requires=("acquire_zarr",),
    extra="acquire-zarr",
    any_path=False,
    ansi_paths=True,
    compressions=_BLOSC | {"zstd", "none"},
    dtypes=_ACQUIRE_DTYPES,
    oldest=("acquire-zarr", (0, 10)),
    random_access=False,
    ragged=False,
    live=False,
    survives_kill=False,
    survives_power_loss=False,
)
ZARRS_PYTHON = EngineRow(
    name="zarrs-python",
    format="ome-zarr",
    module="ome_writers_engines.zarr_python",
    opener="open_zarrs_engine",
    priority=20,
    requires=("zarr", "zarrs"),
    extra="zarrs-python",
    any_path=False,
    compressions=_LIBRARY_CODECS,
    checksums=True,
    oldest=("zarr", (3, 1)),
    python=(3, 11),
    omits_zeros=True,
    temporary_names=_ZARR_PYTHON_NAMES,
)
ZARR_PYTHON = EngineRow(
    name="zarr-python",
    format="ome-zarr",
    module="ome_writers_engines.zarr_python",
    opener="open_engine",
    priority=10,
    requires=("zarr",),
    extra="zarr-python",
    compressions=_LIBRARY_CODECS,
    checksums=True,
    oldest=("zarr", (3, 1)),
    python=(3, 11),
    omits_zeros=True,
    temporary_names=_ZARR_PYTHON_NAMES,
)
