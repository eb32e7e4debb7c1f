"""`InvalidSettingsError`: pydantic's ValidationError with messages that name the setting, its value and what to do."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from ome_writers.errors import SettingsError, escape_controls, short_repr, suggestion

if TYPE_CHECKING:
    from typing_extensions import Self

_UNKNOWN_FIELD = ("extra_forbidden", "no_such_attribute")  # in calls, and in assignments
_TYPES = {  # of pydantic's messages
    r"a valid (integer|array)": r"an \1",
    r"a valid (?!dictionary)": "a ",
    r"a valid dictionary or (?:instance of|object to extract fields from) ?(\w*)": r"\1(...) or a dict of its fields",
}


class InvalidSettingsError(SettingsError, ValidationError):
    """A value of a model is invalid: pydantic's ValidationError, with the messages of this library."""

    _name: str = ""

    @classmethod
    def of(cls, error: ValidationError, model: type[BaseModel], values: Any) -> Self:
        """Return the error of pydantic as one of this class; `values` is what `model` was created from."""
        custom: Any = PydanticCustomError  # its stub takes literal strings only
        lines = [
            InitErrorDetails(
                type=custom(line["type"], _message(line, model), line.get("ctx")),
                loc=line["loc"],
                input=line["input"],
            )
            for line in error.errors(include_url=False)
        ]
        new: Self = cls.from_exception_data(error.title, lines)
        name = values.get("name") if isinstance(values, Mapping) else None
        new._name = f" {name!r}" if isinstance(name, str) and name else ""
        return new

    def __str__(self) -> str:
        problems: dict[tuple[int | str, ...], list[str]] = {}
        for line in self.errors(include_url=False, include_context=False):
            unknown = line["type"] in _UNKNOWN_FIELD
            path = _path(line["loc"][:-1] if unknown else line["loc"])
            known = problems.setdefault(line["loc"] if unknown else (path,), [path])
            if line["msg"] not in known:
                known.append(line["msg"])
        texts = [_sentence(path, messages) for path, *messages in problems.values()]
        separator = ": " if len(texts) == 1 else ":\n  "
        return escape_controls(f"{self.title}{self._name}{separator}" + "\n  ".join(texts))

    __repr__ = __str__


def _sentence(path: str, messages: Sequence[str]) -> str:
    """Return the messages of one field, those of the members of a union, as one sentence."""
    alternatives = [m for m in messages if m.startswith("must be ") and ", got " in m]
    if len(alternatives) == len(messages) > 1:
        wanted, got = zip(
            *(m.removeprefix("must be ").rsplit(", got ", 1) for m in messages), strict=True
        )
        return f"{path} must be {' or '.join(wanted)}, got {got[0]}"
    text = "; ".join(messages)
    # the text names another setting, which this one is derived from, or this one
    if not path or text.startswith((f"{path} ", "root_path ")):
        return text
    return f"{path} {text}" if text.startswith("must ") else f"{path}: {text}"


def _path(loc: Sequence[int | str]) -> str:
    """Return the location of a value as in Python, without the tags of unions that pydantic adds."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[a-z_]\w*", part) and part not in ("str", "float", "int", "bool"):
            path += f".{part}" if path else part
    return path


def _message(line: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Return the message for one error of pydantic; messages of this library are kept."""
    text, value = str(line["msg"]), line["input"]
    if text.startswith(("Value error, ", "Assertion failed, ")):
        return text.partition(", ")[2]
    if line["type"] in _UNKNOWN_FIELD and not text.startswith("unknown field"):
        *path, unknown = line["loc"]
        names = [name for owner in _models_at(model, path) for name in owner.model_fields]
        return f"unknown field {unknown}={short_repr(value)}." + (
            suggestion(str(unknown), names) or f" The fields are: {', '.join(names)}."
        )
    if text == "Field required":
        return "must be given"
    if line["type"] == "literal_error":
        allowed = str(line["ctx"]["expected"])
        names = re.findall(r"'([^']*)'", allowed)
        word = value if isinstance(value, str) and not re.fullmatch(r"[\d.]+", value) else ""
        hint = suggestion(word, names, start=": did") or _hint(str(line["loc"][-1]), value)
        return f"must be {allowed}, got {short_repr(value)}{hint}"
    if line["type"] == "color_error":
        from pydantic_extra_types.color import COLORS_BY_NAME

        name = value if isinstance(value, str) else ""
        hint = suggestion(name, COLORS_BY_NAME) or " Use a name of CSS, '#rrggbb' or (r, g, b)."
        return f"{short_repr(value)} is not a valid color.{hint}"
    wanted = re.sub(r"^(?:Input|String|Value|Tuple|List) should ", "must ", text)
    if wanted == text:
        return text
    wanted = re.split(r", (?:unable to|got|input is) ", wanted)[0]
    for pattern, words in _TYPES.items():
        wanted = re.sub(pattern, words, wanted)
    hint = _hint(str(line["loc"][-1]) if line["loc"] else "", value)
    return f"{wanted}, got {short_repr(value)}{hint}"


def _hint(field: str, value: Any) -> str:
    """Return what to write instead, for values that users try."""
    if field == "dimensions" and isinstance(value, Mapping):
        return f". Write dims_from_standard_axes({value!r})"
    if field == "dimensions":
        return '. Write dims_from_standard_axes({"t": 10, "y": 512, "x": 512})'
    if field == "plate" and isinstance(value, (int, tuple)):
        return f". Write Plate.from_standard_wells({value!r})"
    if field == "window":
        return ". Write (low, high), such as (0, 4095)"
    if field == "version" and value == "0.4":
        return ". `ome-writers convert --ngff 0.4` writes a copy in that version"
    if field in ("exposure_ms", "flush_interval") and isinstance(value, str):
        unit = "milliseconds" if field == "exposure_ms" else "seconds"
        return f". Give the number of {unit}"
    if field.endswith("_nm") and isinstance(value, str):
        return ". Give the number of nanometers"
    if field == "scale" and isinstance(value, str):
        return ". Write a number, and its unit as unit='micrometer'"
    return ". Give a number of bytes, such as 2**30" if field.endswith("_bytes") else ""


def _models_at(model: type[BaseModel], path: Sequence[int | str]) -> list[type[BaseModel]]:
    """Return the models that the value at `path` may have."""
    found = [model]
    for name in path:
        fields = [
            m.model_fields[name] for m in found if isinstance(name, str) and name in m.model_fields
        ]
        if fields:
            found = [m for field in fields for m in _models_in(field.annotation)]
        elif isinstance(name, str):  # the tag of a member of a union
            found = [m for m in found if name in (m.__name__, _tag(m))] or found
    return found


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("name")
    return field.default if field is not None else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def refuse_misspelt_suffix(path: str, suffixes: Iterable[str]) -> None:
    """Raise SettingsError if the suffix of a path differs from one of `suffixes` in a letter or two."""
    name, ending = os.path.splitext(path.rstrip("/" + os.sep))
    name = name[:-4] if name.lower().endswith(".ome") else name
    spelled = {".omezarr": ".ome.zarr", ".ometiff": ".ome.tiff", ".ome-zarr": ".ome.zarr"}
    spelled |= {".ome-tiff": ".ome.tiff"} | {s: f".ome{s}" for s in suffixes if s.count(".") == 1}
    if len(ending) > 3 and (close := get_close_matches(ending.lower(), spelled, n=1, cutoff=0.75)):
        raise SettingsError(
            f"root_path {path!r} ends in {ending!r}. Did you mean {name + spelled[close[0]]!r}? "
            f"To keep the name, set format='ome-zarr' or format='ome-tiff'."
        )


def dtype_hint(value: Any, names: Iterable[str]) -> str:
    """Return what to write instead of an invalid dtype."""
    if isinstance(value, str) and re.fullmatch(r"u?int(9|1[0-5])", value):
        return " Cameras with 9 to 16 bits have frames of dtype uint16: write dtype='uint16'."
    hint = suggestion(value, names) if isinstance(value, str) else ""
    return hint or " Give the dtype of the frames, such as uint16."


def split_scale(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of a dimension with the unit of a scale, such as "0.1 um", apart; None if it has none."""
    found = re.fullmatch(r"\s*([-+\d.eE]*\d)\s*([^\s\d.]+)\s*", str(fields.get("scale")))
    if found is None or fields.get("unit") is not None:
        return None
    return {**fields, "scale": found[1], "unit": found[2]}
