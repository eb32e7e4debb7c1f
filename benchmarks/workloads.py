"""The table of the workloads W1-W12, and P1-P4 with resolution levels, with their targets."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.workload import Axis, Bound, Target, Workload

ACQUIRE = "peer-acquire-zarr"
ANY_PEER = "peer-*,0.3.2-*"
PUBLIC = "0.3.2-tensorstore"

SMALL = Workload(
    id="W1",
    title="10,000 frames of 128x128, shards of 500 frames",
    axes=(Axis("t", 10_000, shard=500),),
    height=128,
    width=128,
    targets=(Target("limit", 1.0), Target(ACQUIRE, 7.0), Target(PUBLIC, 150.0)),
    quick=1000,
)
LARGE = Workload(
    id="W2",
    title="150 frames of 2048x2048, shards of 25 frames",
    axes=(Axis("t", 150, shard=25),),
    height=2048,
    width=2048,
    targets=(Target("limit", 0.85), Target(ACQUIRE, 2.0), Target(PUBLIC, 7.0)),
    quick=25,
)
LARGE_FILES = replace(
    LARGE,
    id="W3",
    title="150 frames of 2048x2048, one file per frame",
    axes=(Axis("t", 150),),
    limit="file-per-frame",
    targets=(Target("limit", 0.9), Target(ANY_PEER, 1.0)),
    quick=10,
)
CODEC = replace(LARGE_FILES, limit="codec", quick=6)
STACK = Workload(
    id="W6",
    title="160 frames of 1024x1024, chunks of 16x256x256",
    axes=(Axis("t", 160, chunk=16),),
    height=1024,
    width=1024,
    tile=(256, 256),
    limit="file-per-frame",
    targets=(Target("limit", 0.6), Target(ANY_PEER, 1.5)),
    quick=32,
)
POSITIONS = Workload(
    id="W8-collection",
    title="1,536 positions x 2 channels x 256x256, a collection",
    axes=(Axis("p", 1536), Axis("c", 2)),
    height=256,
    width=256,
    layout="collection",
    measure="create",
    limit="none",
    bounds=(Bound("create_s", 2.0),),
    quick=24,
)
TILES = replace(
    LARGE,
    id="W4-sharded",
    title="150 frames of 2048x2048 in chunks of 512x512, shards of 10 frames",
    axes=(Axis("t", 150, shard=10),),
    tile=(512, 512),
    targets=(Target("limit", 0.8), Target(ANY_PEER, 2.0)),
    quick=20,
)
TIFF = Workload(
    id="W9",
    title="OME-TIFF, 150 frames of 2048x2048",
    axes=(Axis("t", 150),),
    height=2048,
    width=2048,
    format="tiff",
    targets=(Target("limit", 0.85), Target(ANY_PEER, 1.0)),
    quick=10,
)
CAMERA = Workload(
    id="W12",
    title="demo camera, hardware-sequenced, 8,000 frames of 512x512, OME-Zarr",
    axes=(Axis("t", 8000),),
    height=512,
    width=512,
    measure="camera",
    limit="no-output",
    targets=(Target("limit", 0.95), Target(ANY_PEER, 1.0)),
    quick=50,
)

WORKLOADS: tuple[Workload, ...] = (
    SMALL,
    LARGE,
    LARGE_FILES,
    replace(
        LARGE_FILES,
        id="W3-small",
        title="5,000 frames of 128x128, one file per frame",
        axes=(Axis("t", 5000),),
        height=128,
        width=128,
        quick=500,
    ),
    replace(
        TIFF,
        id="W9-planes",
        title="OME-TIFF, 100,000 planes of 16x16 with six metadata values each",
        axes=(Axis("t", 100_000),),
        height=16,
        width=16,
        metadata=True,
        targets=(),
        bounds=(Bound("close_s", 10.0),),
        quick=2000,
        ours_only=True,
        max_rounds=2,
    ),
    replace(
        LARGE_FILES,
        id="W4",
        title="150 frames of 2048x2048 in chunks of 512x512",
        tile=(512, 512),
        targets=(Target("limit", 0.8), Target(ANY_PEER, 1.0)),
    ),
    TILES,
    replace(
        CODEC,
        id="W5-lz4",
        title="150 frames of 2048x2048, blosc-lz4",
        compression="blosc-lz4",
    ),
    replace(
        CODEC,
        id="W5-blosc-zstd",
        title="60 frames of 2048x2048, blosc-zstd",
        axes=(Axis("t", 60),),
        compression="blosc-zstd",
    ),
    replace(
        CODEC,
        id="W5-zstd",
        title="40 frames of 2048x2048, zstd",
        axes=(Axis("t", 40),),
        compression="zstd",
    ),
    STACK,
    replace(
        STACK,
        id="W6-transposed",
        title="160 frames of 1024x1024 arriving t z c, stored t c z in chunks of 16x256x256",
        axes=(Axis("t", 5), Axis("z", 16, chunk=16), Axis("c", 2)),
        stored=("t", "c", "z"),
        quick=1,
    ),
    replace(
        SMALL,
        id="W7",
        title="W1 with six metadata values per frame",
        metadata=True,
        targets=(Target("limit", 1 / 1.5),),
    ),
    replace(
        SMALL,
        id="W7-million",
        title="1,000,000 frames of 16x16 with six metadata values each",
        axes=(Axis("t", 1_000_000, shard=500),),
        height=16,
        width=16,
        metadata=True,
        targets=(),
        bounds=(Bound("close_s", 5.0), Bound("growth_mib", 150.0)),
        quick=2000,
        ours_only=True,
        max_rounds=2,
    ),
    POSITIONS,
    replace(
        POSITIONS,
        id="W8-plate",
        title="1,536 wells x 2 channels x 256x256, a plate",
        layout="plate",
    ),
    replace(
        POSITIONS,
        id="W8-companion",
        title="1,536 positions x 2 channels x 256x256, OME-TIFF with a companion file",
        format="tiff",
        tiff_metadata="companion-file",
        bounds=(Bound("create_s", 1.0),),
    ),
    replace(
        POSITIONS,
        id="W8-master",
        title="1,536 positions x 2 channels x 256x256, OME-TIFF with a master file",
        format="tiff",
        tiff_metadata="master-tiff",
        bounds=(Bound("create_s", 1.0),),
    ),
    replace(
        POSITIONS,
        id="W8-redundant",
        title="96 positions x 2 channels x 256x256, OME-TIFF, redundant metadata",
        axes=(Axis("p", 96), Axis("c", 2)),
        format="tiff",
        bounds=(Bound("create_s", 0.5),),
    ),
    TIFF,
    replace(
        TIFF,
        id="W9-small",
        title="OME-TIFF, 5,000 frames of 128x128",
        axes=(Axis("t", 5000),),
        height=128,
        width=128,
        quick=500,
    ),
    replace(
        LARGE,
        id="W10",
        title="20 GB through a disk slowed to 100 MB/s",
        axes=(Axis("t", 2400, shard=25),),
        measure="memory",
        targets=(),
        bounds=(Bound("growth_mib", 256 + 64),),
        quick=50,
        bytes_per_second=100e6,
        memory_limit=3 << 30,
        max_rounds=1,
    ),
    replace(
        LARGE,
        id="W11",
        title="append latency at a steady 100 frames/s of 2048x2048",
        axes=(Axis("t", 1000, shard=25),),
        measure="latency",
        limit="memcpy",
        targets=(Target("limit", 0.5),),
        bounds=(Bound("p99_9_us", 10_000),),
        quick=50,
        frames_per_second=100.0,
    ),
    CAMERA,
    replace(
        CAMERA,
        id="W12-large",
        title="demo camera, hardware-sequenced, 600 frames of 2048x2048, OME-Zarr",
        axes=(Axis("t", 600),),
        height=2048,
        width=2048,
        targets=(Target("limit", 0.7), Target(ANY_PEER, 1.0)),
        quick=20,
    ),
    replace(
        CAMERA,
        id="W12-tiff",
        title="demo camera, hardware-sequenced, 8,000 frames of 512x512, OME-TIFF",
        format="tiff",
    ),
    replace(
        CAMERA,
        id="W12-tiff-large",
        title="demo camera, hardware-sequenced, 600 frames of 2048x2048, OME-TIFF",
        axes=(Axis("t", 600),),
        height=2048,
        width=2048,
        format="tiff",
        targets=(Target("limit", 0.7), Target(ANY_PEER, 1.0)),
        quick=20,
    ),
    replace(
        LARGE,
        id="I1",
        title="W2 with a checksum of each chunk",
        checksum=True,
        limit="no-checksum",
        targets=(Target("limit", 0.95),),
        ours_only=True,
    ),
    replace(
        TILES,
        id="I1-tiles",
        title="W4-sharded with a checksum of each chunk",
        checksum=True,
        limit="no-checksum",
        targets=(Target("limit", 0.95),),
        ours_only=True,
    ),
    replace(
        LARGE,
        id="I1-blosc-zstd",
        title="60 frames of 2048x2048, blosc-zstd, with a checksum of each chunk",
        axes=(Axis("t", 60, shard=25),),
        compression="blosc-zstd",
        checksum=True,
        limit="no-checksum",
        targets=(Target("limit", 0.99),),
        ours_only=True,
    ),
    replace(
        CODEC,
        id="C3-lz4",
        title="150 frames of 2048x2048, blosc-lz4-bitshuffle",
        compression="blosc-lz4-bitshuffle",
        targets=(Target("limit", 0.9),),
        ours_only=True,
    ),
    replace(
        CODEC,
        id="C3-zstd",
        title="60 frames of 2048x2048, blosc-zstd-bitshuffle",
        axes=(Axis("t", 60),),
        compression="blosc-zstd-bitshuffle",
        targets=(Target("limit", 0.9),),
        ours_only=True,
    ),
    replace(
        CODEC,
        id="C3-large-lz4",
        title="12 frames of 14192x10640, blosc-lz4-bitshuffle, chunks of 2048x2048",
        axes=(Axis("t", 12),),
        height=10640,
        width=14192,
        tile=(2048, 2048),
        compression="blosc-lz4-bitshuffle",
        targets=(Target("limit", 0.9), Target("peer-tensorstore", 1.0)),
        quick=2,
    ),
    replace(
        CODEC,
        id="C3-large-zstd",
        title="8 frames of 14192x10640, blosc-zstd-bitshuffle, chunks of 2048x2048",
        axes=(Axis("t", 8),),
        height=10640,
        width=14192,
        tile=(2048, 2048),
        compression="blosc-zstd-bitshuffle",
        targets=(Target("limit", 0.9), Target("peer-tensorstore", 1.0)),
        quick=2,
    ),
    replace(
        LARGE,
        id="P1",
        title="W2 with resolution levels of means",
        pyramid=("y", "x"),
        limit="no-levels",
        targets=(Target("limit", 1 / 1.35), Target(ACQUIRE, 3.0)),
    ),
    replace(
        TILES,
        id="P2",
        title="W4-sharded with resolution levels of means",
        pyramid=("y", "x"),
        limit="no-levels",
        targets=(Target("limit", 1 / 1.5),),
    ),
    replace(
        TILES,
        id="P2-z",
        title="5 stacks of 30 frames of 2048x2048 in chunks of 512x512, with levels along z, y and x",
        axes=(Axis("t", 5, shard=1), Axis("z", 30, shard=10)),
        pyramid=("z", "y", "x"),
        limit="no-levels",
        targets=(Target("limit", 1 / 1.5),),
        quick=1,
    ),
    replace(
        TIFF,
        id="P3",
        title="W9 with resolution levels of means",
        pyramid=("y", "x"),
        limit="no-levels",
        targets=(Target("limit", 1 / 1.4),),
    ),
    replace(
        LARGE,
        id="P4",
        title="add_pyramid: levels of means of 1,200 frames of 2048x2048",
        axes=(Axis("t", 1200, shard=25),),
        pyramid=("y", "x"),
        measure="add-levels",
        limit="read-and-write",
        targets=(Target("limit", 1 / 1.5),),
        bounds=(Bound("growth_mib", 1e9 / 2**20),),
        max_rounds=3,
    ),
)


def select(names: list[str]) -> list[Workload]:
    """Return the workloads of `names` in table order; all of them for an empty list.

    Raises
    ------
    ValueError
        If a name matches no workload.
    """
    if not names:
        return list(WORKLOADS)
    for name in names:
        if not any(_matches(name, workload) for workload in WORKLOADS):
            known = " ".join(workload.id for workload in WORKLOADS)
            raise ValueError(f"no workload matches {name!r}. Choose from {known}.")
    return [w for w in WORKLOADS if any(_matches(name, w) for name in names)]


def _matches(name: str, workload: Workload) -> bool:
    return workload.id == name or workload.id.startswith(f"{name}-")
