"""Third-party validators: the errors that they raise become findings, and a missing library skips the check."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ome_writers.storage import Finding
from ome_writers.validation.report import Check

_REQUIREMENTS = {"ome-types": "'ome-types[lxml]'"}
"""What to install for validation where the library's name is not enough."""
_MAX_MESSAGE_LENGTH = 300


def run_yaozarrs(root: Path, version: str) -> Check:
    """Validate the metadata and arrays of an OME-Zarr of a version with yaozarrs."""

    def validate() -> None:
        import yaozarrs

        yaozarrs.validate_zarr_store(str(root))

    return _run("yaozarrs", [(root, validate)], ome_zarr=version)


def run_ome_zarr_models(root: Path, groups: Iterable[str], version: str) -> Check:
    """Open `groups` with ome-zarr-models: the root of a plate or image, or the images of a collection."""

    def validator(group: Path) -> Callable[[], None]:
        def validate() -> None:
            import zarr
            from ome_zarr_models import open_ome_zarr

            open_ome_zarr(zarr.open_group(str(group), mode="r"))

        return validate

    validators = [(root / group, validator(root / group)) for group in groups]
    return _run("ome-zarr-models", validators, ome_zarr=version)


def run_ome_types(documents: Iterable[tuple[Path, str]]) -> Check:
    """Validate pairs of a file and its OME-XML against the OME schema with ome-types."""

    def validator(xml: str) -> Callable[[], None]:
        def validate() -> None:
            from ome_types import validate_xml

            validate_xml(xml)

        return validate

    validators = [(file, validator(xml)) for file, xml in documents]
    if not validators:
        return Check("ome-types", skipped="no OME-XML")
    return _run("ome-types", validators)


def _run(
    library: str, validators: list[tuple[Path, Callable[[], None]]], *, ome_zarr: str = ""
) -> Check:
    """Run the validators of a library, or skip them where it does not know the version of OME-Zarr."""
    try:
        name = f"{library} {version(library)}"
    except PackageNotFoundError:
        requirement = _REQUIREMENTS.get(library, library)
        return Check(library, skipped=f"not installed (pip install {requirement})")
    module = f"{library.replace('-', '_')}.v{''.join(ome_zarr.split('.')[:2])}"
    try:
        if ome_zarr and find_spec(module) is None:
            return Check(name, skipped=f"does not support OME-Zarr {ome_zarr}")
    except ImportError as error:
        return Check(name, skipped=f"import failed: {error}")
    findings = []
    for path, validate in validators:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # recommendations are not findings
                validate()
        except ImportError as error:
            return Check(name, skipped=f"import failed: {error}")
        except Exception as error:  # each validator has its own error classes
            findings.append(Finding(path, _shorten(error), solved=False))
    return Check(name, tuple(findings))


def _shorten(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_MESSAGE_LENGTH else f"{text[:_MAX_MESSAGE_LENGTH]} ..."
