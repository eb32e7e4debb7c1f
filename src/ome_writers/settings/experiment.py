"""Who recorded an acquisition, of which specimen, by which method, and under which license."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from ome_writers.settings.coordinates import Name
from ome_writers.settings.model import Model

_ORCID = re.compile(r"(?:https?://orcid\.org/)?((?:\d{4}-){3}\d{3}[\dX])")
_ORGANISM = re.compile(r"(?:NCBI:txid|NCBITaxon[:_])?([1-9]\d*)")
_MODALITY = re.compile(r"(?:obo:)?FBbi[:_](\d{8})")


def _license_url(text: str) -> str:
    if text.startswith(("https://", "http://")):
        return text
    if re.fullmatch(r"[A-Za-z0-9.+-]+", text):
        return f"https://spdx.org/licenses/{text}"
    raise ValueError(f"expected an SPDX identifier such as CC-BY-4.0, or a URL, got {text!r}")


def _orcid(text: str) -> str:
    found = _ORCID.fullmatch(text) if text else None
    if text and (found is None or not _has_check_digit(found[1].replace("-", ""))):
        raise ValueError(f"expected an ORCID iD such as 0000-0002-1825-0097, got {text!r}")
    return f"https://orcid.org/{found[1]}" if found else ""


def _has_check_digit(digits: str) -> bool:
    """Whether the last of 16 characters is the check digit of the others (ISO 7064 MOD 11-2)."""
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    return digits[-1] == "0123456789X"[(12 - total % 11) % 11]


def _organism(value: object) -> str:
    found = _ORGANISM.fullmatch(str(value))
    if value != "" and found is None:
        raise ValueError(f"expected an NCBI taxonomy ID such as 9606, got {value!r}")
    return f"NCBI:txid{found[1]}" if found else ""


def _modality(text: str) -> str:
    found = _MODALITY.fullmatch(text)
    if text and found is None:
        raise ValueError(
            f"expected a term of the ontology FBbi such as FBbi:00000246, got {text!r}"
        )
    return f"obo:FBbi_{found[1]}" if found else ""


class Author(Model):
    """A person who recorded an acquisition.

    Attributes
    ----------
    name
        Full name.
    orcid
        ORCID iD, such as ``0000-0002-1825-0097``, or its URL.
    affiliation
        Name of the institution.
    """

    name: Name
    orcid: Annotated[str, AfterValidator(_orcid)] = ""
    affiliation: str = ""


class Experiment(Model):
    """What an RO-Crate states about an acquisition; see `AcquisitionSettings.experiment`.

    Attributes
    ----------
    license
        SPDX identifier, such as ``CC-BY-4.0``, or URL.
    authors
        In the order of citation.
    description
        One or more sentences.
    specimen
        What was imaged, and how it was prepared.
    organism
        NCBI taxonomy ID, such as 9606.
    modality
        Imaging method: a term of the ontology FBbi, such as ``FBbi:00000246`` (fluorescence microscopy).
    """

    license: Annotated[str, AfterValidator(_license_url)]
    authors: tuple[Author, ...] = ()
    description: str = ""
    specimen: str = ""
    organism: Annotated[str, BeforeValidator(_organism)] = ""
    modality: Annotated[str, AfterValidator(_modality)] = ""
