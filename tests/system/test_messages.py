"""Mistakes of users and the messages that they get: every row of ``messages.txt``.

A row is Python after ``>>>``, or a command line after ``$``, and below it what the user sees: the error, or without one
the warning or the line of the log. ``python tests/system/test_messages.py`` replaces the messages in the file by
those of this version; read the difference.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import logging
import os
import re
import shlex
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import ome_writers
import ome_writers_pymmcore
from ome_writers import codecs
from ome_writers_tools.cli import main

TABLE = Path(__file__).with_name("messages.txt")
# Not for users: text of libraries, Python's text about internals, web addresses, and tracebacks.
FOREIGN = re.compile(
    r"pydantic|https?://\w|Traceback|'NoneType'|Errno|object has no attribute|object is not|"
    r"not supported between|invalid literal|KeyError|AttributeError|For further information|Input should|"
    r"Error serializing|weak reference|"
    r"^(?!OMEStream.append takes).*(unexpected keyword argument|positional argument)"
)
# How messages list the compressions, which `codecs` may get more of.
_NAMES = [*codecs.COMPRESSIONS]
COMPRESSIONS = {
    "(ZARR)": str(tuple(codecs.ZARR_COMPRESSIONS)),
    "(TIFF)": str(tuple(codecs.TIFF_COMPRESSIONS)),
    "(ANY)": f"{', '.join(map(repr, _NAMES[:-1]))} or {_NAMES[-1]!r}",
    "ANY": ", ".join(_NAMES),
}
EXAMPLES = """
import os
import numpy as np
import ome_writers
import ome_writers_pymmcore
import ome_writers_useq
import useq
from ome_writers import *
from ome_writers import create_stream, processing

AXES = dims_from_standard_axes({"t": 4, "y": 8, "x": 8})
Q = {"dimensions": AXES, "dtype": "uint16"}
FRAME = np.zeros((8, 8), "uint16")
Y, X = Dimension(name="y", count=4), Dimension(name="x", count=6)
T, C, Z, P = (Dimension(name=name, count=2) for name in "tczp")
WELL_A1 = Position(name="one", plate_row="A", plate_column="1")
WELL_C7 = Position(name="far", plate_row="C", plate_column="7")
PLATE = Plate(row_names=["A"], column_names=["1"])


def settings(*dimensions, **fields):
    return AcquisitionSettings(dimensions=dimensions, **fields)


def positions(*coords):
    return Dimension(name="p", type="position", coords=list(coords))


def record(path, count=8):
    axes = dims_from_standard_axes({"t": 4, "c": ["DAPI", "FITC"], "y": 8, "x": 8})
    with create_stream(root_path=path, dimensions=axes, dtype="uint16") as stream:
        for i in range(count):
            stream.append(FRAME + i)


record("run.ome.zarr")
record("run.ome.tiff")
record("labelled.ome.zarr")
os.makedirs("labelled.ome.zarr/labels")
with open("labelled.ome.zarr/labels/zarr.json", "w") as file:
    file.write('{"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"labels": []}}}')
os.makedirs("photos")
for name, content in {"photos/a.jpg": "x", "bad.ome.tiff": "not a TIFF", "notes.txt": "x"}.items():
    with open(name, "w") as file:
        file.write(content)
stream = create_stream(root_path="open.ome.zarr", **Q)
stream.append(FRAME)
full = create_stream(format="scratch", dimensions=AXES[1:], dtype="uint16")
full.append(FRAME)
tiff = create_stream(root_path="open.ome.tiff", **Q)
closed = create_stream(root_path="closed.ome.zarr", **Q)
closed.close()
view = ome_writers.open("run.ome.zarr")
SEQUENCE = useq.MDASequence(time_plan={"interval": 0, "loops": 2})
"""


class Session:
    """A folder with example data, and the names that rows use; run in this folder."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.folder = os.path.realpath(".")
        exec(compile(EXAMPLES, "examples", "exec"), self.names)

    def close(self) -> None:
        for name in ("stream", "full", "tiff"):
            self.names[name].close()

    def message(self, mistake: str) -> str:
        """Return what a user sees."""
        text = self._command(mistake[2:]) if mistake.startswith("$") else self._python(mistake)
        escaped = self.folder.replace("\\", "\\\\")
        for folder in (Path(self.folder).as_uri().removeprefix("file://"), escaped, self.folder):
            text = text.replace(folder, "/data")
        text = re.sub(rf"\b{os.getpid()}\b", "PID", text.replace("\\\\", "/")).strip()
        if os.name == "nt":
            text = text.replace("\\", "/")
        # Python 3.12 writes choices without quotes, Python 3.13 suggests keywords
        text = re.sub(r"choose from .*", lambda found: found[0].replace("'", ""), text)
        for short, long in COMPRESSIONS.items():
            text = text.replace(long, short)
        return re.sub(r"(unexpected keyword argument '\w+')\. Did.*", r"\1", text)

    def _python(self, mistake: str) -> str:
        body = ast.parse("\n".join(line[4:] for line in mistake.splitlines())).body
        log = io.StringIO()
        handler = logging.StreamHandler(log)
        handler.setLevel(logging.WARNING)
        logger = logging.getLogger("ome_writers")
        logger.addHandler(handler)
        propagate, logger.propagate = logger.propagate, False
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                exec(compile(ast.Module(body, []), "mistake", "exec"), self.names)
        except Exception as error:
            text = error.args[0] if isinstance(error, KeyError) else str(error)
            return f"{type(error).__name__}: {text}"
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagate
        return "\n".join([f"{w.category.__name__}: {w.message}" for w in caught] + [log.getvalue()])

    def _command(self, line: str) -> str:
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = main(shlex.split(line)[1:])
        shown = errors.getvalue() or output.getvalue()
        lines = [text for text in shown.splitlines() if text.startswith("ome-writers")]
        return "\n".join(lines or shown.splitlines()) if status else ""


def rows(text: str) -> list[tuple[str, str]]:
    """Return the mistakes and their messages."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        mistake = [line for line in lines if line.startswith((">>> ", "... ", "$ "))]
        if mistake:
            found.append(("\n".join(mistake), "\n".join(lines[len(mistake) :])))
    return found


ROWS = rows(TABLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    earlier = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("mistakes"))
    made = Session()
    yield made
    made.close()
    os.chdir(earlier)


@pytest.mark.parametrize(("mistake", "message"), ROWS, ids=[row[0][4:64] for row in ROWS])
def test_message_of_a_mistake(session: Session, mistake: str, message: str) -> None:
    assert session.message(mistake) == message


def test_messages_are_those_of_this_library() -> None:
    """None contains the text of a library, a web address, or an exception of internals."""
    texts = [message.partition(": ")[2] or message for _, message in ROWS]
    assert [text for text in texts if FOREIGN.search(text)] == []


def test_each_mistake_is_answered_once() -> None:
    mistakes = [mistake for mistake, _ in ROWS]
    assert len(mistakes) == len(set(mistakes)) > 500
    assert all(message for _, message in ROWS)


def test_error_of_settings_is_also_that_of_pydantic() -> None:
    with pytest.raises(ValidationError) as caught:
        ome_writers.AcquisitionSettings(overwite=True)  # type: ignore[call-arg]  # misspelt
    assert isinstance(caught.value, ome_writers.SettingsError)
    assert [(e["loc"], e["type"], e["input"]) for e in caught.value.errors()] == [
        (("overwite",), "extra_forbidden", True)
    ]


def test_warning_is_located_at_the_caller() -> None:
    with pytest.warns(UserWarning, match="writing OME-Zarr") as caught:
        ome_writers.AcquisitionSettings(root_path="somewhere")
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "function",
    [ome_writers.create_stream, ome_writers_pymmcore.MDAWriter, ome_writers_pymmcore.record],
    ids=lambda function: function.__name__,
)
def test_signature_lists_the_settings(function: Any) -> None:
    """IPython and editors complete the keywords of a signature."""
    fields = set(ome_writers.AcquisitionSettings.model_fields)
    # the adapters have it as `output`
    assert fields - inspect.signature(function).parameters.keys() <= {"root_path"}


def test_signature_of_append_lists_its_keywords() -> None:
    parameters = inspect.signature(ome_writers.OMEStream.append).parameters
    assert [*parameters][1:] == ["frame", "index", "copy", "frame_metadata"]


def write_table() -> None:
    """Write the messages of this version into the table."""
    table = TABLE.read_text(encoding="utf-8")
    earlier = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        session = Session()
        parts = []
        for block in re.split(r"\n\s*\n", table.strip()):
            found = rows(block)
            comments = [line for line in block.splitlines() if line.startswith("#")]
            if found:
                comments += [found[0][0], session.message(found[0][0])]
            parts.append("\n".join(comments))
        session.close()
        os.chdir(earlier)
    TABLE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write_table())
