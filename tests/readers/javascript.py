"""npm packages that browser-based viewers use, run by node."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from readers.samples import limits
from readers.verdict import Reader, Unavailable

if TYPE_CHECKING:
    from readers.samples import Sample
    from readers.verdict import Images

HERE = Path(__file__).parent / "node"
PACKAGES = Path(os.environ.get("READERS_NODE", ".cache/readers-node"))
"""Where npm installs to; kept between runs."""


@cache
def _installed() -> Path:
    """Install the packages of node/package.json, once."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("node and npm are not installed")
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "read.mjs"):
        shutil.copyfile(HERE / name, PACKAGES / name)
    command = [npm, "install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=PACKAGES, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"npm install failed: {done.stderr.strip()[-200:]}")
    return PACKAGES.resolve()


def package_version(name: str) -> str:
    """Return the version of an installed npm package; empty if it is not installed."""
    name = {"viv": "@vivjs/loaders", "geotiff.js": "geotiff"}.get(name, name)
    manifest = PACKAGES / "node_modules" / name / "package.json"
    return str(json.loads(manifest.read_bytes())["version"]) if manifest.is_file() else ""


def _read(library: str, sample: Sample, level: int = 0, derived: tuple[str, ...] = ()) -> Images:
    """Read every image in node, which prints one JSON line per image: shape, and pixels in base64."""
    folder = _installed()
    if sample.format == "zarr":
        targets = [str(sample.path / path) for path in derived or sample.images]
    elif library == "geotiff.js tiff":  # reads pages and ignores OME-XML
        targets = [str(path) for path in sample.files]
    else:
        companions = sorted(sample.path.glob("*.companion.ome")) if sample.path.is_dir() else []
        targets = [str((companions or sample.files)[0])]
    command = ["node", "read.mjs", library, str(level), *targets]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[:300])
    found = []
    for line in done.stdout.splitlines():
        image = json.loads(line)
        pixels = np.frombuffer(base64.b64decode(image["pixels"]), "<u2")
        found.append(pixels.reshape(image["shape"]))
    if library == "geotiff.js tiff":
        pages = np.concatenate(found)
        return list(pages.reshape(len(sample.images), *next(iter(sample.images.values())).shape))
    return found


NO_ZSTD = limits(
    "the geotiff.js that it carries has no decoder for zstd (50000): write deflate for it",
    lambda recipe: recipe.compression == "zstd",
)


def _reader(name: str, format: str, refused: dict[str, str] | None = None) -> Reader:
    task = f"{name} {format}"
    return Reader(
        name,
        format,
        lambda sample: _read(task, sample),
        refused or {},
        None if name == "geotiff.js" else lambda sample, level: _read(task, sample, level)[0],
        lambda sample, path: _read(task, sample, 0, (path,))[0],
    )


ONE_IMAGE = limits(
    "without a companion file it takes several Images of a file for the resolutions of the first one "
    "(resolveMetadata of its loaders): write multi_file_metadata='companion-file' for it",
    lambda recipe: recipe.positions > 1 and not recipe.companion,
)

READERS = (
    _reader("zarrita", "zarr"),
    _reader("ome-zarr.js", "zarr"),
    _reader("viv", "zarr"),
    _reader("viv", "tiff", {**NO_ZSTD, **ONE_IMAGE}),
    _reader("geotiff.js", "tiff"),
)
