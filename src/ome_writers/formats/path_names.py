"""Safe, distinct path components from user-given names; the original names stay in the metadata."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import PureWindowsPath

from ome_writers.errors import SettingsError

if sys.platform == "win32":
    from ome_writers.windows_api import are_long_paths_enabled


_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff<>:"/\\|?*]')
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
# File systems allow 255 bytes; the rest is for the numbers of `make_distinct` and affixes of temporary files.
_MAX_BYTES = 200
_INVALID_ON_WINDOWS = re.compile(r'[\x00-\x1f<>:"|?*]')
_MAX_WINDOWS_PATH = 259  # characters, unless long paths are enabled
_CHUNK_NAME_LENGTH = 40  # below an array, and of temporary files


def path_component(name: str) -> str:
    """Return `name` as one path component that is valid on Linux, macOS and Windows.

    Replaces separators, ``..``, control characters, reserved Windows names, and leading and trailing dots and spaces.
    Long names are truncated at a character boundary. Other characters stay.

    Examples
    --------
    >>> path_component("../a/b"), path_component("CON"), path_component(" x. ")
    ('_a_b', '_CON', 'x')
    """
    safe = unicodedata.normalize("NFC", _UNSAFE.sub("_", name)).strip(". ")
    safe = safe.encode()[:_MAX_BYTES].decode("utf-8", "ignore").strip(". ")
    if not safe or safe.split(".")[0].rstrip(" ").upper() in _RESERVED:
        safe = f"_{safe}"
    return safe


def alphanumeric_component(name: str, default: str) -> str:
    """Return the ASCII letters and digits of `name`, the only characters that NGFF allows in a plate's paths.

    A name without any becomes `default`; a reserved Windows name gets `default` as prefix.

    Examples
    --------
    >>> [alphanumeric_component(name, "row") for name in ("Row 1", "CON", "é")]
    ['Row1', 'rowCON', 'row']
    """
    safe = re.sub("[^A-Za-z0-9]", "", name)[:_MAX_BYTES]
    return f"{default}{safe}" if not safe or safe.upper() in _RESERVED else safe


def check_output_path(path: str, keys: Iterable[str]) -> None:
    """Raise SettingsError if Windows would not store a dataset with these keys at an absolute path."""
    if sys.platform == "win32":
        longest_key = max(map(len, keys), default=0) + _CHUNK_NAME_LENGTH
        problem = invalid_on_windows(
            path, longest_key=0 if are_long_paths_enabled() else longest_key
        )
        if problem:
            raise SettingsError(
                f"{path} cannot be used on Windows: {problem}. Choose another root_path."
            )


def invalid_on_windows(path: str, *, longest_key: int = 0) -> str:
    """Return why Windows cannot store a dataset at this path, or would store it somewhere else; "" if it can.

    Device names and colons are not errors there: ``NUL.ome.tiff`` discards what is written to it, and ``a:b.ome.tiff``
    is a stream that is hidden in the file ``a``.

    `longest_key` is the number of characters below `path` that must fit into a path of 259 characters; 0 if paths may
    be longer.

    Examples
    --------
    >>> invalid_on_windows("C:/data/NUL.ome.tiff"), invalid_on_windows("//server/share/run.ome.zarr")
    ("'NUL.ome.tiff' is the name of a device", '')
    """
    parts = PureWindowsPath(path)
    if parts.drive.startswith(("\\\\?\\", "\\\\.\\")):
        return "extended and device paths are not supported; for long paths, enable long paths in Windows"
    for name in parts.parts[1 if parts.anchor else 0 :]:
        if name == "..":
            continue
        if match := _INVALID_ON_WINDOWS.search(name):
            return f"{name!r} contains {match[0]!r}"
        if name.endswith((".", " ")):
            return f"{name!r} ends with a dot or a space, which Windows removes"
        if name.split(".")[0].rstrip(" ").upper() in _RESERVED:
            return f"{name!r} is the name of a device"
    length = len(str(parts)) + longest_key
    if longest_key and length > _MAX_WINDOWS_PATH:
        return f"its files have paths of up to {length} characters, and long paths are not enabled"
    return ""
