"""The field `format` of the settings: its type, the names that it accepts, and its inference from a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from ome_writers.errors import suggestion
from ome_writers.settings.engines import ENGINES, engine_rows
from ome_writers.settings.formats import (
    OWN_MODELS,
    FormatSettings,
    OmeTiffFormat,
    OmeZarrFormat,
    ScratchFormat,
    format_models,
    format_suffixes,
    split_suffix,
)
from ome_writers.settings.model import warn_user
from ome_writers.settings.paths import foreign_ending

# The names of the engines of this library, for clients that list them. Type checkers accept those of other packages.
if TYPE_CHECKING:
    ZarrBackendName: TypeAlias = str
    TiffBackendName: TypeAlias = str
    BackendName: TypeAlias = str
else:
    ZarrBackendName, TiffBackendName, _ = (
        Literal[tuple(row.name for row in ENGINES.values() if row.format == name)]
        for name in OWN_MODELS
    )
    BackendName = Literal[ZarrBackendName, TiffBackendName]


def format_names() -> dict[str, dict[str, str]]:
    """Return the strings that are accepted as a format, with the fields of each."""
    names = {
        alias: {"name": name}
        for name, model in format_models().items()
        for alias in (name, *model.aliases)
    }
    engines = {
        row.name: {"name": row.format, "backend": row.name} for row in engine_rows().values()
    }
    return {**names, **engines, **names}


def inferred_format(root_path: str) -> tuple[dict[str, str], bool]:
    """Return the fields of the format that a path implies, and whether the path is conclusive.

    The result does not depend on installed libraries.
    """
    if not root_path:
        return {"name": "scratch"}, True
    suffix = split_suffix(root_path)[1].lower() or os.path.basename(root_path).lower()
    if name := format_suffixes().get(suffix):
        return {"name": name, "suffix": suffix}, True
    return {"name": "ome-zarr"}, False


def read_format(value: Any, root_path: str) -> Any:
    """Convert a format, a name or a mapping to the input of a format model.

    Raises ValueError if a string is not the name of a format or backend, the path is that of a single-file archive, or
    the format is inferred from a path with the suffix of an unsupported format.
    """
    for model in format_models().values():
        if model.archive_suffix and root_path.lower().endswith(model.archive_suffix):
            output = root_path[: -len(model.archive_suffix)] + model.suffixes[0]
            raise ValueError(
                f"root_path {root_path!r}: frames cannot be streamed to an {model.archive_suffix} file. The directory "
                f"of a ZIP file is at its end, so a crash would leave nothing readable. Write {output!r}, and pack it "
                f"after close(): `ome-writers convert {output} {root_path}`."
            )
    if isinstance(value, str):
        if value.lower() == "auto":
            fields, known = inferred_format(root_path)
            if not known and (ending := foreign_ending(root_path)):
                raise ValueError(
                    f"root_path {root_path!r} ends in {ending!r}, a format that ome-writers does not write. Use "
                    f".ome.zarr or .ome.tiff, or set format='ome-zarr' to keep the name."
                )
            if not known:
                from ome_writers.settings.validation_errors import refuse_misspelt_suffix

                refuse_misspelt_suffix(root_path, format_suffixes())
                output = root_path + OmeZarrFormat().suffix
                warn_user(
                    f"Output format could not be inferred from root_path {root_path!r}: writing OME-Zarr to "
                    f"{output!r}. Set format='ome-zarr', or use one of the suffixes {', '.join(format_suffixes())}."
                )
            return fields
        value = _fields_of(value)
    elif isinstance(value, Mapping):
        value = dict(value)
        if "name" in value or "backend" in value:
            value = _fields_of(value.get("name", value.get("backend"))) | value
            value["name"] = _fields_of(value["name"])["name"]
        else:
            raise ValueError(
                f"A dict for the format needs its name, got {value!r}. Add 'name': 'ome-zarr' or 'ome-tiff'."
            )
    elif isinstance(value, FormatSettings):
        return value
    else:
        raise ValueError(
            f"A format is a name such as 'ome-zarr', an object such as OmeZarrFormat(), or a dict; got {value!r}."
        )
    if "suffix" not in value:
        suffix = split_suffix(root_path)[1].lower()
        if suffix and format_suffixes()[suffix] == value.get("name"):
            value["suffix"] = suffix
    return value


def _fields_of(name: Any) -> dict[str, str]:
    if isinstance(name, str) and name in OWN_MODELS:
        return {"name": name}
    fields = format_names().get(name.lower()) if isinstance(name, str) else None
    if fields is None:
        close = suggestion(name, format_names()) if isinstance(name, str) else ""
        raise ValueError(
            f"Unknown format {name!r}.{close} Use 'auto' or one of: {', '.join(format_names())}."
        )
    return fields


def _read_installed(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Validate the settings of a format of another package, which the union does not contain."""
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    model = None if str(name) in OWN_MODELS else format_models().get(str(name))
    if model is None:
        return handler(value)
    return model.model_validate(value, context=info.context)


Format: TypeAlias = Annotated[
    OmeZarrFormat | OmeTiffFormat | ScratchFormat,
    Field(discriminator="name"),
    WrapValidator(_read_installed),
]
