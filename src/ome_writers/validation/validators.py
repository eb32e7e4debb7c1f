"""The field's validators, where they are installed: what they raise becomes a finding."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ome_writers.validation.report import Check, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["ask_ome_types", "ask_ome_zarr_models", "ask_yaozarrs"]

_WITH_EXTRAS = {"ome-types": "'ome-types[lxml]'"}
"""What is to be installed where the library alone does not validate."""


def ask_yaozarrs(root: Path) -> Check:
    """Have yaozarrs check an OME-Zarr, documents and arrays."""

    def ask() -> None:
        import yaozarrs

        yaozarrs.validate_zarr_store(str(root))

    return _asked("yaozarrs", [(root, ask)])


def ask_ome_zarr_models(root: Path, groups: Iterable[str]) -> Check:
    """Have ome-zarr-models check `groups`: the root of a plate or an image, the images of a collection."""

    def asking(folder: Path) -> Callable[[], None]:
        def ask() -> None:
            import zarr
            from ome_zarr_models import open_ome_zarr

            open_ome_zarr(zarr.open_group(str(folder), mode="r"))

        return ask

    folders = [root / group for group in groups]
    return _asked("ome-zarr-models", [(folder, asking(folder)) for folder in folders])


def ask_ome_types(documents: Iterable[tuple[Path, str]]) -> Check:
    """Have ome-types check OME-XML documents against the schema; each comes with its file."""

    def asking(xml: str) -> Callable[[], None]:
        def ask() -> None:
            from ome_types import validate_xml

            validate_xml(xml)

        return ask

    asked = [(file, asking(xml)) for file, xml in documents]
    return (
        _asked("ome-types", asked) if asked else Check("ome-types", skipped="there is no OME-XML")
    )


def _asked(library: str, asked: list[tuple[Path, Callable[[], None]]]) -> Check:
    try:
        name = f"{library} {version(library)}"
    except PackageNotFoundError:
        wanted = _WITH_EXTRAS.get(library, library)
        return Check(library, skipped=f"not installed (pip install {wanted})")
    findings = []
    for path, ask in asked:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a validator only advises is no finding
                ask()
        except ImportError as error:
            return Check(name, skipped=f"it cannot be used: {error}")
        except Exception as error:  # each validator has errors of its own
            findings.append(Finding(path, _in_short(error), solved=False))
    return Check(name, tuple(findings))


def _in_short(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 300 else f"{words[:300]} ..."
