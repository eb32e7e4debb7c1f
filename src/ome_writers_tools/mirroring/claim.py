"""The claim: a document in a store with the id of the dataset whose copy is there."""

from __future__ import annotations

import hashlib
import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from ome_writers.toolkit import MovedFiles, detect_format


def claim_key(source: Path) -> str:
    """Return the key of the claim; the copies of several single files may be below one URL."""
    return MovedFiles.CLAIM if source.is_dir() else f".{source.name}{MovedFiles.CLAIM}"


def dataset_id(source: Path) -> str:
    """Return the id in the metadata of a dataset; for datasets without one, a hash of host and path."""
    found = detect_format(source).dataset_id(source)
    if isinstance(found, str) and found:
        return found
    location = f"{socket.gethostname()}:{source.resolve()}"
    return f"path:{hashlib.sha256(location.encode(errors='replace')).hexdigest()}"


def read_claim(store: Any, key: str) -> str | None:
    """Return the id of the dataset that has claimed a URL; None without a claim, "" if it is not readable."""
    from obstore import get

    try:
        content = bytes(get(store, key).bytes())
    except FileNotFoundError:
        return None
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return str(json.loads(content)["dataset"])
    return ""


def put_claim(store: Any, key: str, dataset: str, *, replace: bool) -> None:
    """Claim a URL for the dataset with this id. Without `replace`, an existing claim is kept: read it afterwards."""
    from obstore import put
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    content = json.dumps({"dataset": dataset, "program": "ome-writers"}).encode()
    if not replace:
        try:
            put(store, key, content, mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return
        except (BaseError, OSError, NotImplementedError):
            pass  # not every store has this mode: WebDAV does not, and SMB has no hard links
        else:
            return
    put(store, key, content, use_multipart=False)
