"""Changes of a dataset in place, while its lock is held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_reader import read
from ome_writers.formats.interrupted_edit import finish_edit
from ome_writers.storage import acquire_lock, hold_claim, lock_path
from ome_writers.untrusted import local_path, refuse_archive


@contextmanager
def edit_in_place(path: str | PathLike[str]) -> Iterator[DatasetSpec]:
    """Keep other processes from writing a dataset, and complete an edit of it that was interrupted.

    Raises OutputLockedError if a running process is writing it, and UnsupportedError if its writer was killed or it is
    only a part of a dataset.
    """
    root = local_path(path)
    refuse_archive(root)
    read(root)  # raises a better message than the lock
    _refuse_image_of_dataset(root)
    with hold_claim(root):
        lock = acquire_lock(lock_path(root, folder=root.is_dir()), root, edit=True)
        try:
            finish_edit(root)
            spec = read(root)
            if spec.status == "writing":
                raise UnsupportedError(
                    f"{root}: the writer was killed (status 'writing'). Run `ome-writers repair {root}` first."
                )
            yield spec
        finally:
            lock.release(restore=True)


def _refuse_image_of_dataset(root: Path) -> None:
    """Raise UnsupportedError if `root` is one image of a dataset, whose lock and metadata are those of the whole."""
    image = root.resolve()
    for folder in image.parents:
        if not (folder / "zarr.json").is_file():
            return
        try:
            images = read(folder).images
        except UnsupportedError:  # a well, or a group of separate datasets
            continue
        if any(folder / each.key == image for each in images):
            raise UnsupportedError(f"{root} is one image of {folder}: name {folder} instead.")
