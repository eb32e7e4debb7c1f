"""`Derivation`: what an image that is computed from the images of a dataset is, and how it was computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeAlias

from pydantic_extra_types.color import Color

from ome_writers.errors import SettingsError
from ome_writers.formats.strict_json import to_plain_json

DerivedKind: TypeAlias = Literal["labels", "image"]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Derivation:
    """Name, kind, colors by label value, and provenance (function, version, parameters) of a derived image."""

    name: str
    kind: DerivedKind
    colors: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        kind: DerivedKind,
        colors: Mapping[int, Any] | None,
        function: str | Callable[..., Any] | None,
        parameters: Mapping[str, Any] | None,
    ) -> Derivation:
        """Return the derivation that the arguments of `OMEStream.derive` describe.

        Raises SettingsError for a name that cannot be that of a folder, an unknown kind, or a color that is not one.
        """
        if not _NAME.fullmatch(str(name)):
            raise SettingsError(
                f"The name of a derived image may consist of letters, digits and _ . + -, got {name!r}. Choose "
                f"another name, such as 'nuclei'."
            )
        if kind not in ("labels", "image"):
            raise SettingsError(f"kind must be 'labels' or 'image', got {kind!r}.")
        provenance: dict[str, Any] = {}
        if callable(function):
            module = getattr(function, "__module__", None) or "__main__"
            provenance["function"] = f"{module}.{getattr(function, '__qualname__', function)}"
            package = module.partition(".")[0].replace("skimage", "scikit-image")
            with suppress(PackageNotFoundError, ValueError):
                provenance["version"] = version(package)
        elif function is not None:
            provenance["function"] = str(function)
        if parameters:
            provenance["parameters"] = to_plain_json(dict(parameters))
        return cls(name, kind, _colors(colors or {}), provenance)

    @property
    def attributes(self) -> dict[str, Any]:
        """Kind and provenance, as the metadata of the image contains them."""
        return {"kind": self.kind, **self.provenance}

    def check_continues(self, stored: object, path: object) -> None:
        """Raise SettingsError if an image on disk, with these attributes, is another one: of other parameters, say."""
        known = stored if isinstance(stored, dict) else {}
        for key in ("kind", "function", "parameters"):
            if known.get(key) != (given := self.attributes.get(key)):
                raise SettingsError(
                    f"{path} was derived with {key} {known.get(key)!r:.100}, not {given!r:.100}. Pass the same to "
                    f"continue it, or choose another name."
                )


def _colors(colors: Mapping[int, Any]) -> dict[int, tuple[int, int, int, int]]:
    found = {}
    for value, color in colors.items():
        try:
            rgba = Color(color).as_rgb_tuple(alpha=True)
        except ValueError as error:
            raise SettingsError(
                f"The color of label {value} must be a name or #rrggbb, got {color!r}."
            ) from error
        red, green, blue, alpha = (*rgba, 1.0)[:4]
        found[int(value)] = (red, green, blue, round(255 * alpha))
    return found
