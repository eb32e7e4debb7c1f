"""`overwrite=True` removes a dataset only if this library wrote every file of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    OutputExistsError,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers import open as open_dataset
from support.links import KINDS, create_link

pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
import tifffile

NOT_OURS = "is not a dataset that this library wrote"
NOT_PART = "not part of the dataset that this library wrote"
FORMS: dict[str, dict[str, Any]] = {
    "run.ome.zarr": {},
    "many.ome.zarr": {"p": 2},
    "run.ome.tiff": {},
    "set.ome.tiff": {"p": 2},
    "scratch": {"p": 2},
}


def settings(path: Path, *, overwrite: bool = True, **sizes: Any) -> AcquisitionSettings:
    """Return settings of tiny frames."""
    axes = dims_from_standard_axes({**sizes, "t": 2, "y": 8, "x": 8})
    more = {"format": "scratch"} if path.name == "scratch" else {}
    return AcquisitionSettings(
        root_path=path, dimensions=axes, dtype="uint16", overwrite=overwrite, **more
    )


def write(path: Path, value: int = 1, **sizes: Any) -> Path:
    """Write a dataset of one value, in place of what is there; return where it is."""
    with create_stream(settings(path, **sizes)) as stream:
        for _ in range(2 * sizes.get("p", 1)):
            stream.append(np.full((8, 8), value, "uint16"), frame_metadata={"sample": "mouse 7"})
    return Path(stream.settings.output_path)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return all that is below a folder, files with their bytes."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def refused(folder: Path, path: Path, match: str, **sizes: Any) -> None:
    """Check that overwriting is refused and changes nothing."""
    before = contents(folder)
    with pytest.raises(OutputExistsError, match=match):
        create_stream(settings(path, **sizes))
    assert contents(folder) == before


@pytest.mark.parametrize("name", FORMS)
def test_dataset_has_unique_id_and_can_be_replaced(tmp_path: Path, name: str) -> None:
    output = write(tmp_path / name, 1, **FORMS[name])
    first = dataset_id(output)
    assert first.startswith("urn:uuid:")
    before = sorted(contents(tmp_path))
    write(tmp_path / name, 2, **FORMS[name])
    assert dataset_id(output) not in ("", first)
    assert sorted(contents(tmp_path)) == before
    if name != "scratch":
        assert (np.asarray(open_dataset(output)) == 2).all()


def dataset_id(output: Path) -> str:
    """Return the id in the root document of a dataset, read with libraries of others."""
    if output.name == "scratch":
        return str(json.loads((output / "manifest.json").read_bytes())["ome_writers"]["id"])
    if output.name.endswith(".zarr"):
        attributes = json.loads((output / "zarr.json").read_bytes())["attributes"]
        return str(attributes["ome_writers"]["id"])
    import ome_types

    file = output if output.is_file() else sorted(output.glob("*.tiff"))[0]
    annotations = ome_types.from_tiff(file).structured_annotations
    own = [a for a in annotations if getattr(a, "namespace", None) == "ome_writers"]
    return str(json.loads(own[0].value)["id"])


@pytest.mark.parametrize("name", FORMS)
def test_id_survives_metadata_updates_and_repair(tmp_path: Path, name: str) -> None:
    from ome_writers.repair import repair

    stream = create_stream(settings(tmp_path / name, **FORMS[name]))
    output = Path(stream.settings.output_path)
    first = dataset_id(output)
    stream.append(np.ones((8, 8), "uint16"))
    stream.set_global_metadata("lab", {"id": "other"})
    if name != "scratch":
        stream.update_metadata(stream.get_metadata())
    stream.close()
    assert dataset_id(output) == first
    if name != "scratch":
        repair(output)
        assert dataset_id(output) == first
    write(tmp_path / name, 2, **FORMS[name])


@pytest.mark.parametrize("name", [name for name in FORMS if name != "run.ome.tiff"])
def test_overwrite_refuses_foreign_files_in_dataset(tmp_path: Path, name: str) -> None:
    """The message lists them; without them the dataset is replaced."""
    output = write(tmp_path / name, 1, **FORMS[name])
    strangers = [
        "thesis.txt",
        "labels/0/zarr.json",
        "other.ome.tiff",
        ".x.tmp",
        "y.__lock",
        "0/c/a",
        "c.jsonl",
    ]
    for stranger in strangers:
        (output / stranger).parent.mkdir(parents=True, exist_ok=True)
        (output / stranger).write_bytes(b"{}")
        refused(
            tmp_path, tmp_path / name, f"{NOT_PART}.*{stranger.rpartition('/')[2]}", **FORMS[name]
        )
        (output / stranger).unlink()
    for number in range(7):
        (output / f"photo-{number}.jpg").touch()
    refused(tmp_path, tmp_path / name, "'photo-0.jpg', .*'photo-4.jpg' and 2 more", **FORMS[name])
    for number in range(7):
        (output / f"photo-{number}.jpg").unlink()
    (output / ".DS_Store").touch()  # of the Finder of macOS, which makes one wherever it looks
    write(tmp_path / name, 2, **FORMS[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in FORMS if name != "run.ome.tiff"])
def test_overwrite_refuses_dataset_that_contains_a_link(
    tmp_path: Path, name: str, kind: str
) -> None:
    output = write(tmp_path / name, 1, **FORMS[name])
    create_link(output / "link", tmp_path, "overwrite=True keeps links of the user", kind)
    refused(tmp_path, tmp_path / name, f"{NOT_PART}.*'link'", **FORMS[name])


def test_overwrite_refuses_folder_of_single_file_datasets(tmp_path: Path) -> None:
    """Two datasets of one file each are not the file set that has the folder's name."""
    for run in ("run1", "run2"):
        (tmp_path / "exp").mkdir(exist_ok=True)
        write(tmp_path / "exp" / f"{run}.ome.tiff")
    refused(tmp_path, tmp_path / "exp.ome.tiff", "exists", p=2)
    (tmp_path / "exp" / "run2.ome.tiff").unlink()
    refused(tmp_path, tmp_path / "exp.ome.tiff", "exists", p=2)


def test_overwrite_refuses_file_of_another_set(tmp_path: Path) -> None:
    """Recognized by its UUID, even under a file name of the set."""
    one, other = write(tmp_path / "a.ome.tiff", p=2), write(tmp_path / "b.ome.tiff", p=2)
    shutil.copy(other / "b_p000.ome.tiff", one / "a_p002.ome.tiff")
    refused(tmp_path, tmp_path / "a.ome.tiff", f"{NOT_PART}.*a_p002", p=2)
    (one / "a_p002.ome.tiff").unlink()
    shutil.copy(other / "b_p001.ome.tiff", one / "a_p001.ome.tiff")
    refused(tmp_path, tmp_path / "a.ome.tiff", f"{NOT_PART}.*a_p001", p=2)


def test_overwrite_refuses_one_file_of_a_set(tmp_path: Path) -> None:
    one = write(tmp_path / "a.ome.tiff", p=2)
    refused(tmp_path, one / "a_p000.ome.tiff", NOT_OURS)


@pytest.mark.parametrize("where", ["pixels", "description", "software", "name", "annotation"])
def test_overwrite_refuses_foreign_tiff_containing_library_name(tmp_path: Path, where: str) -> None:
    path = tmp_path / "x.ome.tiff"
    frame = np.zeros((8, 8), "uint16")
    more: dict[str, Any] = {}
    if where == "pixels":
        frame.view("uint8")[0, :11] = np.frombuffer(b"ome-writers", "uint8")
    elif where == "description":
        more = {"description": "made with ome-writers", "metadata": None}
    elif where == "software":
        more = {"software": "ome-writers 1.0.0"}
    elif where == "name":
        more = {"metadata": {"Name": "ome-writers", "Creator": "ome-writers 1.0.0"}}
    else:
        more = {"metadata": {"MapAnnotation": {"Namespace": "ome_writers", "status": "complete"}}}
    tifffile.imwrite(path, frame, ome="description" not in more, **more)
    refused(tmp_path, path, NOT_OURS)


def test_overwrite_refuses_dataset_rewritten_by_other_program(tmp_path: Path) -> None:
    """Processed pixels with copied metadata were not written by this library."""
    path = write(tmp_path / "x.ome.tiff")
    with tifffile.TiffFile(path) as file:
        pixels, xml = file.asarray() * 2, file.ome_metadata
    assert xml is not None
    path.unlink()
    tifffile.imwrite(path, pixels, description=xml.encode(), metadata=None)
    refused(tmp_path, path, NOT_OURS)


@pytest.mark.parametrize(
    "ours",
    [
        None,
        {},
        [],
        "ome-writers",
        {"id": None, "version": "1.0.0"},
        {"id": "mine", "version": "1.0.0"},
        {"id": 7, "version": "1.0.0"},
        {"id": "urn:uuid:not-one", "version": "1.0.0"},
        {"version": "1.0.0"},
        {"version": "1.0.0", "status": "complete", "settings": {}},
        {"status": "complete"},
    ],
)
def test_overwrite_refuses_zarr_without_valid_id(tmp_path: Path, ours: Any) -> None:
    output = write(tmp_path / "x.ome.zarr")
    document = json.loads((output / "zarr.json").read_bytes())
    document["attributes"]["ome_writers"] = ours
    (output / "zarr.json").write_text(json.dumps(document))
    refused(tmp_path, output, NOT_OURS)


@pytest.mark.parametrize(
    "manifest",
    [
        {"settings": {}, "position_shapes": []},
        {"settings": {}, "position_shapes": [], "ome_writers": None},
        {"settings": {}, "position_shapes": [], "ome_writers": {"id": "mine", "version": "1"}},
        {"version": 7, "position_shapes": []},
        [],
    ],
)
def test_overwrite_refuses_foreign_manifest_json(tmp_path: Path, manifest: Any) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "manifest.json").write_text(json.dumps(manifest))
    refused(tmp_path, tmp_path / "scratch", NOT_OURS)


def test_overwrite_refuses_id_without_matching_metadata(tmp_path: Path) -> None:
    output = write(tmp_path / "many.ome.zarr", p=2)
    (output / "OME" / "zarr.json").write_text("[" * 5000)
    refused(tmp_path, output, NOT_OURS, p=2)


def without_id(output: Path) -> None:
    """Make of a dataset one of the versions that gave it no id."""
    for name in ("zarr.json", "manifest.json"):
        if (output / name).is_file():
            document = json.loads((output / name).read_bytes())
            document.pop("ome_writers", None)
            if name == "zarr.json":
                del document["attributes"]["ome_writers"]["id"]
            (output / name).write_text(json.dumps(document))
    for file in [output] if output.is_file() else output.glob("*.tiff"):
        with tifffile.TiffFile(file) as tiff:
            xml = tiff.pages.first.description
        start, _, rest = xml.partition('"id":"')
        assert rest
        tifffile.tiffcomment(file, (start + rest.partition('",')[2]).encode())


@pytest.mark.parametrize("name", FORMS)
def test_overwrite_replaces_datasets_of_versions_without_id(tmp_path: Path, name: str) -> None:
    """Version, status and settings prove the origin."""
    output = write(tmp_path / name, 1, **FORMS[name])
    without_id(output)
    write(tmp_path / name, 2, **FORMS[name])
    assert dataset_id(output)


def legacy_zarr(path: Path, **facts: Any) -> None:
    """Write the documents of an OME-Zarr as version 0.3 wrote them."""
    axes = [{"name": n, "type": "space"} for n in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    attributes = {"ome": ome, **facts}
    (path / "0" / "c" / "0").mkdir(parents=True)
    (path / "0" / "c" / "0" / "0").write_bytes(b"\0" * 16)
    (path / "0" / "zarr.json").write_text("{}")
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (path / "zarr.json").write_text(json.dumps(document))


def test_overwrite_of_datasets_of_version_0_3(tmp_path: Path) -> None:
    """Replaced if they name their version, otherwise refused."""
    path = tmp_path / "x.ome.zarr"
    legacy_zarr(path, ome_writers={"version": "0.3.2", "frame_metadata": [{"storage_index": []}]})
    (path / "thesis.txt").touch()
    refused(tmp_path, path, f"{NOT_PART}.*thesis")
    (path / "thesis.txt").unlink()
    write(path, 2)
    shutil.rmtree(path)
    legacy_zarr(path)
    refused(tmp_path, path, NOT_OURS)


def test_overwrite_of_scratch_store_of_version_0_3(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    manifest = {
        "version": "0.3.2",
        "root_path": str(folder),
        "dimensions": [],
        "dtype": "uint8",
        "format": {},
        "position_shapes": [[2, 4, 4]],
        "global_metadata": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "pos_0.dat").touch()
    write(folder, 2)
    assert not (folder / "pos_1.dat").exists()


@pytest.mark.parametrize("name", FORMS)
def test_overwrite_removes_only_own_replaced_datasets(tmp_path: Path, name: str) -> None:
    """Of ``.NAME.replaced-*`` folders of processes that have ended."""
    dead = 2**22 + 12345  # above the largest process number of any Linux
    output = write(tmp_path / name, 1, **FORMS[name])
    aside = tmp_path / f".{output.name}.replaced-{dead}"
    (shutil.copytree if output.is_dir() else shutil.copy)(output, aside)
    strangers = [
        tmp_path / f".{output.name}.replaced-{n}" for n in (dead + 1, 10**30, "by-me", os.getppid())
    ]
    for stranger in strangers:
        stranger.mkdir()
        (stranger / "zarr.json").write_text("{}")
    write(tmp_path / name, 2, **FORMS[name])
    assert not aside.exists()
    assert all((stranger / "zarr.json").exists() for stranger in strangers)
    expected = {
        output.name,
        name,
        *(p.name for p in strangers),
    }  # of a set, `name` is the entry file
    assert {p.name for p in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("name", FORMS)
def test_failed_start_after_killed_start_restores_dataset(tmp_path: Path, name: str) -> None:
    output = write(tmp_path / name, 1, **FORMS[name])
    before = contents(tmp_path)
    output.rename(tmp_path / f".{output.name}.replaced-{2**22 + 12345}")
    wanted = settings(tmp_path / name, **FORMS[name])
    blocked = AcquisitionSettings(**{**dict(wanted), "dimensions": wanted.dimensions})
    from ome_writers.formats import lay_out
    from ome_writers.routing import resolve
    from ome_writers.streaming.output_claim import OutputClaim

    claim = OutputClaim(lay_out(resolve(blocked))[1], overwrite=True)
    assert output.is_dir() == claim.path.is_dir()
    claim.rollback()
    assert contents(tmp_path) == before
