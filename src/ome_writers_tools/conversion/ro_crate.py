"""`write_crate`: describe an existing dataset by an RO-Crate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ome_writers import Experiment, OutputExistsError, SettingsError
from ome_writers.toolkit import (
    atomic_write,
    crate_path,
    edit_in_place,
    refuse_foreign_crate,
    render_crate,
    resolve_entry_file,
)


def write_crate(path: Path, fields: Mapping[str, Any], *, overwrite: bool) -> Path:
    """Write the RO-Crate of a dataset and return its path.

    `fields` are those of `Experiment`. Fields that are not given are those that the dataset was written with.

    Raises OutputExistsError if there is one, unless `overwrite` and this library wrote it; SettingsError if a field is
    invalid, or there is no license.
    """
    root = resolve_entry_file(path)
    with edit_in_place(root) as spec:
        stored = spec.settings.experiment if spec.settings else None
        if stored is None and "license" not in fields:
            raise SettingsError(
                f"{path} was written without a license: give one, such as CC-BY-4.0."
            )
        try:
            experiment = Experiment.model_validate(
                {**(stored.model_dump() if stored else {}), **fields}
            )
        except ValidationError as error:
            problem = error.errors()[0]
            message = problem["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{path}: {problem['loc'][0]}: {message}.") from None
        file = crate_path(root)
        refuse_foreign_crate(file)
        if file.exists() and not overwrite:
            raise OutputExistsError(f"{file} exists. Set overwrite=True to replace it.")
        atomic_write(file, render_crate(root, spec, experiment), durable=True)
    return file
