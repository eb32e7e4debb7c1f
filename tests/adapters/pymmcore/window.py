"""Standalone application that presses Run in the acquisition widget of pymmcore-widgets, as a user does.

Started as a script, since a Qt application decides for a whole process which signals pymmcore-plus has. Arguments: a
folder; ``button``, ``writer`` (an `MDAWriter` instead of the saving of the widget) or ``gui`` (the widget in the window
of pymmcore-gui); the sequences as a JSON array; and a name to save to for each run. ``1:name@5`` is a run of the second
sequence, cancelled at its fifth frame. Prints a line of JSON for each run.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import superqt.iconify
import useq
from pymmcore_plus import CMMCorePlus
from PyQt6.QtWidgets import QApplication

from ome_writers_pymmcore import MDAWriter
from ome_writers_pymmcore.notifications import end_notifications

if TYPE_CHECKING:
    from pymmcore_widgets import MDAWidget

_SECONDS = 60  # for what normally takes one


@dataclass
class Run:
    """Result of one run."""

    cancel_at: int = -1
    saved_as: str = ""
    sequence: str = ""
    indices: list[dict[str, int]] = field(default_factory=list)
    error: str = ""
    is_over: bool = False
    seen: bool = False  # whether the live view has each delivered frame


class Window:
    """The widget, and what its core tells in the thread of the window."""

    def __init__(self, folder: Path, how: str) -> None:
        self.folder = folder
        icon = folder / "icon.svg"  # they are downloaded
        icon.write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>', encoding="utf-8")
        superqt.iconify.svg_path = lambda *_, **__: icon
        self.gui = self._main_window() if how == "gui" else None
        self.app = QApplication.instance() or QApplication([])
        self.core = CMMCorePlus.instance()
        self.core.loadSystemConfiguration()
        for name, value in (("OnCameraCCDXSize", 48), ("OnCameraCCDYSize", 32), ("Mode", "Noise")):
            self.core.setProperty("Camera", name, value)
        self.widget = self._widget()
        self.run, self.frames, self.view = Run(), [], None
        self.core.mda.events.sequenceStarted.connect(self._started)
        self.core.mda.events.frameReady.connect(self._came)
        self.core.mda.events.sequenceFinished.connect(self._over)
        threading.excepthook = self._failed

    def press(self, how: str, sequence: useq.MDASequence, name: str) -> Run:
        """Run a sequence once, saving to `name`, and wait for the end."""
        self.widget.setValue(sequence)
        name, _, cancel = name.partition("@")
        self.run, self.frames, self.view = Run(cancel_at=int(cancel or -1)), [], None
        writer = None
        if how == "writer":
            writer = MDAWriter(self.folder / name, core=self.core, numbered=True)
            self.widget.execute_mda(writer)
        else:
            self.widget.save_info.setValue(
                {"save_dir": str(self.folder), "save_name": name, "should_save": True}
            )
            self.widget.control_btns.run_btn.click()
        until = time.monotonic() + _SECONDS
        while not (self.run.is_over and self.core.mda.status.phase == "idle"):
            assert time.monotonic() < until, "the run does not end"
            self.app.processEvents()
            time.sleep(0.002)
        self.app.processEvents()
        if writer is not None:
            writer.result(_SECONDS)
            self.view, self.run.saved_as = (
                writer.view(),
                Path(writer.stream.settings.root_path).name,
            )
        if self.gui is not None:
            for _ in range(20):  # the viewer updates 10 ms after each frame
                time.sleep(0.005)
                self.app.processEvents()
        if self.view is not None:
            planes = np.asarray(self.view).reshape(-1, 32, 48)
            self.run.seen = all((planes == frame).all((1, 2)).any() for frame in self.frames)
        return self.run

    def _main_window(self) -> Any:
        from pymmcore_gui import WidgetAction, create_mmgui

        window = create_mmgui(mm_config=False, exec_app=False, install_sentry=False)
        QApplication.instance().exceptionRaised.connect(self._raised)
        window.get_widget(WidgetAction.MDA_WIDGET)
        return window

    def _widget(self) -> MDAWidget:
        from pymmcore_widgets import MDAWidget

        if self.gui is not None:
            return self.gui.findChild(MDAWidget)
        widget = MDAWidget(mmcore=self.core)
        widget.show()
        return widget

    def _started(self, sequence: useq.MDASequence, _: Any) -> None:
        self.run.sequence = sequence.model_dump_json(exclude_unset=True)
        self.run.saved_as = sequence.metadata["pymmcore_widgets"].get("save_name", "")
        self.view = self.core.mda.get_view()  # where pymmcore-gui asks for it

    def _came(self, image: np.ndarray, event: useq.MDAEvent, _: Any) -> None:
        self.frames.append(image.copy())
        self.run.indices.append({str(axis): int(i) for axis, i in event.index.items()})
        if len(self.frames) == self.run.cancel_at:
            self.widget.control_btns.cancel_btn.click()

    def _over(self, _: useq.MDASequence) -> None:
        self.run.is_over = True

    def _raised(self, error: BaseException) -> None:
        self.run.error = f"{type(error).__name__}: {error}"

    def _failed(self, args: Any) -> None:
        self.run.error = f"{args.exc_type.__name__}: {args.exc_value}"


def main() -> None:
    """Press Run as often as names are given."""
    folder, how, text, *names = sys.argv[1:]
    sequences = [useq.MDASequence.model_validate(each) for each in json.loads(text)]
    window = Window(Path(folder), how)
    for number, each in enumerate(names):
        choice, _, name = each.rpartition(":")
        run = window.press(how, sequences[int(choice or 0)], name)
        np.savez(window.folder / f"{number}.npz", *window.frames)
        print(json.dumps(asdict(run)), flush=True)
    (window.gui or window.widget).close()
    window.core.reset()
    end_notifications(window.core)


if __name__ == "__main__":
    main()
