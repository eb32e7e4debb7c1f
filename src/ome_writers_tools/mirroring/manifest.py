"""SHA-256 of each file of a dataset, in the format of ``sha256sum``, and the comparison with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers import OutputExistsError, UnsupportedError, read
from ome_writers.toolkit import Limit, atomic_write, local_path, read_regular, resolve_entry_file
from ome_writers_tools.mirroring.dataset_files import refuse_moved, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 2**20


def manifest_path(dataset: Path) -> Path:
    """Return the path of a dataset's manifest: beside it, with the suffix ``.sha256``."""
    dataset = _named(dataset)
    return dataset.with_name(f"{dataset.name}.sha256")


def write_manifest(dataset: Path, *, overwrite: bool = False) -> Path:
    """Write the manifest of a dataset that is not being written, and return its path.

    ``sha256sum --check`` in the same directory compares it, too.
    """
    file = manifest_path(dataset)
    if file.exists() and not overwrite:
        raise OutputExistsError(
            f"{file} exists. Compare with --check, or replace it with --overwrite."
        )
    if read(dataset).status == "writing":
        raise UnsupportedError(
            f"{dataset} is being written, or its writer was killed. Wait until it is complete, or run "
            f"`ome-writers repair {dataset}`."
        )
    refuse_moved(resolve_entry_file(_named(dataset)), "a manifest")
    lines = [f"{_sha256(path)}  {key}\n" for key, path in manifest_files(dataset)]
    atomic_write(file, "".join(lines).encode(), durable=True)
    return file


def check_manifest(dataset: Path) -> dict[str, str]:
    """Return the files that differ from the manifest of a dataset, and how."""
    file = manifest_path(dataset)
    if not file.exists():
        raise FileNotFoundError(
            f"{file} does not exist. Write it with `ome-writers manifest {dataset}` first."
        )
    text = read_regular(file, Limit.XML).decode()
    expected = {key: digest for digest, _, key in (s.partition("  ") for s in text.splitlines())}
    found = dict(manifest_files(dataset))
    problems = dict.fromkeys(expected.keys() - found.keys(), "missing")
    problems |= dict.fromkeys(found.keys() - expected.keys(), "not in the manifest")
    for key in expected.keys() & found.keys():
        if _sha256(found[key]) != expected[key]:
            problems[key] = "content differs"
    return dict(sorted(problems.items()))


def manifest_files(dataset: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a dataset by their path from the directory that contains it; an entry file with its set."""
    dataset = _named(dataset)
    root = resolve_entry_file(dataset)
    if root != dataset:
        yield dataset.name, dataset
    for file in scan(root):
        yield f"{root.name}/{file.key}" if root.is_dir() else file.key, file.path


def _named(path: Path) -> Path:
    """Return a local path that has a name, which that of the current directory does not have."""
    path = local_path(path)
    return path.resolve() if path.name in ("", "..") else path


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
