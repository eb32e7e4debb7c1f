"""The entry file of a set: a small TIFF beside the folder of the set, at the output path, that opens as the set.

It contains the OME-XML of the set, with the folder prepended to each file name, as in ``run/run_p000.ome.tiff``. Its
only page is black and is not referenced by TiffData; Bio-Formats reads the size and type of frames from it.
"""

from __future__ import annotations

import html
import re
import struct
import uuid
import zlib
from pathlib import Path

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import library_version
from ome_writers.formats.ome_xml.text import ROOT_UUID, quote_attribute, with_warning
from ome_writers.settings import OmeTiffFormat, dtype_of

_SUFFIXES = (".tiff", ".tif")
_PIXELS = re.compile(rb"<Pixels\b[^>]*>")
_SAMPLES = re.compile(rb'<Channel\b[^>]*?\bSamplesPerPixel="(\d+)"')
_FILE_NAME = re.compile(rb'<UUID FileName="([^"]*)"')
_STRIP_BYTES = 2**16
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}
_FIELD_TYPES = {"s": 2, "H": 3, "I": 4}  # struct code to TIFF field type
_TAG_COUNT = 12


def entry_target(path: Path, *, own: bool = False) -> Path | None:
    """Return the folder that an entry file refers to, whether it exists or not; None for other files.

    With `own`, only if this library wrote the file.
    """
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return None
    from ome_writers.formats.ometiff.first_page import has_own_software_tag, read_ome_xml

    if own and not has_own_software_tag(path):
        return None
    try:
        xml = read_ome_xml(path)
    except (UnsupportedError, OSError):
        return None
    file_name = _FILE_NAME.search(xml)
    if file_name is None or b'Namespace="ome_writers"' not in xml:
        return None
    folder, slash, _ = html.unescape(file_name[1].decode(errors="replace")).partition("/")
    if not slash or folder in ("", ".", "..") or "\\" in folder:
        return None
    return path.with_name(folder)


def find_entry_file(folder: Path) -> Path | None:
    """Return the path of the entry file beside the folder of a set; None if it does not exist."""
    names = {f"{folder.name}{suffix}".lower() for suffix in OmeTiffFormat.suffixes}
    candidates = (path for path in folder.parent.iterdir() if path.name.lower() in names)
    return next((path for path in sorted(candidates) if entry_target(path) == folder), None)


def render_entry_xml(xml: bytes, folder: str) -> bytes:
    """Return the OME-XML of the entry file, given that of a file in the set's `folder`."""
    prefix = b'<UUID FileName="' + quote_attribute(folder)[1:-1].encode() + b"/"
    xml = with_warning(xml).replace(b'<UUID FileName="', prefix)
    return ROOT_UUID.sub(
        lambda match: match[1] + uuid.uuid5(uuid.NAMESPACE_URL, match[2].decode()).urn.encode(),
        xml,
        count=1,
    )


def render_entry_file(xml: bytes, folder: str) -> bytes:
    """Return the content of the entry file, given the OME-XML of a file in the set's `folder`."""
    width, height, samples, dtype = _frame(xml)
    row = width * samples * dtype.itemsize
    rows = max(1, min(height, _STRIP_BYTES // row))
    strips = -(-height // rows)
    full, last = (zlib.compress(bytes(n * row)) for n in (rows, height - rows * (strips - 1)))
    body = full + last
    data = 8 + 2 + 12 * _TAG_COUNT + 4
    tags: list[tuple[int, str, list[int] | bytes]] = [
        (256, "I", [width]),
        (257, "I", [height]),
        (258, "H", [8 * dtype.itemsize] * samples),
        (259, "H", [8]),  # deflate
        (262, "H", [2 if samples > 1 else 1]),  # RGB, or BlackIsZero
        (270, "s", render_entry_xml(xml, folder) + b"\0"),
        # all strips but the last share their data
        (273, "I", [data] * (strips - 1) + [data + len(full)]),
        (277, "H", [samples]),
        (278, "I", [rows]),
        (279, "I", [len(full)] * (strips - 1) + [len(last)]),
        (305, "s", f"ome-writers {library_version()}\0".encode()),
        (339, "H", [_SAMPLE_FORMATS[dtype.kind]] * samples),
    ]
    ifd = struct.pack("<H", _TAG_COUNT)
    for tag, code, values in tags:
        packed = (
            values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{code}", *values)
        )
        if len(packed) > 4:
            body += bytes(len(body) % 2)
            packed, body = struct.pack("<I", data + len(body)), body + packed
        ifd += struct.pack("<HHI", tag, _FIELD_TYPES[code], len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8) + ifd + bytes(4) + body


def _frame(xml: bytes) -> tuple[int, int, int, np.dtype[np.generic]]:
    """Return width, height, samples per pixel and dtype of the first image."""
    pixels = _PIXELS.search(xml)
    assert pixels is not None, "the OME-XML of a set contains at least one image"
    attributes = dict(re.findall(rb'\b(\w+)="([^"]*)"', pixels[0]))
    samples = _SAMPLES.search(xml, pixels.end())
    dtype = np.dtype(dtype_of(attributes[b"Type"].decode()))
    return (
        int(attributes[b"SizeX"]),
        int(attributes[b"SizeY"]),
        int(samples[1]) if samples else 1,
        dtype,
    )
