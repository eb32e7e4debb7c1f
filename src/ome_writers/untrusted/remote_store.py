"""The object store or web server that contains a remote dataset: versions of objects, lists of objects, errors."""

from __future__ import annotations

import errno
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ome_writers.object_store import failure_reason, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS_LIFETIME_S = 1.0
# in the text of obstore's errors
_CONNECTION_FAILURE = re.compile(r'Debug source:.*\b(?:message|error): "([^"]+)"', re.DOTALL)
_HTTP_STATUS = re.compile(r"status code: (\d{3} [A-Za-z -]*[A-Za-z])")


class ListingError(OSError):
    """The object store or web server does not list the objects below a URL. `reason` is the message without the URL."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class ObjectStatus(NamedTuple):
    """Size and version of an object, named as by `os.stat`."""

    st_size: int
    st_mtime_ns: int
    st_ino: int  # differs between two versions of an object
    e_tag: str | None
    st_dev: int = 0


class RemoteStore:
    """The objects below a URL. Sizes and versions are requested again after a second."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects = open_store(url)
        self._status: dict[str, tuple[float, ObjectStatus]] = {}

    def status(self, key: str) -> ObjectStatus:
        expires, status = self._status.get(key, (0.0, None))
        if status is None or time.monotonic() > expires:
            from obstore import head

            with self.errors(key):
                found = head(self.objects, key)
            status = _status(found)
            self._status = {k: v for k, v in self._status.items() if v[0] > time.monotonic()}
            self._status[key] = (time.monotonic() + _STATUS_LIFETIME_S, status)
        return status

    def forget(self, key: str) -> None:
        self._status.pop(key, None)

    def list_objects(self, key: str) -> Iterator[tuple[str, ObjectStatus]]:
        """Yield key and status of each object below `key`, which exists.

        Of web servers, only those with WebDAV list files. The others answer with an error or with an empty list, and
        are asked only once. Raises ListingError for them, and for object stores that deny the permission to list.
        """
        from obstore import list as list_below
        from obstore.exceptions import BaseError

        once = {"retry_config": {"max_retries": 0}}
        objects = open_store(self.url, once) if self._is_web_server() else self.objects
        reason = "the list is empty"
        try:
            for batch in list_below(objects, prefix=key or None):
                for item in batch:
                    reason = ""
                    yield str(item["path"]), _status(item)
        except (BaseError, OSError) as error:
            if _CONNECTION_FAILURE.search(str(error)):
                raise self._read_error(key, error) from None
            reason = self._reason(error)
        if reason:
            url = f"{self.url}/{key}".rstrip("/")
            reason = f"the server does not list its files ({reason})"
            advice = f"`ome-writers convert {url} COPY.ome.zarr` copies the dataset without a list."
            raise ListingError(f"{url}: {reason}. {advice}", reason)

    @contextmanager
    def errors(self, key: str) -> Iterator[None]:
        """Convert errors of the store to OSError, without credentials."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            missing = FileNotFoundError(f"{self.url}/{key} does not exist.")
            missing.errno = errno.ENOENT
            raise missing from None
        except (BaseError, OSError) as error:
            raise self._read_error(key, error) from None

    def _read_error(self, key: str, error: BaseException) -> OSError:
        from obstore.exceptions import NotSupportedError

        if not self._is_web_server():
            advice = (
                "Check the URL, the network and the credentials; AWS_SKIP_SIGNATURE=true reads public "
                "buckets"
            )
        elif isinstance(error, NotSupportedError):
            advice = (
                "Use a web server that supports range requests, or copy the dataset to this disk"
            )
        elif _CONNECTION_FAILURE.search(str(error)):
            advice = (
                "Check that the server is running, its name and port in the URL, and the network"
            )
        else:
            advice = "Check the URL in a browser; web servers are read without credentials"
        return OSError(f"{self.url}/{key} cannot be read: {self._reason(error)}. {advice}.")

    def _reason(self, error: BaseException) -> str:
        """Return why a request has failed: the failure of the connection, or the status of a web server, if known."""
        found = _CONNECTION_FAILURE.search(str(error))
        if found is None and self._is_web_server():
            found = _HTTP_STATUS.search(str(error))
        return found[1].rstrip(". ") if found else failure_reason(error)

    def _is_web_server(self) -> bool:
        from obstore.store import HTTPStore

        return isinstance(self.objects, HTTPStore)


def _status(item: Any) -> ObjectStatus:
    mtime_ns = int(item["last_modified"].timestamp() * 1e9)
    return ObjectStatus(
        item["size"], mtime_ns, hash((item["e_tag"], item["version"])), item["e_tag"]
    )
