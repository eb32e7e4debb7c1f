"""A start that is killed at any call loses nothing, and the next one cleans up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faults.claim_worker import KINDS, fill, settings
from ome_writers import OutputExistsError, create_stream, read
from ome_writers import open as open_dataset
from ome_writers.formats import lay_out
from ome_writers.routing import resolve
from ome_writers.streaming.output_claim import OutputClaim

pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.short,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the rounds are forks of one process"),
]

Contents = dict[str, bytes]
Kills = dict[tuple[str, str], list[Path]]


def contents(folder: Path) -> Contents:
    """Return the bytes of every file below a directory."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def originals() -> Kills:
    """Return the killed starts so far, by kind and previous state."""
    return {}


def kill(originals: Kills, folder: Path, kind: str, before: str) -> list[Path]:
    """Return one directory for each call at which a start was killed."""
    if (kind, before) not in originals:
        originals[kind, before] = _kill(folder.parent / f"{kind}-{before}", kind, before)
    return [shutil.copytree(each, folder / each.name) for each in originals[kind, before]]


def _kill(folder: Path, kind: str, before: str) -> list[Path]:
    folder.mkdir()
    script = Path(__file__).with_name("killed_starts.py")
    command = [sys.executable, str(script), str(folder), kind, before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    killed = [folder / str(number) for number in range(1, int(done.stdout) + 1)]
    assert len(killed) > 10
    return killed


def dataset(folder: Path, kind: str) -> Path:
    """Return the path of the dataset."""
    wanted = settings(folder, kind, overwrite=True)
    return Path(wanted.output_path)


def find_old(folder: Path, kind: str, old: Contents) -> list[Path]:
    """Return the path of the complete old dataset."""
    output = dataset(folder, kind)
    found = [output, *folder.glob(f".{output.name}.replaced-*")]
    return [
        p
        for p in found
        if (contents(p) == old if p.is_dir() else p.is_file() and {"": p.read_bytes()} == old)
    ]


def check(folder: Path, kind: str, value: int) -> None:
    """Check that there is one complete dataset of one value, and what was killed after its metadata were complete.

    Frames may be on disk before the metadata contains their number: such a dataset is kept under another name.
    """
    output = dataset(folder, kind)
    entry = {"run.ome.tiff"} if kind == "set" else set()  # the entry file of the set
    kept = [path for path in folder.iterdir() if ".interrupted-" in path.name]
    assert [read(path).status for path in kept] in ([], ["writing"]), folder
    assert {p.name for p in folder.iterdir()} - {p.name for p in kept} == {output.name, *entry}
    if kind == "scratch":
        assert set(np.fromfile(output / "pos_0.dat", "uint16").tolist()) == {value}
        return
    assert (np.asarray(open_dataset(output)) == value).all(), folder


@pytest.mark.parametrize("before", ["free", "old"])
@pytest.mark.parametrize("kind", KINDS)
def test_next_start_replaces_and_cleans_up(
    originals: Kills, tmp_path: Path, kind: str, before: str
) -> None:
    """After a kill at any call, a stream with overwrite=True writes its dataset and removes everything else."""
    killed = kill(originals, tmp_path, kind, before)
    for folder in killed:
        fill(create_stream(settings(folder, kind, overwrite=True)), 7)
        check(folder, kind, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_old_dataset_survives_a_kill_at_any_call(
    originals: Kills, tmp_path: Path, kind: str
) -> None:
    """Until the new dataset exists the old one is complete, and it is restored if the next start fails."""
    killed = kill(originals, tmp_path, kind, "old")
    output = dataset(killed[0], kind)  # killed before its first change
    old = contents(output) if output.is_dir() else {"": output.read_bytes()}
    for folder in killed:
        old_paths = find_old(folder, kind, old)
        new_exists = dataset(folder, kind) not in old_paths and _is_new(folder, kind)
        if not old_paths:  # being removed
            assert new_exists, folder
            continue
        claim = OutputClaim(
            lay_out(resolve(settings(folder, kind, overwrite=True)))[1], overwrite=True
        )
        claim.rollback()
        where = find_old(folder, kind, old)
        assert where, folder
        assert new_exists or where == [dataset(folder, kind)], folder
        assert not list(folder.glob("*.claim*")), folder
        assert not list(folder.glob(".*.lock*")), folder


def _is_new(folder: Path, kind: str) -> bool:
    """Whether the dataset at the path has metadata that identifies it."""
    from ome_writers.formats import foreign_files

    path = dataset(folder, kind)
    return path.exists() and foreign_files(path, lambda name: name.startswith(".")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_start_without_overwrite_removes_nothing(
    originals: Kills, tmp_path: Path, kind: str
) -> None:
    """It is refused, or starts at the free path; the dataset moved aside stays."""
    killed = kill(originals, tmp_path, kind, "old")
    output = dataset(killed[0], kind)  # killed before its first change
    old = contents(output) if output.is_dir() else {"": output.read_bytes()}
    for folder in killed:
        old_paths = find_old(folder, kind, old)
        present = dataset(folder, kind).exists()
        try:
            fill(create_stream(settings(folder, kind, overwrite=False)), 5)
        except OutputExistsError:
            assert present, folder
        else:
            assert not present, folder
        assert find_old(folder, kind, old) == old_paths
        fill(create_stream(settings(folder, kind, overwrite=True)), 7)
        check(folder, kind, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_file_in_a_killed_start_is_kept(
    originals: Kills, tmp_path: Path, kind: str
) -> None:
    for folder in kill(originals, tmp_path, kind, "free"):
        output = dataset(folder, kind)
        if not output.is_dir():
            shutil.rmtree(folder)
            continue
        (output / "thesis.txt").write_text("precious")
        with pytest.raises(OutputExistsError, match=r"thesis\.txt"):
            create_stream(settings(folder, kind, overwrite=True))
        assert (output / "thesis.txt").read_text() == "precious"
        (output / "thesis.txt").unlink()
        fill(create_stream(settings(folder, kind, overwrite=True)), 7)
        check(folder, kind, 7)
