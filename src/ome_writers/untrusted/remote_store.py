"""The object store or web server that contains a remote dataset: versions of objects, lists of objects, errors."""

from __future__ import annotations

import errno
import re
import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ome_writers.object_store import (
    connection_failure,
    failure_reason,
    is_unreachable,
    open_store,
    open_store_once,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_T = TypeVar("_T")
_STATUS_LIFETIME_S = 1.0
_MAX_REQUESTS = 8  # at a time
_HTTP_STATUS = re.compile(r"status code: (\d{3} [A-Za-z -]*[A-Za-z])")


def call_concurrently(function: Callable[[_T], object], items: Iterable[_T]) -> None:
    """Call `function`, which waits for a request, for each item, eight at a time. Raises the first error."""
    from concurrent.futures import ThreadPoolExecutor

    waiting = iter(items)
    with ThreadPoolExecutor(_MAX_REQUESTS, "ome-writers-request") as threads:
        while batch := list(islice(waiting, 8 * _MAX_REQUESTS)):  # there may be a million
            for _ in threads.map(function, batch):
                pass


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
        self._once = open_store_once(url)
        self._repeating: Any = None
        self._reached = False  # whether the server has answered
        self._status: dict[str, tuple[float, ObjectStatus]] = {}

    @property
    def objects(self) -> Any:
        """The obstore store, which repeats requests that fail."""
        if self._repeating is None:
            self._repeating = open_store(self.url)
        return self._repeating

    def request(self, key: str, function: Callable[[Any], _T]) -> _T:
        """Return the result of `function`, which sends one request to a store, for the object with a key.

        A request that fails is repeated, unless there is no such object, or the server was never reached.
        """
        from obstore.exceptions import BaseError

        with self.errors(key):
            try:
                result = function(self._once)
            except FileNotFoundError:
                self._reached = True
                raise
            except (BaseError, OSError) as error:
                if not self._reached and is_unreachable(error):
                    raise
                result = function(self.objects)
            self._reached = True
            return result

    def status(self, key: str) -> ObjectStatus:
        expires, status = self._status.get(key, (0.0, None))
        if status is None or time.monotonic() > expires:
            from obstore import head

            status = _status(self.request(key, lambda store: head(store, key)))
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

        objects = self._once if self._is_web_server() else self.objects
        reason = "the list is empty"
        try:
            for batch in list_below(objects, prefix=key or None):
                for item in batch:
                    reason = ""
                    yield str(item["path"]), _status(item)
        except (BaseError, OSError) as error:
            if connection_failure(error):
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

        if is_unreachable(error) or (self._is_web_server() and connection_failure(error)):
            advice = (
                "Check that the server is running, its name and port in the URL, and the network"
            )
        elif not self._is_web_server():
            advice = (
                "Check the URL, the network and the credentials; AWS_SKIP_SIGNATURE=true reads public "
                "buckets"
            )
        elif isinstance(error, NotSupportedError):
            advice = (
                "Use a web server that supports range requests, or copy the dataset to this disk"
            )
        else:
            advice = "Check the URL in a browser; web servers are read without credentials"
        return OSError(f"{self.url}/{key} cannot be read: {self._reason(error)}. {advice}.")

    def _reason(self, error: BaseException) -> str:
        """Return why a request has failed: the failure of the connection, or the status of a web server, if known."""
        found = _HTTP_STATUS.search(str(error)) if self._is_web_server() else None
        if found is None or connection_failure(error):
            return failure_reason(error)
        return found[1].rstrip(". ")

    def _is_web_server(self) -> bool:
        from obstore.store import HTTPStore

        return isinstance(self._once, HTTPStore)


def _status(item: Any) -> ObjectStatus:
    mtime_ns = int(item["last_modified"].timestamp() * 1e9)
    return ObjectStatus(
        item["size"], mtime_ns, hash((item["e_tag"], item["version"])), item["e_tag"]
    )
