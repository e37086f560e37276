"""A stand-in for a connection pooler that drops the startup parameter `options`, and remembers what it was sent."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from leadscore.settings import Settings

HOST = "127.0.0.1"
ENCRYPTION_REQUESTS = (80877103, 80877104)  # SSLRequest and GSSENCRequest, which come before the startup message


@dataclass
class Pooler:
    """Passes connections on to PostgreSQL; `startups` holds the parameters that each of them asked for."""

    settings: Settings
    startups: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def pooler_before(server: Settings) -> Iterator[Pooler]:
    """Yield a pooler in front of the server; its `settings` lead through it."""
    listener = socket.create_server((HOST, 0))
    pooler = Pooler(replace(server, db_host=HOST, db_port=listener.getsockname()[1]))

    def accept() -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client = listener.accept()[0]
                threading.Thread(target=_pass_on, args=(client, server, pooler.startups), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield pooler
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _pass_on(client: socket.socket, server: Settings, startups: list[dict[str, str]]) -> None:
    with client, socket.create_connection((server.db_host, server.db_port)) as upstream:
        code, body = _message(client)
        while code in ENCRYPTION_REQUESTS:
            client.sendall(b"N")
            code, body = _message(client)
        words = body.decode().split("\0")
        parameters = dict(zip(words[0:-2:2], words[1:-2:2], strict=False))
        startups.append(parameters)
        kept = "".join(f"{name}\0{value}\0" for name, value in parameters.items() if name != "options") + "\0"
        upstream.sendall(struct.pack("!II", len(kept.encode()) + 8, code) + kept.encode())
        answers = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
        answers.start()
        _copy(client, upstream)
        answers.join(5)


def _message(client: socket.socket) -> tuple[int, bytes]:
    length, code = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))
    return code, client.recv(length - 8, socket.MSG_WAITALL) if length > 8 else b""


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
