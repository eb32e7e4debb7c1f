"""What all models share: strictness, and assignments that either hold or leave no trace."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import BaseModel, ConfigDict

__all__ = ["Model", "warn_user"]


class Model(BaseModel):
    """A pydantic model that refuses unknown fields and validates what is assigned.

    Instances inside other instances are validated again (and so copied): one that was changed by
    ``model_copy(update=...)``, which checks nothing, is checked here, and whoever passed it in can
    change it without changing the settings.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_default=True,
        validate_assignment=True,
        revalidate_instances="always",
    )

    # Hidden from type checkers, which would take it for a licence to assign any name.
    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            """Assign, or raise and change nothing.

            pydantic runs validators of mode "after" on the changed instance, and leaves it
            changed when they raise.
            """
            values, given = dict(self.__dict__), set(self.model_fields_set)
            try:
                super().__setattr__(name, value)
                self._follow(name)
            except BaseException:
                self.__dict__.clear()
                self.__dict__.update(values)
                self.model_fields_set.clear()
                self.model_fields_set.update(given)
                raise

    def _follow(self, name: str) -> None:
        """Do what an assignment to this field entails beyond what validators see to."""

    def _derive(self, **values: Any) -> None:
        """Set fields that follow from others: they stay "not set", so that they follow again."""
        vars(self).update(values)
        self.model_fields_set.difference_update(values)


_INTERNAL = (str(Path(pydantic.__file__).parent), str(Path(__file__).parent))


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, naming the line outside of pydantic and of this room that led here."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
