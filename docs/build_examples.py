"""Write the pages of the examples, with what they print and draw: ``python docs/build_examples.py [NAME ...]``.

The named examples run, or all, each in an empty directory. `tox -e example-pages` installs their requirements; without
a screen, run it under ``xvfb-run``. An example whose requirements are not installed keeps its output.
``tests/test_examples.py`` compares the pages with the examples and what they print.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
EXAMPLES = REPOSITORY / "examples"
PAGES = REPOSITORY / "docs" / "examples"
PICTURES = {
    "notebook": {
        "live": "Blue nuclei at time point 2, in which the first ones become green",
        "all-time-points": "The same field of view at six time points: green spots become brighter",
        "kymograph": "One row of pixels over time, as six bands",
    },
    "acquisition_window": {"window": "A window with tabs for channels and time, and a button Run"},
    "masks_in_napari": {
        "window": "A window of napari: gray spots, and over each of them a mask in a color of its own"
    },
    "live_view_ndv": {"window": "A window of ndv with a composite image and sliders for t and z"},
}
INTRODUCTION = """\
These files are in the directory `examples` of the repository. Each runs in an empty directory, writes into it, and
prints a result. `pip install "ome-writers[all]>=1"` installs what they need, except for windows:
`pip install pymmcore-widgets "ndv[pyqt,vispy]" "napari[pyqt6]" scikit-image`."""
MISSING_REQUIREMENT = "This example needs"
# Their output depends on the speed of the machine or on the demo camera's image.
VARIABLE_OUTPUT = ("burst", "live_progress", "masks_in_napari", "smart_acquisition")


def groups() -> dict[str, dict[str, str]]:
    """Return the tables of ``examples/README.md``: title to names of examples, with what each shows."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| (.+) \| \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.M)
    row = re.compile(r"^\| \[(\w+)\.py\]\S+ \| (.+) \|$", re.M)
    return {title: dict(row.findall(rows)) for title, rows in tables}


def page_path(title: str) -> Path:
    return PAGES / f"{title.replace(' ', '-')}.md"


def picture_path(name: str, picture: str) -> Path:
    return PAGES / "images" / f"{name}-{picture}.webp"


def recorded_outputs(page: Path) -> dict[str, str]:
    """Return the outputs on a page by the name of the example."""
    if not page.exists():
        return {}
    text = page.read_text(encoding="utf-8")
    return dict(re.findall(r"^## (\w+)\.py\n.*?^```text\n(.*?)\n```$", text, re.M | re.S))


def comparable(name: str, output: str) -> list[str]:
    """Return the lines of an output without what differs between two runs."""
    if name in VARIABLE_OUTPUT:
        masked = re.sub(r"[\d.#]+", "0", re.sub(r" of \d+", "", output))
        return list(dict.fromkeys(masked.split("\n")))
    return re.sub(r"\d+ frames/s", "0 frames/s", output).split("\n")


def render(title: str, outputs: dict[str, str]) -> str:
    """Return the page of a group of examples."""
    parts = [
        f"# Examples: {title}",
        "<!-- Written by docs/build_examples.py: edit the examples, and run it. -->",
        INTRODUCTION,
    ]
    for name, shown in groups()[title].items():
        code = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").strip()
        parts += [
            f"## {name}.py",
            f"{shown[0].upper()}{shown[1:]}.",
            f"<!-- not run: tests/test_examples.py runs it -->\n```python\n{code}\n```",
            f"Output:\n\n```text\n{outputs[name]}\n```",
        ]
        for picture, alternative in PICTURES.get(name, {}).items():
            path = picture_path(name, picture).relative_to(PAGES).as_posix()
            parts.append(f"![{alternative}]({path})")
    return "\n\n".join(parts) + "\n"


def run(name: str) -> str:
    """Run an example in an empty directory, convert the pictures that it leaves there, and return its output."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--in-process", EXAMPLES / f"{name}.py"]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
        for picture in PICTURES.get(name, {}):
            if (file := Path(folder, f"{picture}.png")).exists():
                Image.open(file).save(picture_path(name, picture), quality=85, method=6)
    return done.stdout.strip("\n")


def run_in_process(example: str) -> None:
    """Run an example that closes its window itself, and save a picture of that window before."""
    try:
        import qtpy.QtWidgets
    except ImportError:
        pass
    else:
        qtpy.QtWidgets.QApplication = application_class()
    sys.argv = [example, "--close"]
    try:
        runpy.run_path(example, run_name="__main__")
    finally:
        sys.stdout.flush()
    os._exit(0)  # Micro-Manager's core sometimes crashes during interpreter shutdown


def application_class() -> type:
    """Return a QApplication whose `quit` saves a picture of the open window first."""
    from qtpy.QtCore import Signal
    from qtpy.QtWidgets import QApplication

    class Application(QApplication):
        quit_requested = Signal()  # may be emitted in the thread of the acquisition

        def __init__(self, arguments: list[str]) -> None:
            super().__init__(arguments)
            self.quit_requested.connect(self._save_picture_and_quit)

        def quit(self) -> None:
            self.quit_requested.emit()

        def _save_picture_and_quit(self) -> None:
            (window,) = (w for w in self.topLevelWidgets() if w.isVisible())
            window.grab().save("window.png")
            super().quit()

    return Application


def main() -> None:
    wanted = sys.argv[1:]
    (PAGES / "images").mkdir(parents=True, exist_ok=True)
    for title, examples in groups().items():
        outputs = recorded_outputs(page_path(title))
        for name in examples:
            if wanted and name not in wanted:
                continue
            output = run(name)
            if output.startswith(MISSING_REQUIREMENT):
                print(f"{name}: not run. {output}")
            else:
                outputs[name] = output
                print(f"{name}: done")
        page_path(title).write_text(render(title, outputs), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_in_process(sys.argv[2]) if sys.argv[1:2] == ["--in-process"] else main()
