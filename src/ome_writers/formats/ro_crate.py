"""RO-Crate: license, authors, specimen and imaging method of a dataset, as linked data.

Sources: https://w3id.org/ro/crate/1.1; for specimen and method, the files of the OME 2024 NGFF challenge,
https://github.com/ome/ome2024-ngff-challenge.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import OutputExistsError
from ome_writers.formats.dataset_metadata import library_version
from ome_writers.formats.registry import format_row
from ome_writers.settings import Author, Experiment
from ome_writers.storage import atomic_write
from ome_writers.untrusted import read_json

if TYPE_CHECKING:
    from ome_writers.formats.settings_edit import Changes

CRATE_NAME = "ro-crate-metadata.json"

_SOFTWARE = "https://github.com/pymmcore-plus/ome-writers"
_TERMS = {
    "obo": "http://purl.obolibrary.org/obo/",
    "specimen": "http://purl.obolibrary.org/obo/HSO_0000308",
    "biosample": "http://purl.obolibrary.org/obo/OBI_0002648",
    "organism_classification": "https://schema.org/taxonomicRange",
    "image_acquisition": "https://schema.org/CreateAction",
    "fbbi_id": "https://schema.org/measurementTechnique",
    "resultOf": {"@reverse": "https://schema.org/result", "@type": "@id"},
}

Entity = dict[str, Any]


def crate_path(dataset: Path) -> Path:
    """Return the path of a dataset's RO-Crate: in its directory, or beside its file, with that file's name as prefix.

    The prefix is that of RO-Crate 1.2 for a crate without a directory of its own.
    """
    if dataset.is_dir():
        return dataset / CRATE_NAME
    return dataset.with_name(f"{dataset.name}-{CRATE_NAME}")


def is_own_crate(file: Path) -> bool:
    """Whether this library wrote an RO-Crate."""
    try:
        graph = read_json(file)["@graph"]
        return any(e["@id"] == CRATE_NAME and e["creator"] == _reference(_SOFTWARE) for e in graph)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def refuse_foreign_crate(file: Path) -> None:
    """Raise OutputExistsError if another program, or a person, wrote the RO-Crate at a path."""
    if file.exists() and not is_own_crate(file):
        raise OutputExistsError(
            f"{file} exists, and ome-writers did not write it. Edit it, or remove it yourself."
        )


def render_crate(dataset: Path, spec: DatasetSpec, experiment: Experiment) -> bytes:
    """Return the RO-Crate of the dataset at a path."""
    date = spec.settings.acquisition_date if spec.settings else None
    row = format_row(spec.format)
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": dataset.name,
        "description": experiment.description or spec.description or _summary(spec),
        "datePublished": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "dateCreated": date.isoformat() if date else spec.updated or spec.started or "",
        "license": _reference(experiment.license),
        "author": [],
    }
    entities: list[Entity] = [
        {
            "@id": CRATE_NAME,
            "@type": "CreativeWork",
            "conformsTo": _reference("https://w3id.org/ro/crate/1.1"),
            "about": _reference("./"),
            "creator": _reference(_SOFTWARE),
        },
        root,
        {
            "@id": _SOFTWARE,
            "@type": "SoftwareApplication",
            "name": "ome-writers",
            "version": library_version(),
            "url": _SOFTWARE,
        },
        {
            "@id": experiment.license,
            "@type": "CreativeWork",
            "name": experiment.license.removeprefix("https://spdx.org/licenses/"),
        },
    ]
    for number, author in enumerate(experiment.authors, 1):
        entities += _author(author, author.orcid or f"#author-{number}")
        root["author"].append(_reference(author.orcid or f"#author-{number}"))
    if acquisition := _acquisition(experiment):
        entities += acquisition
        root["resultOf"] = _reference(acquisition[0]["@id"])
    if not row.chunked:
        names = sorted({image.key for image in spec.images})
        parts = [
            {"@id": quote(name), "@type": "File", "name": name, "encodingFormat": "image/tiff"}
            for name in names
        ]
        root["hasPart"] = [_reference(part["@id"]) for part in parts]
        entities += parts
    graph = {entity["@id"]: {k: v for k, v in entity.items() if v} for entity in entities}
    crate = {"@context": ["https://w3id.org/ro/crate/1.1/context", _TERMS]}
    crate["@graph"] = list(graph.values())
    return _encoded(crate)


def edit_crate(dataset: Path, spec: DatasetSpec, changes: Changes) -> Path | None:
    """Change description and start in the RO-Crate of a dataset; return its path if that has changed it.

    A crate of another program is kept.
    """
    file = crate_path(dataset)
    new: Entity = {}
    if changes.description is not None:
        new["description"] = changes.description or _summary(spec)
    if changes.started is not None:
        new["dateCreated"] = changes.started.isoformat()
    if not new or not is_own_crate(file):
        return None
    crate = read_json(file)
    for entity in crate["@graph"]:
        if entity["@id"] == "./":
            entity.update(new)
    atomic_write(file, _encoded(crate), durable=True)
    return file


def _summary(spec: DatasetSpec) -> str:
    first, count = spec.images[0], len(spec.images)
    shape = " x ".join(f"{n} {axis}" for axis, n in zip(first.dims, first.shape, strict=True))
    title = format_row(spec.format).title
    return f"{title} {spec.version}, {count} image{'s' * (count > 1)} of {shape}"


def _encoded(crate: Entity) -> bytes:
    return json.dumps(crate, indent=2, ensure_ascii=False).encode(errors="replace")


def _author(author: Author, key: str) -> list[Entity]:
    person: Entity = {"@id": key, "@type": "Person", "name": author.name}
    if not author.affiliation:
        return [person]
    institution = f"#{quote(author.affiliation)}"
    person["affiliation"] = _reference(institution)
    return [person, {"@id": institution, "@type": "Organization", "name": author.affiliation}]


def _acquisition(experiment: Experiment) -> list[Entity]:
    """Return the entities of method, specimen and organism, the method first; empty if none of them is known."""
    if not (experiment.modality or experiment.specimen or experiment.organism):
        return []
    acquisition: Entity = {"@id": "#acquisition", "@type": "image_acquisition"}
    specimen: Entity = {"@id": "#specimen", "@type": "specimen", "description": experiment.specimen}
    sample: Entity = {"@id": "#biosample", "@type": "biosample"}
    acquisition["specimen"] = _reference("#specimen")
    specimen["biosample"] = _reference("#biosample")
    if experiment.modality:
        acquisition["fbbi_id"] = _reference(experiment.modality)
    if experiment.organism:
        sample["organism_classification"] = _reference(experiment.organism)
    return [acquisition, specimen, sample]


def _reference(key: str) -> Entity:
    return {"@id": key}
