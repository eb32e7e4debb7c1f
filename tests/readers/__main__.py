"""Print the table reader x sample, then each limit, skip and failure with its reason; exit status 1 after a failure."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from readers import javascript, ometiff, omezarr, pages
from readers.samples import RECIPES, write_samples
from readers.verdict import Verdict, judge

if TYPE_CHECKING:
    from readers.samples import Recipe
    from readers.verdict import Reader

DISTRIBUTIONS = {
    "zarr-python": "zarr",
    "ome-zarr-py": "ome-zarr",
    "OpenCV": "opencv-python-headless",
}

READERS: tuple[Reader, ...] = (
    *omezarr.READERS,
    *ometiff.READERS,
    *pages.READERS,
    *javascript.READERS,
)


def main() -> int:
    """Write the samples, run the readers, print the results."""
    parser = argparse.ArgumentParser(prog="tox -e readers --", description=main.__doc__)
    parser.add_argument("--folder", type=Path, help="where the samples are kept (default: nowhere)")
    parser.add_argument("--only", default="", help="readers whose name contains this")
    parser.add_argument("--samples", default="", help="samples whose name contains this")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # warnings of the readers
    logging.disable(logging.CRITICAL)
    readers = [reader for reader in READERS if options.only.lower() in reader.name.lower()]
    recipes = [recipe for recipe in RECIPES if options.samples in recipe.name]
    verdicts: dict[tuple[str, str, str], Verdict] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for sample in write_samples(folder.resolve(), recipes):
            for reader in readers:
                if reader.format == sample.format:
                    with contextlib.redirect_stdout(io.StringIO()):
                        found = judge(reader, sample)
                    verdicts[reader.format, sample.name, reader.name] = found
    for format in ("zarr", "tiff"):
        _print_table(format, recipes, readers, verdicts)
    failed = _print_reasons(verdicts)
    print(f"\n{len(verdicts)} verdicts, {failed} failed")
    return 1 if failed else 0


def _print_table(
    format: str,
    recipes: list[Recipe],
    readers: list[Reader],
    verdicts: dict[tuple[str, str, str], Verdict],
) -> None:
    """Print a Markdown table: one row per reader, one column per sample."""
    samples = [recipe.name for recipe in recipes if recipe.format == format]
    print(f"\n| OME-{format.upper().replace('ZARR', 'Zarr')} | " + " | ".join(samples) + " |")
    print("|---" * (len(samples) + 1) + "|")
    for reader in readers:
        if reader.format == format:
            words = [verdicts[format, name, reader.name].word for name in samples]
            print(f"| {_versioned(reader.name)} | " + " | ".join(words) + " |")


def _versioned(name: str) -> str:
    distribution = DISTRIBUTIONS.get(name, name)
    try:
        return f"{name} {version(distribution)}"
    except PackageNotFoundError:
        return f"{name} {javascript.package_version(name)}".strip()


def _print_reasons(verdicts: dict[tuple[str, str, str], Verdict]) -> int:
    """Print each reason once, with the readers and samples concerned; return the number of failures."""
    samples_by_reason: dict[tuple[str, str, str], list[str]] = {}
    for (format, sample, reader), verdict in verdicts.items():
        if verdict.reason:
            key = (verdict.word, f"{reader} ({format})", verdict.reason)
            samples_by_reason.setdefault(key, []).append(sample)
    for (word, reader, reason), samples in samples_by_reason.items():
        print(f"\n{word}: {reader}: {', '.join(samples)}: {reason}")
    return sum(verdict.word == "FAIL" for verdict in verdicts.values())


if __name__ == "__main__":
    sys.exit(main())
