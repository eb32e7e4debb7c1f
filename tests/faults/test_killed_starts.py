"""A start that is killed, at whatever call, loses nothing, and leaves nothing that the next one does not clean up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faults.claim_worker import FORMS, fill, settings
from ome_writers import OutputExistsError, create_stream
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
    """Return every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def originals() -> Kills:
    """Return what has been killed so far, by form and by what was there before."""
    return {}


def kill(originals: Kills, folder: Path, form: str, before: str) -> list[Path]:
    """Return a folder for each call at which a start was killed."""
    if (form, before) not in originals:
        originals[form, before] = _kill(folder.parent / f"{form}-{before}", form, before)
    return [shutil.copytree(each, folder / each.name) for each in originals[form, before]]


def _kill(folder: Path, form: str, before: str) -> list[Path]:
    folder.mkdir()
    script = Path(__file__).with_name("killed_starts.py")
    command = [sys.executable, str(script), str(folder), form, before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    killed = [folder / str(number) for number in range(1, int(done.stdout) + 1)]
    assert len(killed) > 10
    return killed


def dataset(folder: Path, form: str) -> Path:
    """Return where the dataset is to be."""
    wanted = settings(folder, form, overwrite=True)
    return Path(wanted.output_path)


def holds_old(folder: Path, form: str, old: Contents) -> list[Path]:
    """Return where the old dataset is, whole."""
    output = dataset(folder, form)
    found = [output, *folder.glob(f".{output.name}.replaced-*")]
    return [
        p
        for p in found
        if (contents(p) == old if p.is_dir() else p.is_file() and {"": p.read_bytes()} == old)
    ]


def judge(folder: Path, form: str, value: int) -> None:
    """Check that there is one whole dataset of one value, and nothing else."""
    output = dataset(folder, form)
    entry = {"run.ome.tiff"} if form == "set" else set()  # which opens the set
    assert {p.name for p in folder.iterdir()} == {output.name, *entry}, folder
    if form == "scratch":
        assert set(np.fromfile(output / "pos_0.dat", "uint16").tolist()) == {value}
        return
    assert (np.asarray(open_dataset(output)) == value).all(), folder


@pytest.mark.parametrize("before", ["free", "old"])
@pytest.mark.parametrize("form", FORMS)
def test_the_next_start_replaces_and_cleans_up(
    originals: Kills, tmp_path: Path, form: str, before: str
) -> None:
    """After a kill at any call a stream with overwrite=True writes its dataset, which is all there is then."""
    killed = kill(originals, tmp_path, form, before)
    for folder in killed:
        fill(create_stream(settings(folder, form, overwrite=True)), 7)
        judge(folder, form, 7)


@pytest.mark.parametrize("form", FORMS)
def test_the_old_dataset_is_lost_at_no_call(originals: Kills, tmp_path: Path, form: str) -> None:
    """Until the new dataset exists the old one is whole, and at its path again when the next start fails."""
    killed = kill(originals, tmp_path, form, "old")
    output = dataset(killed[0], form)  # which was killed before it had done anything
    old = contents(output) if output.is_dir() else {"": output.read_bytes()}
    for folder in killed:
        kept = holds_old(folder, form, old)
        new_exists = dataset(folder, form) not in kept and _is_new(folder, form)
        if not kept:  # it is being removed
            assert new_exists, folder
            continue
        claim = OutputClaim(
            lay_out(resolve(settings(folder, form, overwrite=True))), overwrite=True
        )
        claim.restore()
        where = holds_old(folder, form, old)
        assert where, folder
        assert new_exists or where == [dataset(folder, form)], folder
        assert not list(folder.glob("*.claim*")), folder
        assert not list(folder.glob(".*.lock*")), folder


def _is_new(folder: Path, form: str) -> bool:
    """Whether the dataset at the path has documents that prove what it is."""
    from ome_writers.formats import foreign_files

    path = dataset(folder, form)
    return path.exists() and foreign_files(path, lambda name: name.startswith(".")) == []


@pytest.mark.parametrize("form", FORMS)
def test_without_overwrite_nothing_is_removed(originals: Kills, tmp_path: Path, form: str) -> None:
    """A stream without overwrite=True is refused, or begins at the free path; what was moved aside stays."""
    killed = kill(originals, tmp_path, form, "old")
    output = dataset(killed[0], form)  # which was killed before it had done anything
    old = contents(output) if output.is_dir() else {"": output.read_bytes()}
    for folder in killed:
        kept = holds_old(folder, form, old)
        present = dataset(folder, form).exists()
        try:
            fill(create_stream(settings(folder, form, overwrite=False)), 5)
        except OutputExistsError:
            assert present, folder
        else:
            assert not present, folder
        assert holds_old(folder, form, old) == kept
        fill(create_stream(settings(folder, form, overwrite=True)), 7)
        judge(folder, form, 7)


@pytest.mark.parametrize("form", FORMS)
def test_what_users_add_to_a_killed_start_stays(
    originals: Kills, tmp_path: Path, form: str
) -> None:
    """A file of somebody in what a killed start left is not removed, whenever it was killed."""
    for folder in kill(originals, tmp_path, form, "free"):
        output = dataset(folder, form)
        if not output.is_dir():
            shutil.rmtree(folder)
            continue
        (output / "thesis.txt").write_text("precious")
        with pytest.raises(OutputExistsError, match=r"thesis\.txt"):
            create_stream(settings(folder, form, overwrite=True))
        assert (output / "thesis.txt").read_text() == "precious"
        (output / "thesis.txt").unlink()
        fill(create_stream(settings(folder, form, overwrite=True)), 7)
        judge(folder, form, 7)
