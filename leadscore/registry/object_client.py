"""Requests to an object store, and what their answers mean to a writer that has no lock.

A conditional write succeeds only while nobody else has written. Its answer may be lost, and a request that was repeated
may meet its own effect. Each write therefore carries a mark of its own, and an answer that is not plain is settled by
reading what is there now.

The library reads credentials from the environment and from the machine's role. They are never read or shown here, and
no text of the library is: it may hold addresses and signatures.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError, PreconditionError
from obstore.store import ObjectStore, from_url

from leadscore.errors import Overtaken, RegistryUnavailable
from leadscore.registry.storage import Stamp

CONNECT_SECONDS = 2
REQUEST_SECONDS = 10
RETRY_SECONDS = 4
WRITER = "writer"


class Found(NamedTuple):
    """An object: its content, the stamp by which a writer says that it has seen it, and the mark of who wrote it."""

    content: bytes
    stamp: Stamp
    writer: str | None


class Entry(NamedTuple):
    """An object of a list."""

    key: str
    size: int
    last_modified: datetime


class ObjectClient:
    """The objects below `url`. Everything raises RegistryUnavailable when the store does not answer as it should."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def _store(self) -> ObjectStore:
        # at the first request: the library's threads do not survive a fork
        return from_url(
            self.url,
            # the endpoint that the environment names says whether it is http
            client_options={
                "timeout": f"{REQUEST_SECONDS}s",
                "connect_timeout": f"{CONNECT_SECONDS}s",
                "allow_http": True,
            },
            retry_config={
                "max_retries": 2,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
                "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=1), "base": 2},
            },
        )

    # reading

    def get(self, key: str) -> Found | None:
        """Return the object, None when there is none."""
        with self._explained(f"reading {key}"):
            try:
                answer = obstore.get(self._store, key)
                return Found(bytes(answer.bytes()), _stamp_of(answer.meta), answer.attributes.get(WRITER))
            except FileNotFoundError:
                return None

    def get_if_new(self, key: str, stamp: Stamp | None) -> Found | None:
        """Return the object, None when it is the one of this stamp, or when there is none."""
        if stamp is None:
            return self.get(key)
        with self._explained(f"reading {key}"):
            try:
                answer = obstore.get(self._store, key, options={"if_none_match": stamp["e_tag"]})
                return Found(bytes(answer.bytes()), _stamp_of(answer.meta), answer.attributes.get(WRITER))
            except (FileNotFoundError, NotModifiedError):
                return None

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield the object's content in parts. Raises FileNotFoundError when there is none."""
        with self._explained(f"reading {key}"):
            for chunk in obstore.get(self._store, key).stream():
                yield bytes(chunk)

    def has(self, key: str) -> bool:
        """Return whether there is such an object."""
        with self._explained(f"looking for {key}"):
            try:
                obstore.head(self._store, key)
            except FileNotFoundError:
                return False
            return True

    def entries(self, folder: str) -> list[Entry]:
        """Return all objects below `folder`."""
        with self._explained(f"listing {folder or 'the root'}"):
            chunks = obstore.list(self._store, prefix=folder or None)
            return [Entry(meta["path"], meta["size"], meta["last_modified"]) for chunk in chunks for meta in chunk]

    def folders(self) -> list[str]:
        """Return the first parts of all keys that have more than one."""
        with self._explained("listing the root"):
            return [str(prefix) for prefix in obstore.list_with_delimiter(self._store)["common_prefixes"]]

    # writing

    def put(self, key: str, content: bytes) -> None:
        """Store the object, whatever is there."""
        with self._explained(f"writing {key}"):
            obstore.put(self._store, key, content, use_multipart=False)

    def create(self, key: str, content: bytes) -> Stamp | None:
        """Store the object unless there is one, and return its stamp; None when there is another one."""
        return self._put_if(key, content, "create")

    def replace(self, key: str, content: bytes, seen: Stamp | None) -> Stamp:
        """Store the object in the place of the one that was `seen`, None for none. Raises Overtaken."""
        stamp = self._put_if(key, content, "create" if seen is None else seen)
        if stamp is None:
            raise Overtaken(key)
        return stamp

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the objects; those that are not there are passed over."""
        if keys:
            with self._explained(f"removing {len(keys)} objects"):
                try:
                    obstore.delete(self._store, list(keys))
                except FileNotFoundError:
                    for key in keys:
                        self._delete_one(key)

    def _delete_one(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def _put_if(self, key: str, content: bytes, mode: Any) -> Stamp | None:
        """Store the object under a condition, and return its stamp; None when the condition did not hold."""
        mark = secrets.token_hex(8)
        try:
            put = obstore.put(self._store, key, content, mode=mode, attributes={WRITER: mark}, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            # it may have been refused because it was repeated, after its first answer was lost
            return self._settled(key, mark)
        except (BaseError, OSError) as error:
            stamp = self._settled(key, mark)
            if stamp is None:
                raise self._unavailable(f"writing {key}", error) from None
            return stamp
        return _stamp_of(put)

    def _settled(self, key: str, mark: str) -> Stamp | None:
        """Return the stamp of what is there now if it was written with this mark, else None."""
        found = self.get(key)
        return found.stamp if found and found.writer == mark else None

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable(doing, error) from None

    def _unavailable(self, doing: str, error: Exception) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"the object store of the model registry, {self.url}, failed at {doing} ({type(error).__name__}); look"
            " whether it can be reached, and whether this process's credentials allow it"
        )


def _stamp_of(meta: Any) -> Stamp:
    """Return what tells this object from the next of its key: some stores go by its tag, others by its version."""
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}
