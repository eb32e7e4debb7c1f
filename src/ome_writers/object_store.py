"""Object stores by URL, through obstore: for mirrors and for reading remote datasets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ome_writers.aws_profile import profile_options
from ome_writers.errors import SettingsError, UnsupportedError

_SCHEMES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "https", "http", "file")
_REQUEST_TIMEOUT = "300s"  # obstore's 30 s are too short for a large object over a slow connection
_RETRY = {"max_retries": 10, "retry_timeout": timedelta(seconds=30)}
# in the text of obstore's errors
_CONNECTION_FAILURE = re.compile(r'Debug source:.*\b(?:message|error): "([^"]+)"', re.DOTALL)
_NO_SERVER = re.compile(r'kind: ConnectionRefused|"dns error"')
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_SECRET_VARIABLE = re.compile(r"(AWS|AZURE|GOOGLE)_.*(KEY|SECRET|TOKEN|SAS|PASSWORD)")
_SECRET_OPTION = re.compile(r"key|secret|token|sas|password|credential", re.IGNORECASE)
# address of the machine in the cloud that gives credentials, which clients of S3 ask last
_NO_CREDENTIALS = re.compile(r"169\.254\.169\.254|metadata\.google\.internal")
_MIN_SECRET_CHARACTERS = 6


def check_store_url(url: str | os.PathLike[str]) -> str:
    """Return the URL of a folder of an object store, without a ``/`` at its end; the path of a folder as ``file://``.

    A string is a path if it is absolute or begins with ``.`` or ``~``.

    Raises SettingsError if the scheme is unknown, and UnsupportedError if the URL contains credentials. It is not a
    ValueError, since pydantic's error would contain the URL.
    """
    given: object = url
    if not isinstance(given, (str, os.PathLike)):
        raise SettingsError(
            f"The target of a mirror must be a URL or a path, got {given!r}. Write s3://BUCKET/PREFIX, or the path of "
            f"a folder such as /mnt/share/run.ome.zarr."
        )
    if isinstance(url, os.PathLike) or _is_path(url):
        return Path(url).expanduser().absolute().as_uri()
    parts = urlsplit(url)
    known = f"{parts.scheme}://..." if parts.scheme in _SCHEMES else "The URL"
    if parts.username is not None or parts.query or parts.fragment:
        raise UnsupportedError(
            f"{known} contains credentials or a query, which would be stored. Remove everything between '//' and '@', "
            f"and after '?'; credentials are taken from the environment, or from storage_options."
        )
    if parts.scheme not in _SCHEMES or not (parts.netloc or parts.scheme == "file"):
        raise SettingsError(
            f"{url!r} is not the URL of an object store, nor the absolute path of a folder. Write s3://BUCKET/PREFIX, "
            f"gs://, az://, https://, file:// or a path such as /mnt/share/run.ome.zarr."
        )
    return url.rstrip("/")


def _is_path(url: str) -> bool:
    return url.startswith((".", "~")) or os.path.isabs(url)


def open_store(url: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return the obstore store whose keys are relative to `url`. No request is sent.

    The folder of a ``file://`` URL, which has no options, is created. See `check_store_url`, and
    `obstore.store.from_url` for `options`.

    Raises UnsupportedError if obstore is not installed; SettingsError if the URL or the options are invalid.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import LocalStore, from_url
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f'{url.partition(":")[0]}:// URLs need obstore: pip install "ome-writers[cloud]"'
        ) from error
    url = check_store_url(url)
    given = dict(options or {})
    if folder := local_folder(url):
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder)
    if urlsplit(url).scheme in ("s3", "s3a"):
        given |= profile_options(given)
    endpoint = given.get("endpoint") or next(filter(None, map(os.environ.get, _ENDPOINTS)), url)
    plain = str(endpoint).startswith("http://")  # refused by obstore unless allowed
    client = {"timeout": _REQUEST_TIMEOUT, **({"allow_http": True} if plain else {})}
    given["client_options"] = {**client, **given.get("client_options", {})}
    given.setdefault("retry_config", dict(_RETRY))
    try:
        return from_url(url, **given)
    except (BaseError, ValueError, TypeError) as error:
        raise SettingsError(
            f"{url}: {without_secrets(error, options)}. Correct the URL, the environment or storage_options."
        ) from None


def open_store_once(url: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return a store whose requests are not repeated: for the first one, since a wrong URL need not be tried again."""
    return open_store(url, {**(options or {}), "retry_config": {"max_retries": 0}})


def is_unreachable(error: BaseException) -> bool:
    """Return whether a request has failed because the server's name is unknown, or nothing listens at its port."""
    return _NO_SERVER.search(str(error)) is not None


def unreachable_error(url: str, options: Mapping[str, Any] | None = None) -> Exception | None:
    """Send a request that is not repeated; return its error if the server `is_unreachable`."""
    from obstore import head
    from obstore.exceptions import BaseError

    try:
        head(open_store_once(url, options), ".ome-writers")
    except (BaseError, OSError) as error:
        return error if is_unreachable(error) else None
    return None


def connection_failure(error: BaseException) -> str | None:
    """Return why a connection has failed; None if that is not what has failed."""
    found = _CONNECTION_FAILURE.search(str(error))
    return found and found[1].rstrip(". ")


def listed_prefix(store: Any, url: str) -> str:
    """Return what precedes the keys in lists of a store: of WebDAV servers, obstore returns the whole path of a URL."""
    from obstore.store import HTTPStore

    path = unquote(urlsplit(url).path).strip("/")
    return f"{path}/" if path and isinstance(store, HTTPStore) else ""


def refuse_overlap(dataset: Path, url: str) -> None:
    """Raise SettingsError if a ``file://`` URL is the folder of `dataset`, a folder in it, or one that contains it."""
    folder, own = local_folder(url), dataset.resolve()
    if folder and (folder.resolve() in own.parents or own in (folder / "_").resolve().parents):
        raise SettingsError(
            f"{url} contains {dataset}, or is inside it: the copy would mix with the dataset. Choose another URL."
        )


def path_of_file_url(url: str) -> Path | None:
    """Return the path of a ``file://`` URL; None for a path. Raises UnsupportedError for other URLs."""
    folder = local_folder(url)
    if folder is None and re.match(r"[a-z][a-z0-9+.-]+://", url, re.IGNORECASE):
        raise UnsupportedError(
            f"{url}: datasets are read from disks, and from URLs that begin with s3://, gs://, az://, https:// or "
            f"file://. Copy it to one of these."
        )
    return folder


def local_folder(url: str) -> Path | None:
    """Return the path of a ``file://`` URL, on Windows with a drive or on a network share; None for other paths."""
    if not url.lower().startswith("file://"):
        return None
    from urllib.request import url2pathname  # loads ssl and http.client

    return Path(url2pathname(url.partition(":")[2] if os.name == "nt" else urlsplit(url).path))


def failure_reason(error: BaseException, options: Mapping[str, Any] | None = None) -> str:
    """Return why a request has failed, in one line without credentials."""
    if _NO_CREDENTIALS.search(str(error)):
        return (
            "no credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
            "AWS_SKIP_SIGNATURE=true reads public buckets"
        )
    return connection_failure(error) or without_secrets(error, options)


def without_secrets(error: BaseException, options: Mapping[str, Any] | None = None) -> str:
    """Return the first line of an error message, without queries of URLs and without values of credentials."""
    text = re.sub(r"\?[^\s\"']*", "", (str(error).splitlines() or [""])[0]).rstrip(". ")
    secrets: list[Any] = [v for k, v in os.environ.items() if _SECRET_VARIABLE.match(k)]
    secrets += [v for k, v in (options or {}).items() if _SECRET_OPTION.search(k)]
    for secret in secrets:
        if isinstance(secret, str) and len(secret) >= _MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "***")
    return text
