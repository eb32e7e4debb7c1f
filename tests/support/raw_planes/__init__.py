"""A format of another package: a directory with one JSON file, and the planes of each image in one raw file.

Third-party packages have such a folder, and name its row in the entry point group ``ome_writers.formats``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ome_writers.formats import FormatRow
from ome_writers.settings import FormatSettings
from ome_writers.storage import EngineRow
from support.raw_planes.dataset import (
    Pixels,
    RawPlanesMetadata,
    check,
    find_problems,
    is_startup_file,
    lay_out,
    owned_files,
    parse,
    read_frames,
    recognizes,
)


class RawPlanesFormat(FormatSettings):
    """Uncompressed planes in C order."""

    title: ClassVar[str] = "raw planes"
    suffixes: ClassVar[tuple[str, ...]] = (".planes",)

    name: Literal["raw-planes"] = "raw-planes"
    backend: str = "auto"
    suffix: str = ".planes"


ROW = FormatRow(
    settings=RawPlanesFormat,
    lay_out=lay_out,
    create_metadata=RawPlanesMetadata,
    recognizes=recognizes,
    owned_files=owned_files,
    is_startup_file=is_startup_file,
    parse=parse,
    frame_metadata=read_frames,
    open_pixels=Pixels,
    find_problems=find_problems,
    check=check,
    version="1.0",
    engines=(
        EngineRow(
            name="raw-files",
            format="raw-planes",
            module="ome_writers.storage.scratch",  # also one raw file per image
            opener="ScratchEngine",
            requires=(),
            extra=None,
            compressions=frozenset({"none"}),
            sharding=False,
            live=False,
        ),
    ),
)
