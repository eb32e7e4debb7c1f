"""Comparison of the objects of a copy with the files of the dataset, by content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from ome_writers.toolkit import share
from ome_writers_tools.mirroring.checksums import file_checksum

if TYPE_CHECKING:
    from ome_writers.toolkit import Background, MovedFile
    from ome_writers_tools.mirroring.checksums import ObjectVersion
    from ome_writers_tools.mirroring.dataset_files import DatasetFile
    from ome_writers_tools.mirroring.store_copy import StoreCopy


def verify(
    copy: StoreCopy,
    files: Collection[DatasetFile],
    objects: Mapping[str, ObjectVersion],
    background: Background,
    *,
    before_removal: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Compare the content of each object with its file, in `background`; return what differs, by key.

    Nothing is called complete, and no file is removed, without an empty result. `objects` is a list from the store that
    is newer than the last upload. An object is proven by its size and by an ETag in that list that equals the checksum
    of the file, since the store has computed it. Other ETags prove nothing: the object is read back, once per version
    and instance of `copy`.

    The checksum of a file that was not changed since it was sent is that of the journal. With `before_removal`, it is
    computed again unless the file was sent by this instance of `copy`, and objects in a local folder are synced and
    read back in any case. The comparison ends early when `stopped` returns True.

    Raises UploadError if a file or an object could not be read.
    """
    problems: dict[str, str] = {}
    errors: list[Exception] = []

    def check(file: DatasetFile) -> None:
        if errors or stopped():
            return
        try:
            problem = _problem(copy, file, objects.get(file.key), before_removal=before_removal)
        except Exception as error:
            errors.append(error)
            return
        if problem is not None:
            problems[file.key] = problem

    share(background, check, files)
    if errors:
        raise copy.error(f"the copy at {copy.url} could not be verified", errors[0]) from None
    if before_removal:
        copy.sync_folders(file.key for file in files)
    return dict(sorted(problems.items()))


def verify_moved(
    copy: StoreCopy,
    moved: Mapping[str, MovedFile],
    objects: Mapping[str, ObjectVersion],
    *,
    before_removal: bool,
) -> dict[str, str]:
    """Return which moved files the target does not have as they were when they were removed, by key, and why.

    Their content was verified then. It is compared again if the store has computed a checksum, and `before_removal`.
    """
    problems: dict[str, str] = {}
    for key, file in moved.items():
        found = objects.get(key)
        if found is None:
            problems[key] = "missing"
        elif found.size != file.size:
            problems[key] = f"{found.size:,} bytes instead of {file.size:,}"
        else:
            comparable = _is_md5(found.etag) and _is_md5(file.checksum)
            differs = comparable and found.etag != file.checksum
            if differs or (before_removal and not copy.is_proven(key, found, file.checksum)):
                problems[key] = "other content"
    return problems


def _is_md5(etag: str) -> bool:
    return len(etag) == 32 and not set(etag) - set("0123456789abcdef")


def _problem(
    copy: StoreCopy, file: DatasetFile, found: ObjectVersion | None, *, before_removal: bool
) -> str | None:
    if found is None:
        return "missing"
    if found.size != file.size:
        return f"{found.size:,} bytes instead of {file.size:,}"
    expected = copy.sent_checksum(file, in_this_call=before_removal) or file_checksum(file.path)
    if before_removal and copy.folder is not None:
        return None if copy.folder.read_back(file.key) == expected else "other content"
    return None if copy.is_proven(file.key, found, expected) else "other content"
