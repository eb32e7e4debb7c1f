"""Third-party validators: the errors that they raise become findings, and a missing library skips the check."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ome_writers.formats.report import Check, Finding

_REQUIREMENTS = {"ome-types": "ome-writers[cli]", "yaozarrs": "ome-writers[cli]"}
"""What to install for validation where the library's name is not enough."""
_MINIMUM = {"ome-zarr-models": (1, 7)}
"""Earlier versions refuse valid datasets: labels without colours."""
_MAX_MESSAGE_LENGTH = 300
_GLOB_CHARACTERS = re.compile(r"[*?\[\]]")


def run_yaozarrs(root: Path, version: str) -> Check:
    """Validate the metadata and arrays of an OME-Zarr of a version with yaozarrs."""
    if magic := _GLOB_CHARACTERS.search(str(root.absolute())):  # fsspec expands them
        return Check("yaozarrs", skipped=f"does not support paths with {magic[0]!r}")

    def validate(path: str) -> None:
        import yaozarrs

        yaozarrs.validate_zarr_store(path)

    return _run("yaozarrs", validate, [(root, str(root.absolute()))], ome_zarr=version)


def run_ome_zarr_models(
    root: Path, groups: Iterable[str], version: str, model: Literal["HCS", "Image"]
) -> Check:
    """Read `groups` as a plate or images with ome-zarr-models."""

    def validate(path: str) -> None:
        import zarr
        from pydantic import ValidationError

        models = import_module(_module("ome-zarr-models", version))
        try:
            # a Path: zarr-python 3.4 reads a string as a URL, whose "#" starts a fragment
            getattr(models, model).from_zarr(zarr.open_group(Path(path), mode="r"))
        except ValidationError as error:
            # ome-zarr-py 0.21 does not write it, and the specification does not say that it must
            missing = {(found["type"], found["loc"]) for found in error.errors()}
            if error.title != "LabelsAttrs" or missing != {("missing", ("version",))}:
                raise

    paths = [root / group for group in groups]
    return _run("ome-zarr-models", validate, [(p, str(p)) for p in paths], ome_zarr=version)


def run_ome_types(documents: Iterable[tuple[Path, str]]) -> Check:
    """Validate pairs of a file and its OME-XML against the OME schema with ome-types."""

    def validate(xml: str) -> None:
        from ome_types import validate_xml

        validate_xml(xml)

    found = list(documents)
    return _run("ome-types", validate, found) if found else Check("ome-types", skipped="no OME-XML")


def _run(
    library: str,
    validate: Callable[[str], None],
    items: Iterable[tuple[Path, str]],
    *,
    ome_zarr: str = "",
) -> Check:
    """Validate each file or group with a library, or skip this where it does not know the version of OME-Zarr."""
    try:
        installed = version(library)
    except PackageNotFoundError:
        requirement = _REQUIREMENTS.get(library, library)
        return Check(library, skipped=f'not installed (pip install "{requirement}")')
    name, minimum = f"{library} {installed}", _MINIMUM.get(library, ())
    if tuple(map(int, re.findall(r"\d+", installed)[:2])) < minimum:
        return Check(name, skipped=f"needs version {'.'.join(map(str, minimum))} or later")
    try:
        if ome_zarr and find_spec(_module(library, ome_zarr)) is None:
            return Check(name, skipped=f"does not support OME-Zarr {ome_zarr}")
    except ImportError as error:
        return Check(name, skipped=f"import failed: {error}")
    findings = []
    for path, item in items:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # recommendations are not findings
                validate(item)
        except ImportError as error:
            return Check(name, skipped=f"import failed: {error}")
        except Exception as error:  # each validator has its own error classes
            findings.append(Finding(path, _shorten(error), solved=False))
    return Check(name, tuple(findings))


def _module(library: str, ome_zarr: str) -> str:
    """Return the module of a library for a version of OME-Zarr."""
    return f"{library.replace('-', '_')}.v{''.join(ome_zarr.split('.')[:2])}"


def _shorten(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_MESSAGE_LENGTH else f"{text[:_MAX_MESSAGE_LENGTH]} ..."
