"""A registry's files as tests look at them and harm them, in a folder and in an object store."""

from __future__ import annotations

from leadscore.registry.object_client import ObjectClient
from leadscore.registry.store import Registry
from tests.object_store import contents


def put(registry: Registry, key: str, content: bytes) -> None:
    """Put a file into the registry, whatever is there."""
    if registry.is_in_folder:
        (registry.root / key).write_bytes(content)
    else:
        ObjectClient(registry.place).put(key, content)


def remove(registry: Registry, key: str) -> None:
    """Remove a file of the registry."""
    if registry.is_in_folder:
        (registry.root / key).unlink()
    else:
        ObjectClient(registry.place).delete([key])


def files(registry: Registry) -> dict[str, bytes]:
    """Return all files of the registry by their keys, without locks."""
    if not registry.is_in_folder:
        return contents(registry.place)
    paths = (path for path in registry.root.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(registry.root).as_posix(): path.read_bytes() for path in paths}
