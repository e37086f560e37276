"""Runs the app with granian: several processes that listen on one port, and a stop that does not lose answers.

granian parses HTTP outside Python, and refuses malformed requests with a status without a body. Each process has its
own app, event loop (uvloop, which wakes up faster than Python's) and threads. The processes share a folder, which is
removed with the last of them.
"""

from __future__ import annotations

import gc
import importlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from leadscore.engine.native import kernels
from leadscore.errors import CannotRun
from leadscore.settings import Settings
from serving.server.rsgi import Bridge
from serving.telemetry.json_logging import write_json_lines

# of all processes together; a client beyond them waits to be accepted
MAX_CONNECTIONS = 2_048
# a client that sends nothing for so long, within headers or between requests, is cut off
IDLE_SECONDS = 5
MAX_HEADER_BYTES = 65_536
STOP_SECONDS = 30
RESPAWN_SECONDS = 1.0
# how long connections are answered for a last time, and new ones taken, before the listening ends
PARTING_SECONDS = 0.5
# longer than that
ORPHAN_SECONDS = 2.0
# granian's own lines go where ours go
_LOGGING: dict[str, Any] = {"handlers": {}, "formatters": {}, "loggers": {}}

_log = logging.getLogger("serving")


class _Server(Granian):  # type: ignore[misc, valid-type]  # granian chooses the class at run time
    """granian's supervisor. It closes `writer` some time before it stops, which tells the processes."""

    writer: Connection
    settings: Settings

    def startup(self, *arguments: Any) -> None:
        super().startup(*arguments)
        # not before the processes are made: a thread's locks would be copied as they are at that moment
        threading.Thread(target=_log_when_listening, args=(self.settings,), daemon=True).start()

    def signal_handler_interrupt(self, *arguments: Any, **named: Any) -> None:
        self._expect_all_to_end()
        super().signal_handler_interrupt(*arguments, **named)

    def shutdown(self, exit_code: int = 0) -> None:
        self.writer.close()
        self._expect_all_to_end()
        time.sleep(PARTING_SECONDS)
        if self.interrupt_signal:
            # one that was sent the signal, too, may have ended before its supervisor took note of it
            self.interrupt_children.clear()
        super().shutdown(exit_code)

    def _expect_all_to_end(self) -> None:
        """Let a process that was sent the signal, too, end as it should."""
        for worker in self.wrks:
            worker.interrupt_by_parent = True


def serve(target: str, settings: Settings, folder: Path) -> None:
    """Answer requests on HOST:PORT until SIGTERM or Ctrl-C, then finish the open requests.

    `target` names the function that makes each process's app, as `module:function`; it is called with `settings` and
    with `folder`, which the processes share. Raises CannotRun when the port cannot be listened on.
    """
    taken = _take(settings.host, settings.port)
    # prometheus_client reads this when it is imported, which each process does for itself
    metrics = folder / "metrics"
    metrics.mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    reader, writer = multiprocessing.Pipe(duplex=False)
    server = _Server(
        target,
        settings.host,
        settings.port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.server_workers,
        backlog=1024,
        backpressure=MAX_CONNECTIONS // settings.server_workers,
        http1_settings=HTTP1Settings(header_read_timeout=IDLE_SECONDS * 1000, max_buffer_size=MAX_HEADER_BYTES),
        log_level=LogLevels.warning,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=STOP_SECONDS,
    )
    server.writer, server.settings = writer, settings
    with taken:
        server.serve(target_loader=partial(_bridge, target, settings, folder, reader, writer), wrap_loader=False)


def _take(host: str, port: int) -> socket.socket:
    """Return a socket that holds the port until it is closed. Raises CannotRun when another program holds it.

    The processes' sockets share the port, and would otherwise share it with another program, too.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((host, port))
    except OSError as error:
        raise CannotRun(
            f"cannot listen on {host}:{port} ({error.strerror}); set PORT to a free port, and HOST to an address"
            " of this machine"
        ) from error
    return taken


def _bridge(target: str, settings: Settings, folder: Path, reader: Connection, writer: Connection) -> Bridge:
    """Return the application of one process; called in that process."""
    writer.close()
    # Ctrl-C is for the supervisor, which says when to stop
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        # the supervisor's own, inherited, would swallow a stop that comes before granian sets its handlers here
        signal.signal(number, signal.SIG_DFL)
    write_json_lines(settings.log_level)
    kernels()  # now, so that no request waits for it
    module, _, name = target.partition(":")
    is_stopping = threading.Event()
    app: Flask = getattr(importlib.import_module(module), name)(settings, folder=folder, is_stopping=is_stopping)
    threading.Thread(target=_watch, args=(reader, is_stopping), daemon=True).start()
    # an app that only measures what a server costs has nothing to load
    getattr(app, "warm_up", lambda: None)()
    gc.collect()
    gc.freeze()  # what is there now stays; the collector need not look at it again and again
    return Bridge(app, is_stopping, threads=settings.server_threads, max_body_bytes=settings.max_body_bytes)


def _watch(reader: Connection, is_stopping: threading.Event) -> None:
    """Wait until the supervisor stops or dies, which closes its end of the pipe, then end this process.

    A supervisor that stops sends the signal itself; a supervisor that was killed cannot.
    """
    reader.poll(None)
    is_stopping.set()
    time.sleep(ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _log_when_listening(settings: Settings) -> None:
    while True:
        try:
            socket.create_connection((settings.local_host, settings.port), timeout=IDLE_SECONDS).close()
        except OSError:
            time.sleep(0.01)
        else:
            _log.info("listening", extra={"host": settings.host, "port": settings.port})
            return
