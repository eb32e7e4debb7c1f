"""Base class of all models: strict, with atomic assignment."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationError

from ome_writers.errors import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema
    from typing_extensions import Self


_ATTRIBUTES = "\nAttributes\n----------\n"  # heading of a section, see numpydoc
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*)\n((?:(?: .*)?\n?)+)", re.MULTILINE)


def keyword_arguments(names: Iterable[str], values: Sequence[Any]) -> str:
    """Return values as keyword arguments in Python, for a message about arguments without a name."""
    return ", ".join(f"{name}={short_repr(v)}" for name, v in zip(names, values, strict=False))


def _readable(error: ValidationError, model: type[BaseModel], values: Any) -> ValidationError:
    from ome_writers.settings.validation_errors import InvalidSettingsError  # for errors only

    return InvalidSettingsError.of(error, model, values)


if TYPE_CHECKING:
    _Base = BaseModel  # its metaclass does not have a public name
else:

    class _ReadableErrors(type(BaseModel)):
        """Calls raise InvalidSettingsError. An ``__init__`` would also be called for each nested model."""

        def __call__(cls, *values: Any, **fields: Any) -> Any:
            if values:
                raise TypeError(
                    f"{cls.__name__} takes keyword arguments only, got {len(values)} without a name. "
                    f"Write {cls.__name__}({keyword_arguments(cls.model_fields, values)})."
                )
            if not cls.__pydantic_complete__:  # annotations that only the caller can resolve
                cls.model_rebuild(raise_errors=False, _parent_namespace_depth=3)
            try:
                return super().__call__(**fields)
            except ValidationError as error:
                from ome_writers.settings.validation_errors import split_scale

                if split := split_scale(fields):
                    return cls(**split)
                raise _readable(error, cls, fields) from None

    class _Base(BaseModel, metaclass=_ReadableErrors):
        pass


class Model(_Base):
    """A pydantic model that forbids unknown fields and validates assignments.

    Nested instances are validated again, and thereby copied: ``model_copy(update=...)`` does not validate, and later
    changes to an instance that was passed in must not change the settings.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_default=True,
        validate_assignment=True,
        revalidate_instances="always",
    )

    # Hidden from type checkers, which would otherwise allow assignments to any name.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            """Assign, or raise and leave the instance unchanged.

            pydantic runs "after" validators on the changed instance, and does not restore it when they raise.
            """
            values, given = dict(self.__dict__), set(self.model_fields_set)
            try:
                super().__setattr__(name, value)
                self._update_derived(name)
            except BaseException as error:
                self.__dict__.clear()
                self.__dict__.update(values)
                self.model_fields_set.clear()
                self.model_fields_set.update(given)
                if isinstance(error, ValidationError):
                    raise _readable(error, type(self), values) from None
                raise

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        from ome_writers.settings.representation import changed_fields

        return changed_fields(self, super().__repr_args__())

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Create an instance from a mapping, as pydantic does."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise _readable(error, cls, obj) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Create an instance from JSON, as pydantic does."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            raise _readable(error, cls, None) from None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema, with the descriptions of the docstring's section "Attributes"."""
        schema = handler(core_schema)
        definition = handler.resolve_ref_schema(schema)
        for base in reversed(cls.__mro__):
            summary, _, attributes = inspect.cleandoc(base.__doc__ or "").partition(_ATTRIBUTES)
            if base is cls and attributes:
                definition["description"] = summary.strip()
            for names, text in _ATTRIBUTE.findall(attributes):
                for name in definition.get("properties", {}).keys() & names.split(", "):
                    definition["properties"][name]["description"] = " ".join(text.split())
        return schema

    def _update_derived(self, name: str) -> None:
        """Update derived fields after an assignment to field `name`."""

    def _derive(self, **values: Any) -> None:
        """Set fields without adding them to `model_fields_set`, so that they are derived again."""
        vars(self).update(values)
        self.model_fields_set.difference_update(values)


_INTERNAL = (str(Path(pydantic.__file__).parent), str(Path(__file__).parent))


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn with the location of the caller outside of pydantic and this package."""
    level, frame = 1, sys._getframe()  # noqa: SLF001 # documented in `sys`
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
