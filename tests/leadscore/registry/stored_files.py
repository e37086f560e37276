"""Files as these tests write and harm them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leadscore.registry.durable_files import sha256_of
from leadscore.registry.version import PLAIN_FOREST_FILE


def stored(folder: Path, content: bytes) -> tuple[Path, str]:
    """Write `content` as a forest's file, and return where it is and its hash."""
    path = folder / PLAIN_FOREST_FILE
    path.write_bytes(content)
    return path, sha256_of(content)


@contextmanager
def flipped(path: Path, index: int, bits: int) -> Iterator[None]:
    """Change one byte of the file in its place, and change it back."""
    with path.open("r+b", buffering=0) as file:
        file.seek(index)
        byte = file.read(1)
        for content in (bytes([byte[0] ^ bits]), byte):
            file.seek(index)
            file.write(content)
            if content != byte:
                yield


class Boom:
    """Unpickling it makes a folder, which shows that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Have the folder made."""
        return os.mkdir, (str(self.path),)
