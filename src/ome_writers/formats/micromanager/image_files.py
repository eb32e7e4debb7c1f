"""Folders of Micro-Manager with one TIFF file per image and metadata in ``metadata.txt``.

Each position is a folder. Names of files contain the coordinates: ``img_channel001_position000_time000000002_z003.tif``
(2.0) or ``img_000000002_DAPI_003.tif`` (1.4: time, channel, z). https://micro-manager.org/Micro-Manager_File_Formats
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError
from ome_writers.formats.complete_pixels import CompletePixels
from ome_writers.formats.micromanager.acquisition import (
    Acquisition,
    Coordinates,
    describe,
    frame_metadata,
)
from ome_writers.formats.ometiff.tiff_pages import TiffPages
from ome_writers.formats.ometiff.tiff_structure import open_tiff
from ome_writers.formats.registry import FormatRow, read_only_settings
from ome_writers.untrusted import Limit, read_regular

Json = dict[str, Any]

_METADATA = "metadata.txt"
_NAME = re.compile(r"img(?:_(?:channel|position|time|z)\d{3,9})+\.tif")
_COORDINATE = re.compile(r"_(channel|position|time|z)(\d+)")
_NAME_1_4 = re.compile(r"img_(\d{9})_(.*)_(\d{3,9})\.tif")
_KEY = re.compile(r'[\s,]*("(?:[^"\\]|\\.)*")\s*:\s*')
_WIDTH, _LENGTH, _BITS, _SAMPLES, _FORMAT = 256, 257, 258, 277, 339


def is_image_files(path: Path) -> bool:
    return path.is_dir() and any(
        _coordinates(name) for folder in _position_folders(path) for name in os.listdir(folder)
    )


def parse(path: Path) -> DatasetSpec:
    return read_image_files(path).spec


def read_image_files(path: Path) -> Acquisition[Path]:
    """Return what the files in a folder contain, also if its metadata lists only some of them."""
    folders = _position_folders(path)
    frames: list[tuple[Coordinates, Path]] = []
    summary: Json = {}
    first: dict[Path, Json] = {}
    for number, folder in enumerate(folders):
        first[folder] = {} if folder == path else {"PositionName": folder.name}
        for key, value in _entries(folder / _METADATA, path):
            if key == "Summary":
                summary = summary or value
            elif _file_name(key, value):
                first[folder].update(value)
                break
        index = first[folder].get("PositionIndex")
        position = (
            {"position": index if isinstance(index, int) else number} if len(folders) > 1 else {}
        )
        frames += [
            ({**position, **coordinates}, folder / name)
            for name in sorted(os.listdir(folder))
            if (coordinates := _coordinates(name))
        ]
    shape, dtype = _frame_type(frames[0][1], path)
    return describe(
        path, "micro-manager", frames, summary, lambda file: first[file.parent], shape, dtype
    )


def read_frames(path: Path) -> list[tuple[int, list[Json]]]:
    """Return the metadata of each image."""
    found: list[tuple[int, list[Json]]] = []
    for number, frames in enumerate(read_image_files(path).frames):
        by_file: dict[str, Json] = {}
        for folder in {file.parent for file in frames.values()}:
            for key, value in _entries(folder / _METADATA, path):
                if name := _file_name(key, value):
                    by_file[name] = value
        found.append(
            (
                number,
                [
                    frame_metadata(by_file.pop(file.name, {}), index)
                    for index, file in frames.items()
                ],
            )
        )
    return found


def _position_folders(path: Path) -> list[Path]:
    """Return the folders with a metadata file: `path` itself, or those in it."""
    if (path / _METADATA).is_file():
        return [path]
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [path / name for name in names if (path / name / _METADATA).is_file()]


def _coordinates(name: str) -> dict[str, int | str]:
    """Return the coordinates in the name of an image file; empty for other files."""
    if match := _NAME_1_4.fullmatch(name):
        return {"time": int(match[1]), "channel": match[2], "z": int(match[3])}
    return {k: int(v) for k, v in _COORDINATE.findall(name)} if _NAME.fullmatch(name) else {}


def _entries(file: Path, root: Path) -> Iterator[tuple[str, Json]]:
    """Yield the members of the JSON object in a metadata file; those before the end if it is truncated."""
    text = read_regular(file, Limit.XML, root=root).decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    position = text.find("{") + 1
    while match := _KEY.match(text, position):
        try:
            value, position = decoder.raw_decode(text, match.end())
        except ValueError:  # Micro-Manager was killed
            return
        if isinstance(value, dict):
            yield json.loads(match[1]), value


def _file_name(key: str, value: Json) -> str:
    """Return the file whose metadata an entry contains; empty for other entries."""
    if key.startswith("FrameKey-"):  # 1.4
        return str(value.get("FileName", ""))
    return re.split(r"[/\\]", key)[-1] if key.startswith("Metadata-") else ""


def _frame_type(file: Path, root: Path) -> tuple[tuple[int, ...], str]:
    """Return shape, (y, x) or (y, x, samples), and dtype of an image file."""
    with open_tiff(file, root=root) as tiff:
        entries = tiff.directory(tiff.first).entries
        tags = (_LENGTH, _WIDTH, _SAMPLES, _BITS, _FORMAT)
        values = [tiff.integers(entries.get(tag)).tolist() for tag in tags]
    (height, width, samples, bits), kind = (
        (int(v[0]) if v else 1 for v in values[:4]),
        values[4][:1],
    )
    dtype = f"{'f' if kind == [3] else 'u'}{bits // 8}"
    if dtype not in ("u1", "u2", "u4", "f4"):
        raise InvalidFileError(
            f"{file} has {bits} bits per sample, which Micro-Manager does not write."
        )
    return (height, width, *(samples,) * (samples > 1)), np.dtype(dtype).name


def open_pixels(path: Path, _cache_bytes: int = 0) -> CompletePixels:
    """Return the images of a folder with one TIFF file each."""

    def read(file: Path) -> NDArray[np.generic] | None:
        with closing(TiffPages(file, path)) as pages:
            return pages.page(0)

    return read_image_files(path).pixels(read)


IMAGE_FILES = FormatRow(
    settings=read_only_settings("micro-manager", "Micro-Manager image files"),
    recognizes=is_image_files,
    parse=parse,
    frame_metadata=read_frames,
    open_pixels=open_pixels,
)
