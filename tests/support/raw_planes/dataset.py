"""The files of the format: ``dataset.json``, and for each image ``image_N.raw`` and a journal of frame metadata."""

from __future__ import annotations

import json
import math
import os
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.formats import (
    Layout,
    Outcome,
    check_global_metadata,
    latest_entries,
    plan_from_settings,
    spec_of_plan,
)
from ome_writers.formats.report import Finding
from ome_writers.storage import atomic_write
from ome_writers.untrusted import read_json, read_lines
from ome_writers.validation import Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ome_writers.dataset import DatasetSpec
    from ome_writers.routing import Plan

DOCUMENT = "dataset.json"
_STARTUP = re.compile(rf"{re.escape(DOCUMENT)}|image_[0-9]+\.(raw|jsonl)")


def lay_out(plan: Plan) -> tuple[Plan, Layout]:
    root = Path(plan.settings.output_path)
    files, journals = (
        tuple(f"image_{image.number}.{suffix}" for image in plan.images)
        for suffix in ("raw", "jsonl")
    )
    return plan.with_keys(files, [[file] for file in files]), Layout(root, root, journals)


class RawPlanesMetadata:
    """Implements `ome_writers.formats.DatasetMetadata`."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self.settings = plan.settings.model_dump(mode="json")
        self.id, self.metadata, self.changed = uuid.uuid4().urn, {}, True
        self.outcome = Outcome("writing", shapes=tuple(i.shape for i in plan.images))

    def render(self) -> Iterator[tuple[str, bytes]]:
        if self.changed:
            self.changed = False
            outcome = self.outcome
            yield DOCUMENT, json.dumps({
                "raw_planes": self.id, "status": outcome.status, "frames": outcome.frames_written,
                "shapes": outcome.shapes, "settings": self.settings, "metadata": self.metadata,
            }).encode()  # fmt: skip

    def get_metadata(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.metadata))

    def update_metadata(self, metadata: Any) -> None:
        self.metadata, self.changed = json.loads(json.dumps(metadata)), True

    def set_global_metadata(self, namespace: str, metadata: Any) -> None:
        check_global_metadata(namespace, metadata)
        self.update_metadata({**self.metadata, namespace: dict(metadata)})

    def update_progress(self, outcome: Outcome) -> tuple[()]:
        self.outcome, self.changed = outcome, True
        return ()

    def finish(self, outcome: Outcome, journal: Any) -> None:
        self.update_progress(outcome)

    def embedded_journals(self) -> tuple[int, ...]:
        return ()  # the journals are part of the dataset


def recognizes(path: Path) -> bool:
    return (path / DOCUMENT).is_file()


def parse(path: Path) -> DatasetSpec:
    document = read_json(path / DOCUMENT, root=path)
    plan, layout = lay_out(plan_from_settings(document["settings"]))
    shapes = tuple(map(tuple, document["shapes"]))
    layout = replace(layout, root=path, output=path)
    outcome = Outcome(document["status"], document["frames"], shapes)
    return replace(spec_of_plan(plan, layout, outcome), metadata=document["metadata"])


def read_frames(path: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    count = len(parse(path).images)
    journals = (read_lines(path / f"image_{n}.jsonl", root=path) for n in range(count))
    return [(n, latest_entries(lines)) for n, lines in enumerate(journals)]


class Pixels:
    """Implements `ome_writers.views.OpenPixels`. A file that is too short is continued by zeros."""

    def __init__(self, path: Path, cache_bytes: int) -> None:
        self.path = path

    def spec(self) -> DatasetSpec:
        return parse(self.path)

    def array(self, image: int, level: int) -> Any:
        spec = self.spec().images[image]
        stored = np.fromfile(self.path / spec.key, spec.levels[level].dtype)
        samples = (spec.samples,) if spec.samples > 1 else ()
        planes = np.zeros((*spec.levels[level].shape, *samples), stored.dtype)
        planes.flat[: stored.size] = stored
        return planes

    def extents(self) -> dict[str, int]:
        return {}


def owned_files(path: Path) -> Callable[[str], bool] | None:
    if not recognizes(path) or "raw_planes" not in read_json(path / DOCUMENT, root=path):
        return None
    keys = {image.key for image in parse(path).images}
    return {DOCUMENT, *keys, *(key.replace(".raw", ".jsonl") for key in keys)}.__contains__


def is_startup_file(path: Path, key: str) -> bool:
    return _STARTUP.fullmatch(key) is not None


def find_problems(path: Path, *, dry_run: bool) -> Iterator[Finding]:
    for image in parse(path).images:
        file, level = path / image.key, image.levels[0]
        nbytes = math.prod(level.shape) * image.samples * np.dtype(level.dtype).itemsize
        if file.stat().st_size < nbytes:
            yield Finding(file, f"{file.stat().st_size} bytes instead of {nbytes}: zeros appended")
            if not dry_run:
                os.truncate(file, nbytes)
    document = read_json(path / DOCUMENT, root=path)
    if document["status"] == "writing":
        yield Finding(path / DOCUMENT, "status 'writing': changed to 'failed'")
        if not dry_run:
            content = json.dumps({**document, "status": "failed"}).encode()
            atomic_write(path / DOCUMENT, content, durable=True)


def check(path: Path) -> Iterator[Check]:
    try:
        parse(path)
    except (UnsupportedError, LookupError, TypeError, ValueError) as error:
        yield Check(DOCUMENT, (Finding(path / DOCUMENT, str(error), solved=False),))
    else:
        yield Check(DOCUMENT)
