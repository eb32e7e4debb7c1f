"""Errors of this library, as text."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import ome_writers
from ome_writers import InvalidFileError, OMEWritersError, WriteError

NAME = "a\x1b]0;title\x07\x9b31m\u202e\rb"
ESCAPED = r"a\x1b]0;title\x07\x9b31m\u202e\rb"


@pytest.mark.parametrize("kind", [OMEWritersError, InvalidFileError, WriteError])
def test_messages_have_control_characters_as_escapes(kind: type[OMEWritersError]) -> None:
    """A traceback prints the message, which may contain a name of a file, to a terminal."""
    error = kind(f"{NAME}:\nnext line")
    assert str(error) == f"{ESCAPED}:\nnext line"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_names_of_settings_are_escaped_in_errors() -> None:
    with pytest.raises(ome_writers.SettingsError) as caught:
        ome_writers.AcquisitionSettings.model_validate({NAME: 1})
    assert ESCAPED in str(caught.value)


def test_errors_with_a_number_of_the_system_keep_their_text(tmp_path: Path) -> None:
    error = WriteError("disk full", [3])
    assert (str(error), error.frames) == ("disk full", (3,))
    assert ome_writers.OutputExistsError(17, "exists", str(tmp_path)).filename == str(tmp_path)
