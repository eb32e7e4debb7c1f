"""Output paths: local paths and ``file://`` URLs; other URLs are refused."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote

from ome_writers.errors import SettingsError

# At least two characters: one is a Windows drive. `pathlib` collapses "//" to "/"; then only known schemes are URLs.
_URL = re.compile(r"[^/\\]{2,}?://")
_REMOTE = (
    "s3a?|gs|gcs|https?|ftps?|sftp|ssh|hdfs|webhdfs|wasbs?|abfss?|adl|az|r2|oci|memory|github|file"
)
_COLLAPSED_URL = re.compile(rf"(?:{_REMOTE}):[/\\]", re.IGNORECASE)
_DRIVE = re.compile(r"/[A-Za-z][:|](?=/|$)")

_FOREIGN_ENDINGS = re.compile(
    r"\.(?:png|jpe?g|jp2|jpx|j2k|gif|bmp|webp|svg|pdf|avi|mov|mp4|mkv"  # images and videos
    r"|nd2|czi|lif|lof|lsm|oib|oif|oir|vsi|ets|ims|sld|stk|zvi|dv|r3d|mrcs?|dm3|dm4|spe|sif|scn|svs|ndpi|mvd2"
    r"|nrrd|nhdr|nii|mha|mhd|dcm|dicom|fits?|klb|n5|bdv"
    r"|h5|hdf5?|nc|npy|npz|mat)",
    re.IGNORECASE,
)


def read_root_path(value: Any, *, windows: bool = os.name == "nt") -> Any:
    """Return a root path as a string; a ``file://`` URL becomes a local path, other types are returned unchanged.

    ``~`` and ``~user`` at the beginning become a home folder. `windows` is whether to accept drives and network shares.

    Raises SettingsError if the path is a URL with another scheme or host, or the root of a file system.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        return path
    if _URL.match(path) or _COLLAPSED_URL.match(path):
        scheme, _, rest = path.partition(":")
        if scheme.lower() != "file":
            hint = " For frames in memory, use format='scratch'." if scheme == "memory" else ""
            raise SettingsError(
                f"root_path {path!r} is a URL, and ome-writers writes to local paths only. Write to a local path with "
                f"mirror={path!r}, which uploads the dataset meanwhile, or run `ome-writers upload` later.{hint}"
            )
        path = _local(path, rest, windows=windows)
    if path.startswith("~"):
        path = os.path.expanduser(path)
    if path and not path.strip("/\\" if windows else "/"):
        raise SettingsError(
            f"root_path {path!r} is the root of a file system and cannot become a dataset. "
            f"Add a name, as in {path + 'run.ome.zarr'!r}."
        )
    return path


def foreign_ending(path: str) -> str:
    """Return the suffix of a path if it belongs to an image format that this library does not write, otherwise ""."""
    ending = os.path.splitext(path.rstrip("/" + os.sep))[1]
    return ending if _FOREIGN_ENDINGS.fullmatch(ending) else ""


def _local(url: str, rest: str, *, windows: bool) -> str:
    """Return the local path of a ``file:`` URL; `rest` is the part after the scheme."""
    host, rest = "", rest.replace("\\", "/") if windows else rest
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        rest = slash + rest
    path = unquote(rest)
    if windows and _DRIVE.match(f"/{host}"):  # file://C:/x, with one slash too few
        host, path = "", f"/{host}{path}"
    if host.lower() not in ("", "localhost"):
        if not windows:
            raise SettingsError(
                f"root_path {url!r} names the host {host!r}, and ome-writers writes to local paths only. "
                f"Write file:///{host}{rest} if {host!r} is a folder, or mount that host's disk."
            )
        return f"//{host}{path}"
    if windows and _DRIVE.match(path):
        path = f"{path[1]}:{path[3:] or '/'}"
    return path
